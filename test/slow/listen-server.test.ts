// The listening test against real servers: llama.cpp behind llama-cpp-python's server, and Attune's
// own daemon. The same seed asks for the same scenes everywhere.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { installationFolder } from '../../src/config/load.ts';
import type { ListenReport } from '../../src/listen/report.ts';
import { mean } from '../../src/measure/statistics.ts';
import { kill, start } from './kill-loop.ts';

// A model of 135 million weights is loaded three times and answers for a minute each.
vi.setConfig({ testTimeout: 1_200_000, hookTimeout: 600_000 });

const MODEL = resolve(
  import.meta.dirname,
  '../../../shared/data/weights/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf',
);
/** A Python in which `llama-cpp-python[server]` is installed. */
const PYTHON = process.env.ATTUNE_TEST_LLAMA_PYTHON;
const MINUTES = process.env.ATTUNE_TEST_MINUTES ?? '1';
const hasModel = existsSync(MODEL);

let folder = '';
const servers: ChildProcess[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-listen-'));
});
afterAll(async () => {
  for (const server of servers) server.kill();
  await rm(folder, { recursive: true, force: true });
});

async function listenTest(name: string, ...args: string[]): Promise<ListenReport> {
  const json = join(folder, `${name}.json`);
  const main = join(installationFolder, 'dist', 'cli', 'main.js');
  const how = ['--part', 'develop', '--minutes', MINUTES, '--json', json];
  await promisify(execFile)(process.execPath, [main, 'listen-test', ...args, ...how]);
  return JSON.parse(await readFile(json, 'utf8')) as ListenReport;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}

async function startLlama(python: string): Promise<string> {
  const port = await freePort();
  const where = ['--host', '127.0.0.1', '--port', String(port)];
  const how = ['--model', MODEL, '--logits_all', 'true', '--n_ctx', '2048'];
  servers.push(spawn(python, ['-m', 'llama_cpp.server', ...how, ...where], { stdio: 'ignore' }));
  const url = `http://127.0.0.1:${port}/v1`;
  await vi.waitFor(() => fetch(`${url}/models`), { timeout: 300_000, interval: 500 });
  return url;
}

const untold = ({ rows }: ListenReport) =>
  rows.find(({ group, arm }) => group === 'listen' && arm === 'untold');

/** Of the untold arm, nats a token. */
const marginsOf = ({ outcomes }: ListenReport): Map<string, number> =>
  new Map(
    outcomes.flatMap(({ pair, arm, margins }) =>
      arm === 'untold' && margins !== null ? [[pair, mean(margins)]] : [],
    ),
  );

describe('the listening test on a real server', () => {
  it.skipIf(!hasModel || PYTHON === undefined)(
    'judges llama.cpp by likelihood and by replies, on the scenes of our engine (needs SmolLM2, and ATTUNE_TEST_LLAMA_PYTHON with llama-cpp-python)',
    async () => {
      const url = await startLlama(PYTHON ?? '');
      const theirs = await listenTest('llama', '--url', url, '--model', MODEL, '--template', MODEL);
      const ours = await listenTest('ours', '--model', MODEL);
      for (const report of [theirs, ours]) {
        expect(untold(report)?.replies?.right.pairs).toBeGreaterThan(0);
        expect(untold(report)?.likelihood?.bothRight.pairs).toBeGreaterThan(0);
      }
      expect(theirs.likelihood).toContain('/v1/completions');
      // The order of the scenes is the seed's: what both had time for is the same, and so is the judgement.
      const margins = [theirs, ours].map(marginsOf);
      const common = [...(margins[0]?.keys() ?? [])].filter((key) => margins[1]?.has(key));
      expect(common).toHaveLength(Math.min(...margins.map(({ size }) => size)));
      const apart = common.map((key) =>
        Math.abs((margins[0]?.get(key) ?? 0) - (margins[1]?.get(key) ?? 0)),
      );
      expect(mean(apart)).toBeLessThan(0.1);
    },
  );

  it.skipIf(!hasModel)('judges our daemon by its replies (needs SmolLM2)', async () => {
    const daemon = await start(join(folder, 'store'), MODEL, ['chat.replyTokensMax=64']);
    try {
      const url = `http://127.0.0.1:${daemon.port}/v1`;
      const report = await listenTest('daemon', '--url', url, '--model', 'attune');
      expect(untold(report)?.replies?.right.pairs).toBeGreaterThan(0);
    } finally {
      await kill(daemon);
    }
  });
});
