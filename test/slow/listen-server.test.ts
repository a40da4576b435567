// The listening test against real servers: one of llama.cpp, and Attune's own daemon. The same seed
// asks for the same scenes everywhere.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { installationFolder } from '../../src/config/load.ts';
import type { ListenReport } from '../../src/listen/report.ts';
import { mean } from '../../src/measure/statistics.ts';
import { freePort } from './free-port.ts';
import { kill, start } from './kill-loop.ts';

// A model of 135 million weights is loaded three times and answers for a minute each.
vi.setConfig({ testTimeout: 1_200_000, hookTimeout: 600_000 });

const MODEL = resolve(
  import.meta.dirname,
  '../../../shared/data/weights/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf',
);
/**
 * A shell command that serves the file $MODEL on 127.0.0.1:$PORT, such as
 * `llama-server -m $MODEL --port $PORT` or `python -m llama_cpp.server --model $MODEL --port $PORT
 * --logits_all true`; only the latter tells log-probabilities of a prompt.
 */
const SERVER = process.env.ATTUNE_TEST_LLAMA_SERVER;
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

async function startLlama(command: string): Promise<string> {
  const port = await freePort();
  const env = { ...process.env, MODEL, PORT: String(port) };
  servers.push(spawn('sh', ['-c', `exec ${command}`], { stdio: 'ignore', env }));
  const url = `http://127.0.0.1:${port}/v1`;
  const answers = async (): Promise<void> => {
    const { ok, status } = await fetch(`${url}/models`);
    if (!ok) throw new Error(`status ${status}`);
  };
  await vi.waitFor(answers, { timeout: 300_000, interval: 500 });
  return url;
}

const untold = ({ rows }: ListenReport) =>
  rows.find(({ group, arm }) => group === 'listen' && arm === 'untold');

/** Of the untold arm. */
const repliesOf = ({ outcomes }: ListenReport): Map<string, unknown> =>
  new Map(
    outcomes.flatMap(({ pair, arm, replies }) =>
      arm === 'untold' && replies !== null ? [[pair, replies]] : [],
    ),
  );

/** Of the untold arm, nats a token. */
const marginsOf = ({ outcomes }: ListenReport): Map<string, number> =>
  new Map(
    outcomes.flatMap(({ pair, arm, margins }) =>
      arm === 'untold' && margins !== null ? [[pair, mean(margins)]] : [],
    ),
  );

describe('the listening test on a real server', () => {
  it.skipIf(!hasModel || SERVER === undefined)(
    'judges a server of llama.cpp on the scenes of our engine (needs SmolLM2 and ATTUNE_TEST_LLAMA_SERVER)',
    async () => {
      const url = await startLlama(SERVER ?? '');
      const theirs = await listenTest('llama', '--url', url, '--model', MODEL, '--template', MODEL);
      const ours = await listenTest('ours', '--model', MODEL);
      for (const report of [theirs, ours]) {
        expect(untold(report)?.replies?.right.pairs).toBeGreaterThan(0);
      }
      // The order of the scenes is the seed's: what both had time for is the same.
      const shared = (of: (report: ListenReport) => Map<string, unknown>): string[] => {
        const [a, b] = [of(theirs), of(ours)];
        const both = [...a.keys()].filter((pair) => b.has(pair));
        expect(both).toHaveLength(Math.min(a.size, b.size));
        return both;
      };
      expect(shared(repliesOf).length).toBeGreaterThan(0);
      const scored = shared(marginsOf);
      if (theirs.pairsScored === 0) expect(theirs.likelihood).toContain('no log-probabilities');
      else expect(scored.length).toBeGreaterThan(0);
      const apart = scored.map((pair) =>
        Math.abs((marginsOf(theirs).get(pair) ?? 0) - (marginsOf(ours).get(pair) ?? 0)),
      );
      // Both round the activations of a quantised file, differently.
      expect(mean(apart)).toBeLessThan(0.2);
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
