// A real server of llama.cpp speaks in the engine's place: chat, tools, a flag, a night's weights
// brought to it under 16 streams, and the way back.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import { openLedgers } from '../../src/ledger/ledgers.ts';
import type { LowRankDelta } from '../../src/model/delta.ts';
import { readModel } from '../../src/model/model.ts';
import { isQProj } from '../../src/model/weight-names.ts';
import { NIGHT_FILES } from '../../src/record/files.ts';
import { commitNight } from '../night/night-store.ts';
import { freePort } from './free-port.ts';
import { kill, type Running, start } from './kill-loop.ts';

// A model of 135 million weights is loaded three times, and says some hundred replies.
vi.setConfig({ testTimeout: 3_600_000, hookTimeout: 1_800_000 });

const MODEL = resolve(
  import.meta.dirname,
  '../../../shared/data/weights/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf',
);
/** A shell command that serves $MODEL on 127.0.0.1:$PORT; more options may follow it. */
const SERVER = process.env.ATTUNE_TEST_LLAMA_SERVER;
const STREAMS = 16;

interface Chunk {
  readonly choices?: readonly { readonly delta?: { readonly content?: string | null } }[];
}

interface Logged {
  readonly type: string;
  readonly id: string;
  readonly text: string;
  readonly versionRuns?: readonly (readonly [number, number, string])[];
}

const user = (content: string) => ({ role: 'user', content });
const choicesIn = (text: string): unknown => (JSON.parse(text) as { choices?: unknown }).choices;

/** However long it takes: `fetch` gives up after five minutes. */
function answerOf(url: string, body?: object): Promise<{ status: number; text: string }> {
  return new Promise((done, fail) => {
    const method = body === undefined ? 'GET' : 'POST';
    const headers = { 'content-type': 'application/json' };
    const asking = request(url, { method, headers }, async (answer) => {
      const pieces: Buffer[] = [];
      for await (const piece of answer as AsyncIterable<Buffer>) pieces.push(piece);
      done({ status: answer.statusCode ?? 0, text: Buffer.concat(pieces).toString('utf8') });
    });
    asking.once('error', fail).end(body && JSON.stringify(body));
  });
}

const GREEDY = { temperature: 0, seed: 1, max_tokens: 16, cache_prompt: false };

