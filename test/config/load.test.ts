import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { isAttuneError } from '../../src/base/errors.ts';
import { maskSecrets } from '../../src/base/redact.ts';
import { ENVIRONMENT_NAMES } from '../../src/config/environment.ts';
import { GONE_KEYS } from '../../src/config/gone-key.ts';
import { CONFIG_KEYS, CONFIG_SECTIONS, nearestName } from '../../src/config/key.ts';
import {
  configHash,
  installationFolder,
  type LoadConfigOptions,
  loadConfig,
} from '../../src/config/load.ts';
import { configSchema } from '../../src/config/schema.ts';
import { resolveSampling } from '../../src/protocol/sampling.ts';
import { fc } from '../property.ts';
import { configDocument } from './document.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-config-'));
});

let files = 0;
async function written(text: string): Promise<string> {
  const file = join(folder, `${files++}.yaml`);
  await writeFile(file, text);
  return file;
}

async function refusal(input: LoadConfigOptions): Promise<string> {
  try {
    await loadConfig(input);
  } catch (error) {
    if (isAttuneError(error, 'config-invalid')) return error.message;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('config/attune.yaml', () => {
  const shipped = join(installationFolder, 'config', 'attune.yaml');

  it('shows at most 60 values, with their defaults', async () => {
    const { config, sources, warnings } = await loadConfig({ file: shipped });
    expect(config).toEqual(configSchema.parse({}));
    expect(warnings).toEqual([]);
    expect(sources.size).toBeGreaterThan(20);
    expect(sources.size).toBeLessThanOrEqual(60);
  });

  it('shows what is off as it is built in', async () => {
    const text = await readFile(shipped, 'utf8');
    const file = await written(text.replace(/^( *)#(?=\w)/gm, '$1'));
    expect((await loadConfig({ file })).config.chat.sampling).toEqual(resolveSampling([]));
  });

  it('documents every value in the lines above it', async () => {
    const lines = (await readFile(shipped, 'utf8')).split('\n');
    const undocumented = lines.filter(
      (line, index) => /^ +#?\w+: /.test(line) && !/^ +# /.test(lines[index - 1] ?? ''),
    );
    expect(undocumented).toEqual([]);
  });

  it('is read when no file is named', async () => {
    const { config, file } = await loadConfig();
    expect(file).toBe(shipped);
    expect(config.server.port).toBe(4747);
  });
});

describe('docs/configuration.md', () => {
  it('is what the schema says now', async () => {
    const page = join(installationFolder, 'docs', 'configuration.md');
    await expect(configDocument()).toMatchFileSnapshot(page);
  });

  it('describes every value and every section in a sentence', () => {
    const texts = [...CONFIG_SECTIONS, ...CONFIG_KEYS].map(({ description }) => description);
    expect(texts.filter((text) => !/\w.*[.…]$/.test(text))).toEqual([]);
  });
});

describe('a configuration of an earlier version', () => {
  const earlier = join(import.meta.dirname, '../fixtures/config/attune-2026-11-22.yaml');

  it('is read, with one line for each key that is gone and what to use instead', async () => {
    const { config, warnings } = await loadConfig({ file: earlier });
    const named = warnings.map((line) => line.split(/[ :]/)[0] ?? '');
    expect(named.sort()).toEqual(Object.keys(GONE_KEYS).sort());
    for (const line of warnings) {
      expect(line).toContain(`(from ${earlier}) is gone: `);
      expect(line).not.toContain('\n');
    }
    // Apart from what was written there, it means what the defaults mean.
    const { chat, dream, ...others } = configSchema.parse({});
    const sampling = resolveSampling([{ repetitionPenalty: 1.1 }]);
    const written = { chat: { ...chat, sampling } };
    const warmer = { dream: { ...dream, temperature: 0.9, dreamsPerFlag: 24 } };
    expect(config).toEqual({ ...others, ...written, ...warmer });
  });

  it('means the same under the new name of a key that was renamed', async () => {
    const file = await written('measure: { deafArms: 0 }');
    expect((await loadConfig({ file })).config.measure.hasPlacebo).toBe(false);
    const both = await written('measure: { deafArms: 0, hasPlacebo: true }');
    expect((await loadConfig({ file: both })).config.measure.hasPlacebo).toBe(true);
    const gate = await written('gate: { deafPMax: 0.2 }');
    expect((await loadConfig({ file: gate })).config.gate.placeboPMax).toBe(0.2);
    const nested = await written('server: { limits: { openTalksMax: 3, flagsMax: 9 } }');
    const { limits } = (await loadConfig({ file: nested })).config.server;
    expect(limits).toMatchObject({ openConversationsMax: 3, flagsMax: 9 });
    const margin = await written('gate: { marginPMax: 0.02 }');
    expect((await loadConfig({ file: margin })).config.gate.pMax).toBe(0.02);
  });

  it('is read from variables and --set too, and a key of today wins', async () => {
    const environment = { ATTUNE_MEASURE_DEAF_ARMS: '0', ATTUNE_GATE_AGREEMENT_MIN: '0.5' };
    const { config, warnings } = await loadConfig({ environment });
    expect(config.measure.hasPlacebo).toBe(false);
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain('measure.deafArms (from ATTUNE_MEASURE_DEAF_ARMS) is gone');
    const today = { ...environment, ATTUNE_MEASURE_HAS_PLACEBO: 'true' };
    expect((await loadConfig({ environment: today })).config.measure.hasPlacebo).toBe(true);
    const set = await loadConfig({ assignments: ['measure.deafArms=0', 'measure.sinkTokens=2'] });
    expect(set.config.measure.hasPlacebo).toBe(false);
    expect(set.warnings).toHaveLength(2);
  });

  it('is told of keys that are gone only', () => {
    const known = new Set(CONFIG_KEYS.map(({ key }) => key));
    const stillThere = Object.entries(GONE_KEYS).filter(([key]) => known.has(key));
    expect(stillThere.length).toBeGreaterThan(0);
    expect(stillThere.filter(([, { only }]) => only === undefined)).toEqual([]);
  });
});

describe('precedence', () => {
  it('lets the environment win over the file, options over it, and --set over all', async () => {
    const file = await written(
      'server: { port: 1111, host: "::1" }\nchat: { replyTokensMax: 7 }\n',
    );
    const environment = { ATTUNE_PORT: '2222', ATTUNE_NIGHT_IDLE_MINUTES: '5' };
    const { config } = await loadConfig({ file, environment });
    expect(config.server).toMatchObject({ port: 2222, host: '::1' });
    expect(config.night.idleMinutes).toBe(5);
    const options = { server: { port: 3333 }, chat: { sampling: { temperature: 0 } } };
    const second = (await loadConfig({ file, environment, options })).config;
    expect(second.server.port).toBe(3333);
    expect(second.chat).toMatchObject({
      replyTokensMax: 7,
      sampling: { temperature: 0 },
    });
    const assignments = ['server.port=4444'];
    const third = (await loadConfig({ file, environment, options, assignments })).config;
    expect(third.server.port).toBe(4444);
  });

  it('takes the long name of a variable before its short one', async () => {
    const environment = { ATTUNE_SERVER_PORT: '5', ATTUNE_PORT: '6' };
    expect((await loadConfig({ environment })).config.server.port).toBe(5);
    const reversed = { ATTUNE_PORT: '6', ATTUNE_SERVER_PORT: '5' };
    expect((await loadConfig({ environment: reversed })).config.server.port).toBe(5);
  });

  it('reads ATTUNE_CONFIG, and an option before it', async () => {
    const one = await written('server: { port: 1 }');
    const two = await written('server: { port: 2 }');
    const environment = { ATTUNE_CONFIG: one };
    expect((await loadConfig({ environment })).config.server.port).toBe(1);
    expect((await loadConfig({ environment, file: two })).config.server.port).toBe(2);
  });

  it('keeps a token of digits as text', async () => {
    const { config } = await loadConfig({ environment: { ATTUNE_TOKEN: '0123' } });
    expect(config.server.token).toBe('0123');
  });

  it('takes lists and switches from the environment', async () => {
    const environment = {
      ATTUNE_SERVER_ALLOWED_ORIGINS: '[https://a.example]',
      ATTUNE_NIGHT_IS_ENABLED: 'false',
    };
    const { config } = await loadConfig({ environment });
    expect(config.server.allowedOrigins).toEqual(['https://a.example']);
    expect(config.night.isEnabled).toBe(false);
  });

  it('takes an empty file, empty sections and empty variables as absent', async () => {
    const file = await written('server:\nchat:\n');
    const { config } = await loadConfig({ file, environment: { ATTUNE_PORT: '' } });
    expect(config).toEqual(configSchema.parse({}));
    expect((await loadConfig({ file: await written('') })).config).toEqual(config);
  });
});

describe('refusals', () => {
  it('names an unknown key, its file and the nearest known name', async () => {
    const file = await written('server: { limits: { conectionsMax: 3 } }');
    const message = await refusal({ file });
    expect(message).toContain(`server.limits.conectionsMax (from ${file}) is not known`);
    expect(message).toContain('did you mean server.limits.connectionsMax?');
  });

  it('names an unknown section', async () => {
    expect(await refusal({ file: await written('sever: { port: 3 }') })).toContain(
      'did you mean server?',
    );
  });

  it('names an unknown variable and the nearest known one', async () => {
    expect(await refusal({ environment: { ATTUNE_PROT: '1' } })).toContain(
      'ATTUNE_PROT is not known; did you mean ATTUNE_PORT?',
    );
  });

  it('names an unknown --set key, and one without a value', async () => {
    const message = await refusal({ assignments: ['night.idleMinute=3', 'server.port'] });
    expect(message).toContain('did you mean night.idleMinutes?');
    expect(message).toContain('"server.port" must be written as section.key=value.');
  });

  it('tells every problem at once, each with its source', async () => {
    const file = await written('chat: { replyTokensMax: 0 }');
    const message = await refusal({ file, environment: { ATTUNE_PORT: '70000' } });
    expect(message).toContain(`chat.replyTokensMax (from ${file})`);
    expect(message).toContain('server.port (from ATTUNE_PORT)');
  });

  it.each([
    ['a value where a section belongs', 'server: 3'],
    ['a section where a value belongs', 'server: { port: { a: 1 } }'],
    ['a list at the top', '- 1'],
    ['broken YAML', 'server: {'],
    ['the same key twice', 'server: { port: 1 }\nserver: { port: 2 }'],
    [
      'a billion laughs',
      `a: &a [1,1]\n${'bcdefgh'
        .split('')
        .map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefg'[i]}`)}]`)
        .join('\n')}`,
    ],
    ['a prototype', '__proto__: { polluted: 1 }'],
    ['a nested prototype', 'server: { __proto__: { port: 1 } }'],
    ['a fraction where a whole number belongs', 'server: { port: 1.5 }'],
    ['NaN', 'chat: { sampling: { temperature: .nan } }'],
  ])('refuses %s', async (_name, text) => {
    await refusal({ file: await written(text) });
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it.each([
    ['auto', 'auto'],
    ['onnx', 'cpu'],
    ['tensorflow', 'tensorflow'],
  ])('reads the executor of before, %s, as the device %s', async (executor, device) => {
    const { config, warnings } = await loadConfig({
      file: await written(`train: { executor: ${executor} }`),
    });
    expect(config.train.device).toBe(device);
    expect(warnings.join()).toContain('use train.device');
  });

  it('refuses a named file that is not there', async () => {
    expect(await refusal({ file: join(folder, 'absent.yaml') })).toContain('There is no');
  });

  it('answers any text with a configuration or a coded error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), async (text) => {
        const file = await written(text);
        try {
          await loadConfig({ file });
        } catch (error) {
          expect(isAttuneError(error)).toBe(true);
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe('names', () => {
  it('gives every value an environment variable of its own', () => {
    const ofToday = [...ENVIRONMENT_NAMES.values()].filter(({ schema }) => schema !== undefined);
    expect(ofToday).toHaveLength(CONFIG_KEYS.length + 8);
    expect(ENVIRONMENT_NAMES.get('ATTUNE_CHAT_SAMPLING_TOP_P')?.key).toBe('chat.sampling.topP');
  });

  it('offers no name when none is near', () => {
    expect(nearestName('zzzzzzzzzz', ['port', 'host'])).toBeUndefined();
    expect(nearestName('x'.repeat(100_000), ['port'])).toBeUndefined();
  });
});

describe('the loaded configuration', () => {
  it('is frozen through and through', async () => {
    const { config } = await loadConfig();
    expect(() => Object.assign(config.server.limits, { connectionsMax: 1 })).toThrow(TypeError);
  });

  it('hashes alike whatever the token, and differently otherwise', async () => {
    const one = (await loadConfig({ options: { server: { token: 'a' } } })).config;
    const two = (await loadConfig({ options: { server: { token: 'b' } } })).config;
    const three = (await loadConfig({ options: { train: { rank: 2 } } })).config;
    expect(configHash(one)).toBe(configHash(two));
    expect(configHash(one)).not.toBe(configHash(three));
  });

  it('shows no token once masked, and keeps counts of tokens', async () => {
    const { config } = await loadConfig({ options: { server: { token: 'hush' } } });
    const text = JSON.stringify(maskSecrets(config));
    expect(text).not.toContain('hush');
    expect(text).toContain('"replyTokensMax":512');
  });
});
