// Ten nights in a row on ten days of real conversations: a daemon of its own, live replies, flags
// on what ignored the direction, a night, and after each a look at held-out crossed pairs.
// Started again it goes on where it was.

//   npm run bench:nights -- --store DIR --out DIR [--model DIR] [--minutes 25] [--force]
import { spawn } from 'node:child_process';
import { appendFile, mkdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { readTextBounded } from '../src/base/atomic-file.ts';
import { createRandom } from '../src/base/random.ts';
import type { Address } from '../src/cli/address.ts';
import { followNight } from '../src/cli/follow-night.ts';
import { HttpClient } from '../src/cli/http-client.ts';
import { LiveTalks } from '../src/cli/live-talk.ts';
import { replayDialogues } from '../src/cli/replay.ts';
import { type Moment, playMoments, readMoments } from '../src/cli/replay-moments.ts';
import { type Ledger, openLedger } from '../src/ledger/ledger.ts';
import { readModel } from '../src/model/model.ts';
import { loadVersion } from '../src/model/versions.ts';
import { NightView } from '../src/protocol/summary.ts';
import { createOnnxExecutor } from '../src/runtime/onnx.ts';
import { loadTokenizer } from '../src/tokenizer/tokenizer.ts';
import { type HeldOut, openHeldOut } from './held-out.ts';
import { type NightRecord, writeReport } from './nights-report.ts';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/companion' },
    shared: { type: 'string', default: '../shared/data' },
    store: { type: 'string', default: 'store/nights' },
    out: { type: 'string', default: 'experiments/nights' },
    nights: { type: 'string', default: '10' },
    moments: { type: 'string', default: '24' },
    talks: { type: 'string', default: '3' },
    dreams: { type: 'string', default: '32' },
    steps: { type: 'string', default: '20' },
    scenarios: { type: 'string', default: '16' },
    pairs: { type: 'string', default: '20' },
    /** Puts every night into force, whatever its gate says: what the gate holds back, seen. */
    force: { type: 'boolean', default: false },
    /** No night begins that would end later than this many minutes after the start. */
    minutes: { type: 'string', default: '25' },
  },
});
const count = (name: 'nights' | 'moments' | 'talks' | 'pairs'): number => Number(options[name]);
const started = performance.now();
const say = (line: string): void => console.log(line);

const momentsFile = join(options.shared, 'directions', 'sgd-train.jsonl.gz');
const talksFile = join(options.shared, 'replay', 'star-changed-mind.jsonl.gz');
if ((await stat(momentsFile).catch(() => undefined)) === undefined) {
  say(`SKIPPED: the real conversations are not at ${resolve(options.shared)}; no night was run.`);
  process.exit(0);
}
await mkdir(options.out, { recursive: true });
const results = join(options.out, 'nights.jsonl');

