// How a night's adapter comes to each kind of server. These servers are models of the real ones
// (fake-servers.ts says from which of their sources), not the real ones: they show that the requests
// are as those sources have them, and in which order things happen.
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/base/logger.ts';
import type { VersionSource } from '../../src/engine/engine.ts';
import type { AdapterForm } from '../../src/upstream/adapter-file.ts';
import {
  loadAdapter,
  type ServedModel,
  type UpstreamSettings,
} from '../../src/upstream/adapter-host.ts';
import { Hearing } from '../../src/upstream/hearing.ts';
import { UpstreamHttp } from '../../src/upstream/http.ts';
import { Upstream } from '../../src/upstream/upstream.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { fakeTokenizer } from '../fakes/fake-tokenizer.ts';
import { type FakeServer, ollamaRoutes, openFakeServer, vllmRoutes, WORD } from './fake-servers.ts';

const BASE: VersionSource = { id: 'v0', deltas: [] };
const NIGHT: VersionSource = { id: 'night-0123456789ab', deltas: ['a.safetensors'] };
const NAME = 'attune-0123456789ab';

let folder: string;
let server: FakeServer | undefined;
let upstream: Upstream | undefined;
let written: AdapterForm[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-upstream-'));
  written = [];
});
afterEach(async () => {
  await upstream?.close();
  await server?.close();
  [upstream, server] = [undefined, undefined];
  await rm(folder, { recursive: true, force: true });
});

/** Writes a file that is no adapter: nobody here reads it. */
async function write(form: AdapterForm) {
  written.push(form);
  const path = join(folder, `adapter.${form}`);
  await writeFile(path, form);
  return { path, rank: form === 'merged-gguf' ? 0 : 12 };
}

function load(kind: UpstreamSettings['kind'], more: Partial<UpstreamSettings> = {}) {
  const settings = { kind, url: server?.url ?? '', key: '', model: 'base', command: [], ...more };
  const http = new UpstreamHttp(settings.url);
  const base: ServedModel = {
    name: 'base',
    source: BASE,
    http,
    how: '',
    unload: async () => undefined,
  };
  return loadAdapter({ name: NAME, source: NIGHT, base, settings, write });
}

describe('an adapter', () => {
  it('is loaded by vLLM under a name of its own, and unloaded', async () => {
    server = await openFakeServer({ models: ['base'], route: vllmRoutes(() => 12) });
    const served = await load('vllm');
    expect([served.name, [...server.models], written]).toEqual([NAME, ['base', NAME], ['peft']]);
    // A daemon that starts again finds it there.
    expect((await load('vllm')).name).toBe(NAME);
    await served.unload();
    expect([...server.models]).toEqual(['base']);
  });

  it('is refused where its rank is above the limit of vLLM, with the option that raises it', async () => {
    const refused = {
      code: 'swap-refused',
      message: expect.stringMatching(/has rank 12, .* rank 8 at most.*--max-lora-rank 16;/s),
    };
    server = await openFakeServer({ models: ['base'], route: vllmRoutes(() => 12, 8) });
    await expect(load('vllm')).rejects.toMatchObject(refused);
    expect(server.asked).toContain('POST /v1/load_lora_adapter');
    await server.close();
    // Where it tells its settings it is not even asked.
    const settings = { vllm_config: { lora_config: { max_lora_rank: 8, max_loras: 1 } } };
    server = await openFakeServer({
      models: ['base'],
      route: ({ path, answer }) => path.startsWith('/server_info') && answer(200, settings),
    });
    await expect(load('vllm')).rejects.toMatchObject(refused);
    expect(server.asked).not.toContain('POST /v1/load_lora_adapter');
    await server.close();
    server = await openFakeServer({ models: ['base'] });
    await expect(load('vllm')).rejects.toThrow(/VLLM_ALLOW_RUNTIME_LORA_UPDATING/);
  });

  it('makes a model of its own in Ollama, which is deleted', async () => {
    server = await openFakeServer({ models: ['base'], route: ollamaRoutes(true) });
    const served = await load('ollama');
    expect([...server.models]).toEqual(['base', NAME]);
    expect(written).toEqual(['gguf-lora']);
    await served.unload();
    expect([...server.models]).toEqual(['base']);
  });

  it('is merged for an Ollama that takes adapters no more', async () => {
    server = await openFakeServer({ models: ['base'], route: ollamaRoutes(false) });
    const served = await load('ollama');
    expect(written).toEqual(['gguf-lora', 'merged-gguf']);
    expect([served.how, [...server.models]]).toEqual([
      expect.stringContaining('takes no adapters any more'),
      ['base', NAME],
    ]);
  });

  it('starts a second llama.cpp server, which ends with it', async () => {
    const program = join(folder, 'llama-server');
    const source = `#!${process.execPath}
      const given = process.argv.slice(2);
      require('node:fs').writeFileSync(${JSON.stringify(join(folder, 'given'))}, given.join(' '));
      require('node:http').createServer((_, response) => response.end('{"data": []}'))
        .listen(Number(given[given.indexOf('--port') + 1]), '127.0.0.1');`;
    await writeFile(program, source);
    await chmod(program, 0o755);
    const served = await load('llama-cpp', { command: [program, '--port', '{port}'] });
    expect(await readFile(join(folder, 'given'), 'utf8')).toMatch(
      /^--port \d+ --lora .*gguf-lora$/,
    );
    expect(await served.http.json({ path: '/v1/models' })).toEqual({ data: [] });
    await served.unload();
    await expect(served.http.json({ path: '/v1/models' })).rejects.toMatchObject({
      code: 'upstream-failed',
    });
  });

  it('says what a command for llama.cpp ends with, and that one is needed', async () => {
    const command = [process.execPath, '-e', 'process.exit(3)', '{port}'];
    await expect(load('llama-cpp', { command })).rejects.toThrow(/ended with 3\.$/);
    await expect(load('llama-cpp')).rejects.toThrow(/engine\.upstream\.command/);
  });

  it('stays an export where the server loads none', async () => {
    for (const kind of ['lm-studio', 'openai'] as const) {
      await expect(load(kind)).rejects.toMatchObject({
        code: 'swap-refused',
        message: expect.stringMatching(/loads no adapters.*adapter\.gguf-lora/s),
      });
    }
    expect(await readFile(join(folder, 'adapter.gguf-lora'), 'utf8')).toBe('gguf-lora');
  });
});

