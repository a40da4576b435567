// Asks whether dreams help: cells of equal steps on flags, paraphrases and dreams, looked at on
// held-out crossed pairs. Ended or killed at any time, the same command goes on where it was.

//   npm run bench:dreams -- --work DIR [--until HH:MM] [--model DIR] [--large]
import { fork } from 'node:child_process';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFileAtomic } from '../src/base/atomic-file.ts';
import { trainSection } from '../src/config/section/learning.ts';
import { type Model, readModel } from '../src/model/model.ts';
import type { Executor } from '../src/runtime/executor.ts';
import { createOnnxExecutor } from '../src/runtime/onnx.ts';
import type { Scenario } from '../src/scenario/scenario.ts';
import { isHeldBack } from '../src/scenario/sgd.ts';
import { readSgdDialogues } from '../src/scenario/sgd-file.ts';
import { loadTokenizer, type Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { armScenarios } from '../src/train/arms.ts';
import { trainDelta } from '../src/train/trainer.ts';
import { beforeEnd, estimated, openDeadline } from './deadline.ts';
import { asLongAsDreams, type Cell, cells, countsOf } from './dream-cells.ts';
import { makePool, type Pool } from './dream-pool.ts';
import { type CellRecord, dreamsReport } from './dreams-report.ts';
import { everydayOf } from './experiment/data.ts';
import { WorkFolder } from './experiment/work-folder.ts';
import { type HeldOut, openHeldOut } from './held-out.ts';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/companion' },
    shared: { type: 'string', default: '../shared/data' },
    /** What makes the run resumable: the pool, a file a cell, the report. */
    work: { type: 'string', default: 'store/dreams' },
    /** Where the report goes; the work folder when absent. */
    out: { type: 'string' },
    /** No cell that would end later than this time of day, HH:MM. */
    until: { type: 'string' },
    /** Processes that share the cells. */
    workers: { type: 'string', default: '2' },
    /** One of those processes. */
    worker: { type: 'boolean', default: false },
    /** Also 500 admitted against 500 refused dreams, or as many as there are of both. */
    large: { type: 'boolean', default: false },
    flags: { type: 'string', default: '24' },
    /** Dreams that are tried; 260, or 1,500 with --large. */
    dreams: { type: 'string' },
    /** Steps of eight scenarios; every cell takes as many. */
    steps: { type: 'string', default: '25' },
    seeds: { type: 'string', default: '3' },
    pairs: { type: 'string', default: '20' },
    rate: { type: 'string' },
    suites: { type: 'string', default: '24' },
    everyday: { type: 'string', default: '24' },
    /** Only the first so many cells. */
    cells: { type: 'string' },
    threads: { type: 'string', default: '1' },
  },
});
const BATCH = 8;
/** Of the time until the end, so much may pass before the first cell begins. */
const POOL_SHARE = 0.35;
const cacheDir = 'store/cache';
const work = new WorkFolder(options.work);
const poolPath = work.at('pool.json');
const out = options.out ?? options.work;
const deadline = openDeadline(options.until);
const say = (line: string): void => console.log(`${new Date().toTimeString().slice(0, 8)} ${line}`);

if ((await stat(join(options.shared, 'directions')).catch(() => undefined)) === undefined) {
  console.log(`SKIPPED: the real conversations are not at ${resolve(options.shared)}.`);
  process.exit(0);
}
await work.makeFolder();
await mkdir(out, { recursive: true });

function settingsOf(scenarios: number, steps: number) {
  return {
    ...trainSection.parse(options.rate === undefined ? {} : { learningRate: Number(options.rate) }),
    batchSize: BATCH,
    stepsMax: steps,
    epochsMax: Math.ceil((steps * BATCH) / scenarios) + 1,
    minutesMax: 600,
    replyTokensMax: 96,
    preference: 'dpo' as const,
    retentionWeight: 2,
    replaysPerStep: 2,
    replayTokens: 48,
  };
}

interface Room {
  readonly executor: Executor;
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  readonly pool: Pool;
  readonly heldOut: HeldOut;
  readonly replays: readonly Scenario[];
}

async function openRoom(): Promise<Room> {
  const { shared } = options;
  const executor = await createOnnxExecutor({ device: 'cpu', threads: Number(options.threads) });
  const model = await readModel(options.model, { cacheDir });
  const tokenizer = await loadTokenizer(model.dir);
  const whole = JSON.parse(await readFile(poolPath, 'utf8')) as Pool;
  if (whole.base !== model.baseHash) {
    throw new Error(`${poolPath} was written by another model; give another --work`);
  }
  const sizes = {
    pairs: Number(options.pairs),
    suites: Number(options.suites),
    everyday: Number(options.everyday),
  };
  const train = await readSgdDialogues(join(shared, 'pretrain/sgd/train.jsonl.gz'));
  return {
    executor,
    model,
    tokenizer,
    pool: asLongAsDreams(whole, tokenizer),
    heldOut: await openHeldOut({ model, executor, tokenizer, shared, ...sizes }),
    replays: everydayOf(train.filter(({ id }) => isHeldBack(id)).slice(0, 200), 'replay'),
  };
}