describe.skipIf(SERVER === undefined || !existsSync(MODEL))(
  'a server of llama.cpp (needs SmolLM2 and ATTUNE_TEST_LLAMA_SERVER)',
  () => {
    let folder: string;
    let server: ChildProcess;
    let url: string;
    let daemon: Running;
    let night: string;

    const ask = (path: string, body?: object, to = `http://127.0.0.1:${daemon.port}`) =>
      answerOf(to + path, body);
    const read = async <T>(path: string): Promise<T> => JSON.parse((await ask(path)).text) as T;
    const upstream = async () =>
      (await read<{ engine: { upstream: { version: string; check: string } } }>('/api/engine'))
        .engine.upstream;
    /** The records of a conversation, or of all. */
    const logged = async (id?: string): Promise<Logged[]> => {
      const path = id === undefined ? '/api/export' : `/api/conversations/${id}/export`;
      const lines = (await ask(path)).text.split('\n').filter(Boolean);
      return lines.map((line) => JSON.parse(line) as Logged);
    };
    /** Process ids of the servers that the daemon has started. */
    const started = async (): Promise<number[]> => {
      const text = await readFile(join(folder, 'pids'), 'utf8').catch(() => '');
      return text.split('\n').filter(Boolean).map(Number);
    };

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'attune-llama-'));
      const store = join(folder, 'store');
      night = await commitDelta(store);
      const port = await freePort();
      url = `http://127.0.0.1:${port}`;
      const env = { ...process.env, MODEL, PORT: String(port) };
      server = spawn('sh', ['-c', `exec ${SERVER}`], { stdio: 'ignore', env });
      const answers = async (): Promise<void> => {
        const { ok } = await fetch(`${url}/v1/models`);
        if (!ok) throw new Error('not yet');
      };
      await vi.waitFor(answers, { timeout: 1_200_000, interval: 500 });
      const script = `echo $$ >> "$0"; exec ${SERVER} --lora "$1"`;
      const given = ['env', `MODEL=${MODEL}`, 'PORT={port}', 'sh', '-c', script];
      const command = JSON.stringify([...given, join(folder, 'pids'), '{lora}']);
      daemon = await start(store, MODEL, [
        ...['engine.upstream.kind=llama-cpp', `engine.upstream.url=${url}`],
        ...['engine.upstream.model=smol', `engine.upstream.command=${command}`],
      ]);
      await vi.waitFor(async () => expect((await upstream()).check).toContain('it is the file'), {
        ...{ timeout: 1_200_000, interval: 1_000 },
      });
    });
    afterAll(async () => {
      if (daemon !== undefined) await kill(daemon);
      server?.kill();
      await rm(folder, { recursive: true, force: true });
    });

    it('answers through the daemon what it answers itself, also where tools are offered', async () => {
      const tools = [
        {
          type: 'function',
          function: {
            name: 'look',
            description: 'Looks somewhere.',
            parameters: { type: 'object', properties: { where: { type: 'string' } } },
          },
        },
      ];
      for (const more of [{}, { tools }, { response_format: { type: 'json_object' } }]) {
        const body = { model: 'smol', messages: [user('What is up?')], ...GREEDY, ...more };
        const [direct, passed] = [
          await ask('/v1/chat/completions', body, url),
          await ask('/v1/chat/completions', body),
        ];
        expect(passed.status).toBe(direct.status);
        expect(choicesIn(passed.text)).toEqual(choicesIn(direct.text));
      }
    });

    it('has its replies flagged', async () => {
      const messages = [user('I want the blue room. Which one shall we take?')];
      await ask('/v1/chat/completions', { model: 'smol', messages, ...GREEDY });
      const { conversations } = await read<{ conversations: { id: string }[] }>(
        '/api/conversations',
      );
      const id = conversations[0]?.id ?? '';
      const reply = (await logged(id)).at(-1);
      expect(reply?.type).toBe('reply');
      const flag = { id: 'flag-1', conversationId: id, replyId: reply?.id };
      expect((await ask('/api/flags', flag)).status).toBe(201);
    });

    it('gets the weights of a night under 16 streams, loses and mixes nothing, and goes back', async () => {
      const base = (await upstream()).version;
      let isOver = false;
      const heard: string[] = [];
      const talk = async (at: number): Promise<void> => {
        for (let turn = 0; !isOver; turn++) {
          heard.push(await stream(`Stream ${at}, turn ${turn}: tell me of a river.`));
        }
      };
      const stream = async (text: string): Promise<string> => {
        const body = { model: 'smol', messages: [user(text)], max_tokens: 8, stream: true };
        const { text: answer } = await ask('/v1/chat/completions', body);
        expect(answer).toContain('[DONE]');
        const chunks = answer.split('\n').filter((line) => line.startsWith('data: {'));
        const words = chunks.map((line) => {
          const { choices = [] } = JSON.parse(line.slice('data: '.length)) as Chunk;
          return choices[0]?.delta?.content ?? '';
        });
        return words.join('');
      };
      const streams = Array.from({ length: STREAMS }, (_, at) => talk(at));
      const swap = async (nights: string[]): Promise<string> => {
        const { status, text } = await ask('/api/swap', { nights });
        expect([status, text]).toEqual([200, text]);
        return text;
      };
      expect(await swap([night])).toContain('A second llama.cpp server serves it');
      const after = (await upstream()).version;
      expect(after).not.toBe(base);
      const [second = 0] = await started();
      process.kill(second, 0);
      const before = heard.length;
      await vi.waitFor(() => expect(heard.length).toBeGreaterThan(before + STREAMS), {
        ...{ timeout: 1_200_000, interval: 500 },
      });
      await swap([]);
      expect((await upstream()).version).toBe(base);
      // It has ended, once its last reply had.
      await vi.waitFor(() => expect(() => process.kill(second, 0)).toThrow(), {
        ...{ timeout: 1_200_000, interval: 500 },
      });
      isOver = true;
      await Promise.all(streams);
      const replies = (await logged()).filter(({ type }) => type === 'reply');
      const texts = new Set(replies.map(({ text }) => text));
      expect(heard.filter((text) => !texts.has(text))).toEqual([]);
      const versions = replies.map(({ versionRuns = [] }) => versionRuns.map(([, , id]) => id));
      expect(versions.every((own) => own.length === 1)).toBe(true);
      expect(new Set(versions.flat())).toEqual(new Set([base, after]));
    });

    /** A night whose weights say something else, committed to a new store. */
    async function commitDelta(store: string): Promise<string> {
      const model = await readModel(MODEL, { cacheDir: join(store, 'cache') });
      const random = createRandom(1);
      const normal = (length: number): Float32Array =>
        Float32Array.from({ length }, () => 0.05 * random.gaussian());
      const tensors: Record<string, LowRankDelta> = {};
      for (const [name, { shape }] of model.weights) {
        if (!isQProj(name)) continue;
        const [out, width] = shape as [number, number];
        tensors[name] = { shape: [out, width], loraA: normal(4 * width), loraB: normal(4 * out) };
      }
      const base = model.baseHash;
      const { speaking } = await openLedgers(join(store, 'ledger'), { base, files: NIGHT_FILES });
      return (await commitNight({ ledger: speaking }, { tensors })).night;
    }
  },
);
