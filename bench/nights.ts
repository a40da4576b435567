// Ten nights in a row on ten days of real conversations: a daemon of its own, live replies, flags
// on what ignored the direction, a night, and after each a look at held-out crossed pairs.
// Ended or killed at any time, the same command goes on where it was.

//   npm run bench:nights -- --work DIR [--until HH:MM] [--model DIR] [--force]
import { appendFile, mkdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { readJsonBounded, readTextBounded, writeJsonAtomic } from '../src/base/atomic-file.ts';
import { createRandom } from '../src/base/random.ts';
import type { Address } from '../src/cli/address.ts';
import { HttpClient } from '../src/cli/http-client.ts';
import { followNight } from '../src/cli/night/follow-night.ts';
import { LiveTalks } from '../src/cli/talk/live-talk.ts';
import { replayDialogues } from '../src/cli/talk/replay.ts';
import { type Moment, playMoments, readMoments } from '../src/cli/talk/replay-moments.ts';
import { type Ledger, openLedger } from '../src/ledger/ledger.ts';
import type { Manifest } from '../src/ledger/manifest.ts';
import { readModel } from '../src/model/model.ts';
import { loadVersion } from '../src/model/versions.ts';
import { ConversationImported } from '../src/protocol/http.ts';
import { NightView } from '../src/protocol/summary.ts';
import { createOnnxExecutor } from '../src/runtime/onnx.ts';
import { isHeldBack } from '../src/scenario/sgd.ts';
import { readSgdDialogues } from '../src/scenario/sgd-file.ts';
import { loadTokenizer } from '../src/tokenizer/tokenizer.ts';
import { startDaemon } from './daemon.ts';
import { beforeEnd, estimated, openDeadline } from './deadline.ts';
import { type HeldOut, type Look, openHeldOut } from './held-out.ts';
import { type NightRecord, writeReport } from './nights-report.ts';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/companion' },
    shared: { type: 'string', default: '../shared/data' },
    /** What makes the run resumable: the daemon's store, a line a night, the report. */
    work: { type: 'string', default: 'store/nights' },
    /** Where the report goes; the work folder when absent. */
    out: { type: 'string' },
    /** Ends before this time of day, HH:MM, in the middle of a night if need be. */
    until: { type: 'string' },
    nights: { type: 'string', default: '10' },
    moments: { type: 'string', default: '16' },
    talks: { type: 'string', default: '2' },
    /** Talks that are imported before the first day, as from another client. */
    history: { type: 'string', default: '0' },
    dreams: { type: 'string', default: '24' },
    /** Pairs of crossed moments of talk. */
    echoes: { type: 'string', default: '120' },
    steps: { type: 'string', default: '16' },
    /** Learning rate; a short night takes larger steps. */
    rate: { type: 'string', default: '0.03' },
    scenarios: { type: 'string', default: '60' },
    /** Of the daemon and its nights; 0 = as many as there are cores. */
    threads: { type: 'string', default: '0' },
    pairs: { type: 'string', default: '20' },
    suites: { type: 'string', default: '24' },
    everyday: { type: 'string', default: '24' },
    /** Puts every night into force, whatever its gate says: what the gate holds back, seen. */
    force: { type: 'boolean', default: false },
  },
});
type Count = 'nights' | 'moments' | 'talks' | 'pairs' | 'suites' | 'everyday';
const count = (name: Count): number => Number(options[name]);
const say = (line: string): void => console.log(`${new Date().toTimeString().slice(0, 8)} ${line}`);
const deadline = openDeadline(options.until);

const momentsFile = join(options.shared, 'directions', 'sgd-train.jsonl.gz');
const talksFile = join(options.shared, 'replay', 'star-changed-mind.jsonl.gz');
if ((await stat(momentsFile).catch(() => undefined)) === undefined) {
  say(`SKIPPED: the real conversations are not at ${resolve(options.shared)}; no night was run.`);
  process.exit(0);
}
const store = join(options.work, 'store');
const out = options.out ?? options.work;
await mkdir(options.work, { recursive: true });
await mkdir(out, { recursive: true });
const results = join(options.work, 'nights.jsonl');

/** The day and the nights made small. */
const SETTINGS = [
  'memory.restMinutes=0',
  'chat.replyTokensMax=64',
  `night.dreamsMax=${options.dreams}`,
  `dream.echoes=${options.echoes}`,
  `engine.threads=${options.threads}`,
  `night.stepsMax=${options.steps}`,
  `train.learningRate=${options.rate}`,
  `measure.scenariosPerKind=${options.scenarios}`,
  'measure.scenariosPerUngatedKind=2',
  'measure.repliesPerKind=4',
];

async function readRecords(): Promise<NightRecord[]> {
  const text = (await readTextBounded(results)) ?? '';
  // A line that a kill cut off is written again.
  return text
    .split('\n')
    .slice(0, -1)
    .flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as NightRecord] : []));
}

async function keep(record: NightRecord): Promise<void> {
  await appendFile(results, `${JSON.stringify(record)}\n`);
}

const livedSchema = z.object({ answered: z.int(), flagged: z.int() });

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

/** Held-back dialogues of which no moment is played; taken in whole, with the replies they had. */
async function importHistory({ address, moments }: Parts): Promise<void> {
  const played = new Set(moments.map(({ scenario }) => scenario.source.cluster));
  const path = join(options.shared, 'pretrain/sgd/train.jsonl.gz');
  const dialogues = (await readSgdDialogues(path)).filter(
    ({ id }) => isHeldBack(id) && !played.has(id),
  );
  const drawn = createRandom('history').shuffle(dialogues).slice(0, Number(options.history));
  const client = new HttpClient(address);
  for (const { id, turns } of drawn) {
    const messages = turns.map(({ role, text }, at) => ({ id: `${id}-${at}`, role, text, at }));
    const body = { id: `history-${id}`, title: id, origin: 'import', messages };
    await client.post('/api/conversations', body, ConversationImported);
  }
  if (drawn.length > 0) say(`${drawn.length} talks imported`);
}

