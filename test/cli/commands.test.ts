import { execFile } from 'node:child_process';
import { copyFile, cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AttuneError } from '../../src/base/errors.ts';
import { diagnosisOf, examineApart, print } from '../../src/cli/model/doctor.ts';
import type { Examination } from '../../src/cli/model/examination.ts';
import { reportError } from '../../src/cli/report.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { generate, openEngine, request, TINY } from '../engine/tiny-engine.ts';
import { writeRandomModel } from '../model/random-model.ts';

// Each test runs the program in a process of its own.
vi.setConfig({ testTimeout: 60_000 });

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let folder: string;
let modelDir: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-cli-'));
  modelDir = await writeRandomModel(join(folder, 'tiny'), { ...TINY, vocabularySize: 4096 });
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
    await copyFile(join('models/companion', name), join(modelDir, name));
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function attune(...args: string[]): Promise<Ended> {
  const env = { ...process.env, ATTUNE_STORE: join(folder, 'store') };
  return new Promise((resolve) => {
    execFile(process.execPath, ['dist/cli/main.js', ...args], { env }, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code);
      resolve({ code, stdout, stderr });
    });
  });
}

describe('attune generate', () => {
  const ask = (...more: string[]) =>
    attune('generate', '--model', modelDir, '--prompt', 'Hello', '--max-tokens', '8', ...more);

  it('writes the reply to standard output and nothing else, the same for the same seed', async () => {
    const once = await ask('--temperature', '1', '--seed', '3');
    expect(once).toMatchObject({ code: 0, stderr: '' });
    expect(once.stdout.length).toBeGreaterThan(0);
    expect((await ask('--temperature', '1', '--seed', '3')).stdout).toBe(once.stdout);
    expect((await ask('--temperature', '1', '--seed', '4')).stdout).not.toBe(once.stdout);
  }, 180_000);

  it('takes the prompt as a turn of a person, as text with --raw or without a template', async () => {
    const asText = await ask('--raw');
    const asTurn = await ask();
    expect(asTurn.stdout).not.toBe(asText.stdout);
    const { renderChat, encodePrompt, decode } = await loadTokenizer(modelDir);
    const turn = renderChat([{ role: 'user', content: 'Hello' }], { addGenerationPrompt: true });
    const engine = await openEngine(modelDir);
    for (const [ids, { stdout }] of [
      [turn.ids, asTurn],
      [encodePrompt('Hello'), asText],
    ] as const) {
      const reply = await generate(engine, request(ids, { replyTokensMax: 8 }));
      expect(stdout).toBe(decode(reply.ids));
    }
    const plainDir = join(folder, 'plain');
    await cp(modelDir, plainDir, { recursive: true });
    await rm(join(plainDir, 'tokenizer_config.json'));
    const plain = await ask('--model', plainDir);
    expect(plain).toMatchObject({ code: 0, stdout: asText.stdout });
  }, 180_000);

  it('ends with 1 and a sentence with a code when there is no model', async () => {
    const ended = await attune('generate', '--model', join(folder, 'none'), '--prompt', 'x');
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toMatch(/^attune: .*\(model-not-found\)\n$/);
  }, 180_000);

  it.each([
    ['--temperature', '-1'],
    ['--temperature', 'warm'],
    ['--max-tokens', '1.5'],
    ['--top-p', '2'],
  ])(
    'refuses %s %s before it reads a model',
    async (name, value) => {
      const ended = await ask(name, value);
      expect(ended).toMatchObject({ code: 1, stdout: '' });
      expect(ended.stderr).toContain(name);
    },
    180_000,
  );
});

describe('attune inspect', () => {
  it('says what a folder holds and, when asked, reads every byte', async () => {
    const ended = await attune('inspect', '--model', modelDir, '--check', '--json');
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(ended.stdout)).toMatchObject({
      family: 'llama',
      layers: 3,
      windowTokens: 256,
      checked: expect.stringContaining('29 tensors'),
    });
  }, 180_000);

  it('refuses weights that are not finite', async () => {
    const damaged = await writeRandomModel(join(folder, 'damaged'), TINY, 2);
    const path = join(damaged, 'model.safetensors');
    const { readFile } = await import('node:fs/promises');
    const bytes = await readFile(path);
    bytes.writeUInt32LE(0x7fc00000, bytes.length - 4);
    await writeFile(path, bytes);
    const ended = await attune('inspect', '--model', damaged, '--check');
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain('model-damaged');
  }, 180_000);
});

describe('attune doctor', () => {
  const cpu: Examination = {
    what: 'onnx cpu',
    isPresent: true,
    description: 'onnxruntime-node 1',
    selfTestError: 0,
    passesSelfTest: true,
    decodeTokensPerSecond: 100,
    trainStepMs: 50,
  };
  const wrong: Examination = {
    ...cpu,
    what: 'onnx webgpu',
    selfTestError: 2,
    passesSelfTest: false,
    trainStepMs: 1,
  };
  const tensorflow: Examination = { ...cpu, what: 'tensorflow', trainStepMs: 30 };
  const absent: Examination = { what: 'onnx cuda', isPresent: false, reason: 'no driver' };

  it('chooses the fastest of those that agree with the CPU', () => {
    const { decodeTokensPerSecond: _, ...learner } = tensorflow;
    const diagnosis = diagnosisOf('m', [cpu, wrong, absent, learner]);
    expect(diagnosis.trainsFastest).toBe('tensorflow');
    expect(diagnosis.servesFastest).toBe('onnx cpu');
    expect(diagnosisOf('m', [absent]).trainsFastest).toBeNull();
  });

  it('says what is there, what disagrees, and why the rest is not there', () => {
    const text = print(diagnosisOf('m', [cpu, wrong, absent]));
    expect(text).toContain('onnx cpu: onnxruntime-node 1; agrees with the CPU');
    expect(text).toContain('DISAGREES');
    expect(text).toContain('onnx cuda: unverified; not available: no driver');
  });

  it('survives an examination that ends its process', async () => {
    const entry = join(folder, 'dies.cjs');
    await writeFile(entry, "process.once('message', () => process.kill(process.pid, 'SIGSEGV'))");
    const request = { what: 'onnx webgpu', modelDir, cacheDir: folder, threads: 1 } as const;
    expect(await examineApart(request, entry)).toMatchObject({
      isPresent: false,
      reason: expect.stringContaining('SIGSEGV'),
    });
  });
});

describe('an error at the end of a command', () => {
  const said: string[] = [];
  const output = { write: (text: string) => said.push(text) };

  it('is one sentence with its code, or a bug with its stack', () => {
    expect(reportError(new AttuneError('store-locked', 'locked'), output)).toBe(1);
    expect(reportError(new TypeError('oops'), output)).toBe(70);
    expect(reportError('text', output)).toBe(70);
    expect(said[0]).toBe('attune: locked (store-locked)\n');
    expect(said[1]).toMatch(/bug in Attune[\s\S]*TypeError: oops/);
  });

  it('takes over no terminal with what a model folder says', () => {
    const message = 'The template says \u001b]0;pwned\u0007\u001b[2J.';
    reportError(new AttuneError('template-failed', message), output);
    expect(said.at(-1)).toBe('attune: The template says ]0;pwned[2J. (template-failed)\n');
  });
});