/** The daemon as a person starts it, with the day and the nights made small. */
async function startDaemon(): Promise<{ address: Address; close: () => Promise<void> }> {
  const settings = [
    `store.path=${options.store}`,
    `model.path=${resolve(options.model)}`,
    'server.port=0',
    'server.limits.messagesPerMinuteMax=100000',
    'server.limits.requestsPerMinuteMax=100000',
    'memory.restMinutes=0',
    'chat.replyTokensMax=64',
    'night.isEnabled=false',
    `night.dreamsMax=${options.dreams}`,
    `night.stepsMax=${options.steps}`,
    `measure.scenariosPerKind=${options.scenarios}`,
    'logger.level=warn',
  ];
  const child = spawn(
    process.execPath,
    [join('dist', 'cli', 'main.js'), 'start', '--set', ...settings],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  const url = await new Promise<string>((found, reject) => {
    let output = '';
    child.stdout.on('data', (piece: Buffer) => {
      output += piece.toString();
      const match = /http:\/\/[\w.:]+/.exec(output);
      if (match !== null) found(match[0]);
    });
    child.once('exit', (code) => reject(new Error(`the daemon ended with ${code}: ${output}`)));
  });
  return {
    address: { url, token: '' },
    async close() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

async function readRecords(): Promise<NightRecord[]> {
  const text = (await readTextBounded(results)) ?? '';
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as NightRecord);
}

async function keep(record: NightRecord): Promise<void> {
  await appendFile(results, `${JSON.stringify(record)}\n`);
}

/** The moments of one day, drawn once for all days. */
async function dayOf(moments: readonly Moment[], day: number): Promise<Moment[]> {
  const drawn = createRandom('ten days').shuffle([...moments]);
  return drawn.slice((day - 1) * count('moments'), day * count('moments'));
}

interface Parts {
  readonly address: Address;
  readonly talks: LiveTalks;
  readonly heldOut: HeldOut;
  readonly moments: readonly Moment[];
}

async function liveDay({ address, talks, moments }: Parts, day: number) {
  const io = { write: () => undefined, sleep: async () => undefined };
  const limit = count('talks');
  const paced = { at: 8, pace: 0, quiet: true };
  if (limit > 0) {
    const skip = (day - 1) * limit;
    await replayDialogues(talksFile, { ...paced, skip, limit }, { talks, io });
  }
  return playMoments(await dayOf(moments, day), { ...paced, url: address.url }, { talks, io });
}

async function oneNight(parts: Parts, day: number, earlier: readonly NightRecord[]): Promise<void> {
  const { address, heldOut } = parts;
  const ledger = await ledgerNow();
  const begun = performance.now();
  const known = (await ledger.list()).at(day - 1);
  let lived: { answered: number; flagged: number } | null = null;
  if (known === undefined && (await ledger.unfinished()).length === 0) {
    lived = await liveDay(parts, day);
  }
  const livedMs = performance.now() - begun;
  const nightId = known?.night ?? (await followNight(address));
  const nightMs = performance.now() - begun - livedMs;
  const client = new HttpClient(address);
  const summary = await client.get(`/api/nights/${nightId}`, NightView);
  if (options.force && summary.status === 'refused') {
    const { inForce } = (await ledgerNow()).head();
    await client.post('/api/swap', { nights: [...inForce, nightId] }, z.unknown());
  }
  const manifest = await ledger.read(nightId);
  const before = earlier.at(-1);
  const isInForce = (await ledgerNow()).head().inForce.includes(nightId);
  const nights = manifest.delta === null ? manifest.inForce : [...manifest.inForce, nightId];
  const files = await ledger.deltaFiles(nights);
  const { weights } = await loadVersion(
    await model,
    files.map(({ path }) => path),
  );
  const candidate = await heldOut.look(weights);
  const record: NightRecord = {
    night: day,
    nightId,
    lived,
    verdict: summary.verdict,
    isInForce,
    reasons: summary.reasons.filter(({ passes }) => !passes).map((r) => `${r.rule}: ${r.text}`),
    measures: summary.measures.map(({ name, estimate }) => ({ name, ...estimate })),
    retention: summary.retention,
    movedShare: manifest.delta?.relativeNorm ?? 0,
    steps: manifest.delta?.steps ?? 0,
    dreams: summary.dreams.byKind,
    examples: summary.training?.examples ?? 0,
    candidate,
    inForce: isInForce ? candidate : (before?.inForce ?? candidate),
    clusters: {},
    seconds: {
      day: livedMs / 1000,
      night: nightMs / 1000,
      look: (performance.now() - begun - livedMs - nightMs) / 1000,
    },
    phases: summary.phases,
  };
  await keep(record);
  say(`night ${day}: ${summary.headline} (${JSON.stringify(record.seconds)})`);
}

/** The daemon writes it; here it is only read, anew each time. */
async function ledgerNow(): Promise<Ledger> {
  return openLedger(join(options.store, 'ledger'), (await model).baseHash);
}

const modelDir = resolve(options.model);
const model = readModel(modelDir, { cacheDir: join(resolve(options.store), 'cache') });
const executor = await createOnnxExecutor({ device: 'cpu', threads: 2 });
const tokenizer = await loadTokenizer(modelDir);
const heldOut = await openHeldOut({
  model: await model,
  executor,
  tokenizer,
  shared: options.shared,
  pairs: count('pairs'),
  suites: 24,
  everyday: 24,
});
const records = await readRecords();
const known = records[0]?.base;
if (known !== undefined && known !== (await model).baseHash) {
  throw new Error(`${results} is of another model; give another --out and --store`);
}
if (records.length === 0) {
  const base = await heldOut.look(heldOut.base);
  await keep({
    night: 0,
    nightId: 'base',
    base: (await model).baseHash,
    options: { ...options },
    candidate: base,
    inForce: base,
    clusters: heldOut.clusters,
  });
}
const { address, close } = await startDaemon();
const talks = new LiveTalks(address);
await talks.connect();
try {
  const moments = await readMoments(momentsFile, {});
  const parts = { address, talks, heldOut, moments };
  let longest = 0;
  for (let day = 1; day <= count('nights'); day += 1) {
    const all = await readRecords();
    if (all.some(({ night }) => night === day)) continue;
    const begun = performance.now();
    const left = Number(options.minutes) * 60_000 - (begun - started);
    if (left < longest) {
      say(`Stopped before night ${day}: no time left. Start again to go on.`);
      break;
    }
    await oneNight(parts, day, all);
    longest = Math.max(longest, performance.now() - begun);
    await writeReport(await readRecords(), options.out);
  }
} finally {
  talks.close();
  await close();
  await heldOut.close();
  await executor.close();
}