/** Kept while the day goes on, so that a day that was cut off is still counted. */
const dayFile = (day: number): string => join(options.work, `day-${day}.json`);

async function oneNight(parts: Parts, day: number, earlier: readonly NightRecord[]): Promise<void> {
  const { address, heldOut } = parts;
  const ledger = await ledgerNow();
  const begun = performance.now();
  const known = (await ledger.list()).at(day - 1);
  if (known === undefined && (await ledger.unfinished()).length === 0) {
    const lived = await beforeEnd(liveDay(parts, day), deadline);
    if (lived.answered > 0) await writeJsonAtomic(dayFile(day), lived);
  }
  const livedMs = performance.now() - begun;
  const nightId = known?.night ?? (await beforeEnd(followNight(address), deadline));
  const nightMs = performance.now() - begun - livedMs;
  const client = new HttpClient(address);
  const summary = await client.get(`/api/nights/${nightId}`, NightView);
  if (options.force && summary.status === 'refused') {
    const { inForce } = (await ledgerNow()).head();
    const nights = [...inForce.filter((id) => id !== nightId), nightId];
    await client.post('/api/swap', { nights }, z.unknown());
  }
  const manifest = await ledger.read(nightId);
  const isInForce = (await ledgerNow()).head().inForce.includes(nightId);
  const candidate = await lookAt(heldOut, ledger, manifest);
  const record: NightRecord = {
    night: day,
    nightId,
    lived: (await readJsonBounded(dayFile(day), livedSchema)) ?? null,
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
    inForce: isInForce ? candidate : (earlier.at(-1)?.inForce ?? candidate),
    clusters: {},
    seconds: {
      day: livedMs / 1000,
      night: nightMs / 1000,
      look: (performance.now() - begun - livedMs - nightMs) / 1000,
    },
    phases: summary.phases,
  };
  await keep(record);
  const spent = Object.entries(record.seconds ?? {}).map(([of, s]) => `${of} ${s.toFixed(0)} s`);
  say(`night ${day}: ${summary.headline} (${spent.join(', ')})`);
}

/** The night's own weights, whatever its gate said. */
async function lookAt(heldOut: HeldOut, ledger: Ledger, manifest: Manifest): Promise<Look> {
  const { delta, inForce, night } = manifest;
  const files = await ledger.deltaFiles(delta === null ? inForce : [...inForce, night]);
  const paths = files.map(({ path }) => path);
  return heldOut.look((await loadVersion(await model, paths)).weights);
}

/** The daemon writes it; here it is only read, anew each time. */
async function ledgerNow(): Promise<Ledger> {
  return openLedger(join(store, 'ledger'), (await model).baseHash);
}

async function lookAtBase(heldOut: HeldOut): Promise<void> {
  const begun = performance.now();
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
  const ms = performance.now() - begun;
  // A night of the default size, with its day, took some eight looks where both were timed.
  const whole = count('nights') * 8 * ms;
  say(`base: looked at in ${(ms / 1000).toFixed(0)} s; all nights, roughly: ${estimated(whole)}`);
}

async function runNights(parts: Parts): Promise<void> {
  if ((await (await ledgerNow()).list()).length === 0) await importHistory(parts);
  let longest = 0;
  for (let day = 1; day <= count('nights'); day += 1) {
    const all = await readRecords();
    if (all.some(({ night }) => night === day)) continue;
    const begun = performance.now();
    if (deadline.leftMs() < longest) {
      say(`Stopped before night ${day}: it would not end in time.`);
      return;
    }
    await oneNight(parts, day, all);
    const ms = performance.now() - begun;
    longest = Math.max(longest, ms);
    await writeReport(await readRecords(), out);
    if (day < count('nights')) say(`the rest: ${estimated(ms * (count('nights') - day))}`);
  }
}

const modelDir = resolve(options.model);
const model = readModel(modelDir, { cacheDir: join(resolve(store), 'cache') });
const executor = await createOnnxExecutor({ device: 'cpu', threads: 2 });
const heldOut = await openHeldOut({
  model: await model,
  executor,
  tokenizer: await loadTokenizer(modelDir),
  shared: options.shared,
  pairs: count('pairs'),
  suites: count('suites'),
  everyday: count('everyday'),
});
const [first] = await readRecords();
if (first === undefined) await lookAtBase(heldOut);
else if (first.base !== (await model).baseHash) {
  throw new Error(`${results} is of another model; give another --work`);
}
const daemon = await startDaemon({ modelDir, store, set: SETTINGS });
const talks = new LiveTalks(daemon.address);
try {
  await talks.connect();
  const moments = await readMoments(momentsFile, {});
  await runNights({ address: daemon.address, talks, heldOut, moments });
} catch (error) {
  // A night that was stopped is resumed by the next start.
  process.exitCode = 1;
  say(`Stopped: ${error instanceof Error ? error.message : String(error)}`);
} finally {
  talks.close();
  await daemon.close();
  await heldOut.close();
  await executor.close();
  deadline.close();
}
const records = await readRecords();
await writeReport(records, out);
const missing = count('nights') - Math.max(0, ...records.map(({ night }) => night));
say(
  `${join(out, 'table.md')}, ${join(out, 'trend.svg')}` +
    (missing > 0 ? `; ${missing} nights are missing: the same command goes on` : ''),
);