async function runCell(
  { executor, model, tokenizer, pool, heldOut, replays }: Room,
  { name, arm, seed, draw, steps }: Cell & { seed: number },
): Promise<CellRecord> {
  const begun = performance.now();
  const drawn = draw(pool, seed);
  const trained = await trainDelta({
    model,
    executor,
    renderer: tokenizer,
    scenarios: armScenarios(arm, drawn, seed),
    replays,
    settings: settingsOf(drawn.length, steps),
    seed: `dreams:${seed}`,
  });
  const look = await heldOut.look(trained.weights);
  const { tokens, movedShare, refused } = trained;
  const seconds = (performance.now() - begun) / 1000;
  const scenarios = drawn.length - refused.length;
  const kinds = countsOf(drawn);
  const done = trained.steps;
  return { cell: name, seed, scenarios, kinds, steps: done, tokens, movedShare, look, seconds };
}

const CELLS = 'cells';
const fileOf = (name: string, seed: number): string =>
  `${name.replaceAll(/[^a-z0-9]+/g, '-')}-${seed}`;

async function lookAtBase({ heldOut, model }: Room): Promise<void> {
  const name = fileOf('base', 0);
  if (!(await work.claims(CELLS, name))) return;
  const { clusters } = heldOut;
  const look = await heldOut.look(heldOut.base);
  const base: CellRecord = { cell: 'base', seed: 0, base: model.baseHash, options, clusters, look };
  await work.finish(CELLS, name, base);
}

function wantedCells(): ReturnType<typeof cells> {
  const all = cells({
    steps: Number(options.steps),
    seeds: Number(options.seeds),
    isLarge: options.large,
  });
  return all.slice(0, options.cells === undefined ? undefined : Number(options.cells));
}

/** Takes cells in their order as long as one more would end in time. */
async function runCells(): Promise<void> {
  const room = await openRoom();
  await lookAtBase(room);
  const wanted = wantedCells();
  let longest = 0;
  for (const cell of wanted) {
    if (deadline.leftMs() <= longest * 1000) break;
    const file = fileOf(cell.name, cell.seed);
    if (!(await work.claims(CELLS, file))) continue;
    const record = await runCell(room, cell);
    longest = Math.max(longest, record.seconds ?? 0);
    await work.finish(CELLS, file, record);
    const left = wanted.length + 1 - (await work.done(CELLS)).length;
    const rest = (Math.max(0, left) * longest * 1000) / Number(options.workers);
    say(
      `${cell.name}, seed ${cell.seed}: ${record.seconds?.toFixed(0)} s; ` +
        `${left} cells left: ${estimated(rest)}`,
    );
  }
  await room.heldOut.close();
  await room.executor.close();
}

async function writePool(): Promise<void> {
  const tried = options.dreams ?? (options.large ? '1500' : '260');
  const pool = await makePool({
    modelDir: options.model,
    cacheDir,
    shared: options.shared,
    flags: Number(options.flags),
    dreams: Number(tried),
    threads: 2,
    work: options.work,
    dreamMs: Math.min(3_600_000, deadline.leftMs() * POOL_SHARE),
    say,
  });
  await writeFileAtomic(poolPath, JSON.stringify(pool));
  const { flags, admitted: dreams, refused, seconds } = pool;
  say(
    `${flags.length} flags, ${dreams.length} dreams admitted, ${refused.length} refused with ` +
      `both replies; ${JSON.stringify(seconds)}`,
  );
}

/** Each in a process of its own, one thread each; they end with this one. */
async function runWorkers(): Promise<void> {
  const ends = Array.from({ length: Number(options.workers) }, () => {
    const child = fork(process.argv[1] ?? '', [...process.argv.slice(2), '--worker']);
    // What a worker is at is lost, but claimed by a dead process: the next start takes it up.
    deadline.signal.addEventListener('abort', () => child.kill('SIGKILL'), { once: true });
    return new Promise<number | null>((done) => child.once('exit', done));
  });
  if ((await Promise.all(ends)).some((code) => code !== 0)) process.exitCode = 1;
}

async function writeReport(): Promise<void> {
  const missing = wantedCells().length + 1 - (await work.done(CELLS)).length;
  const pool = JSON.parse(await readFile(poolPath, 'utf8')) as Pool;
  const text = dreamsReport(await work.readAll<CellRecord>(CELLS), {
    pool,
    missing,
    order: wantedCells().map(({ name }) => name),
  });
  await writeFile(join(out, 'table.md'), text);
  console.log(text);
  say(join(out, 'table.md'));
  if (missing > 0) say(`${missing} cells are missing: the same command goes on`);
}

if (options.worker) {
  process.once('disconnect', () => process.exit(1));
  await runCells();
  process.disconnect?.();
} else {
  try {
    const hasPool = (await stat(poolPath).catch(() => undefined)) !== undefined;
    if (!hasPool) await beforeEnd(writePool(), deadline);
    if (deadline.leftMs() > 0) await runWorkers();
    await writeReport();
  } catch (error) {
    // Without a pool there is nothing to tell; what of it is written is taken up again.
    say(`Stopped: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  }
}
deadline.close();