/** An engine whose weights say something else at night, as its tokenizer tells them. */
class TwoVersions extends FakeEngine {
  override async generate(...[request, onToken, signal]: Parameters<FakeEngine['generate']>) {
    const change = request.version === NIGHT.id ? 0.3 : 0;
    return super.generate(
      request,
      (token) => onToken({ ...token, logprob: token.logprob + change, top: [] }),
      signal,
    );
  }
}

async function openUpstream(logprob: (model: string) => number) {
  server = await openFakeServer({
    ...{ models: ['base'], pieces: 30, pieceMs: 4, logprob },
    route: vllmRoutes(() => 12),
  });
  const settings = { kind: 'vllm' as const, url: server.url, key: '', model: 'base', command: [] };
  const engine = new TwoVersions({ reply: () => [98, 99, 100, 101] });
  const made = new Upstream(
    {
      ...{ settings, logger: silentLogger, onChange: () => undefined, wanted: async () => BASE },
      reference: { engine, tokenizer: { ...fakeTokenizer, tokenBytes: () => word, stopIds: [] } },
      write: () => write('peft'),
    },
    BASE,
  );
  upstream = made;
  made.start();
  await expect.poll(() => made.view().check, WAIT).toContain('it is the file that trains');
  return made;
}

const WAIT = { timeout: 15_000 };
const word = new TextEncoder().encode(WORD);

/** One streamed turn: the models that its pieces come from. */
async function turn(from: Upstream): Promise<{ spoke: string[]; version: string; count: number }> {
  const lease = from.lease('attune');
  const body = { model: lease.name, stream: true, messages: [{ role: 'user', content: 'x' }] };
  try {
    const answer = await lease.served.http.open({
      ...{ method: 'POST', path: '/v1/chat/completions', body: JSON.stringify(body) },
    });
    const hearing = new Hearing(answer.headers['content-type']);
    let text = '';
    for await (const bytes of answer as AsyncIterable<Buffer>) text += hearing.push(bytes).text;
    const words = text.trim().split(' ');
    return { spoke: [...new Set(words)], version: lease.served.source.id, count: words.length };
  } finally {
    lease.release();
  }
}

describe('a swap under 16 streams', () => {
  it('loses nothing and mixes none; the old adapter goes with its last reply; and back', async () => {
    const own = await openUpstream((model) => (model === 'base' ? -0.5 : -0.2));
    let isOver = false;
    const turns: Awaited<ReturnType<typeof turn>>[] = [];
    const streams = Array.from({ length: 16 }, async () => {
      while (!isOver) turns.push(await turn(own));
    });
    const brought = await own.bring(NIGHT);
    expect(own.view().version).toBe('v0');
    brought.use();
    await expect
      .poll(() => turns.filter(({ version }) => version === NIGHT.id).length, WAIT)
      .toBeGreaterThan(16);
    const running = [turn(own), turn(own)];
    (await own.bring(BASE)).use();
    expect(server?.models.has(NAME)).toBe(true);
    turns.push(...(await Promise.all(running)));
    isOver = true;
    await Promise.all(streams);
    await expect.poll(() => server?.models.has(NAME), WAIT).toBe(false);
    const names = { v0: 'base', [NIGHT.id]: NAME };
    for (const { spoke, version, count } of turns) {
      expect([spoke, count]).toEqual([[names[version as 'v0']], 30]);
    }
    expect(new Set(turns.map(({ version }) => version)).size).toBe(2);
    expect(own.view()).toMatchObject({ model: 'base', version: 'v0' });
    // Some hundred streamed replies, on a machine that may be busy.
  }, 40_000);

  it('is refused where the server says what it said without the adapter, which is unloaded', async () => {
    const own = await openUpstream(() => -0.5);
    await expect(own.bring(NIGHT)).rejects.toMatchObject({
      code: 'swap-refused',
      message: expect.stringContaining('it says what it said without it'),
    });
    expect([...(server?.models ?? [])]).toEqual(['base']);
    expect(own.view().version).toBe('v0');
  });
});
