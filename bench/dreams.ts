// Asks whether dreams help: cells of equal steps on flags, paraphrases and dreams, looked at on
// held-out crossed pairs. Started again it goes on where it was.

//   npm run bench:dreams -- --out DIR [--model DIR] [--shared DIR] [--minutes 12] [--large]
import { fork } from 'node:child_process';
import { appendFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readTextBounded, writeFileAtomic } from '../src/base/atomic-file.ts';
import { trainSection } from '../src/config/section/learning.ts';
import { readModel } from '../src/model/model.ts';
import { createOnnxExecutor } from '../src/runtime/onnx.ts';
import { isHeldBack } from '../src/scenario/sgd.ts';
import { readSgdDialogues } from '../src/scenario/sgd-file.ts';
import { loadTokenizer } from '../src/tokenizer/tokenizer.ts';
import { armScenarios } from '../src/train/arms.ts';
import { trainDelta } from '../src/train/trainer.ts';
import { asLongAsDreams, type Cell, cells, countsOf } from './dream-cells.ts';
import { makePool, type Pool } from './dream-pool.ts';
import { type CellRecord, dreamsReport } from './dreams-report.ts';
import { everydayOf } from './experiment/data.ts';
import { openHeldOut } from './held-out.ts';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/companion' },
    shared: { type: 'string', default: '../shared/data' },
    out: { type: 'string', default: 'experiments/dreams' },
    /** Processes that share the cells. */
    workers: { type: 'string', default: '2' },
    /** One of those processes, such as 0/2. */
    worker: { type: 'string' },
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
    minutes: { type: 'string', default: '12' },
    threads: { type: 'string', default: '1' },
  },
});
const BATCH = 8;
const cacheDir = 'store/cache';
const poolPath = join(options.out, 'pool.json');
const started = performance.now();

if ((await stat(join(options.shared, 'directions')).catch(() => undefined)) === undefined) {
  console.log(`SKIPPED: the real conversations are not at ${resolve(options.shared)}.`);
  process.exit(0);
}
await mkdir(options.out, { recursive: true });

async function readRecords(): Promise<CellRecord[]> {
  const names = (await readdir(options.out)).filter((name) => /^cells.*\.jsonl$/.test(name));
  const texts = await Promise.all(names.map((name) => readTextBounded(join(options.out, name))));
  return texts
    .flatMap((text) => (text ?? '').split('\n'))
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as CellRecord);
}

function settingsOf(scenarios: number, steps: number) {
  return {
    ...trainSection.parse(options.rate === undefined ? {} : { learningRate: Number(options.rate) }),
    batchSize: BATCH,
    stepsMax: steps,
    epochsMax: Math.ceil((steps * BATCH) / scenarios) + 1,
    minutesMax: 600,
    replyTokensMax: 96,
    replaysPerStep: 2,
    replayTokens: 48,
  };
}

async function openRoom() {
  const { shared } = options;
  const executor = await createOnnxExecutor({ device: 'cpu', threads: Number(options.threads) });
  const model = await readModel(options.model, { cacheDir });
  const tokenizer = await loadTokenizer(model.dir);
  const whole = JSON.parse(await readFile(poolPath, 'utf8')) as Pool;
  if (whole.base !== model.baseHash) {
    throw new Error(`${poolPath} was written by another model; give another --out`);
  }
  const sizes = { pairs: Number(options.pairs), suites: 24, everyday: 24 };
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
type Room = Awaited<ReturnType<typeof openRoom>>;

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

async function runCells(): Promise<void> {
  const [worker = 0, workers = 1] = (options.worker ?? '0/1').split('/').map(Number);
  const room = await openRoom();
  const { heldOut, model } = room;
  const file = join(options.out, `cells-${worker}.jsonl`);
  const keep = (record: CellRecord): Promise<void> =>
    appendFile(file, `${JSON.stringify(record)}\n`);
  const isDone = async (name: string, seed: number): Promise<boolean> =>
    (await readRecords()).some((one) => one.cell === name && one.seed === seed);
  if (worker === 0 && !(await isDone('base', 0))) {
    const { clusters } = heldOut;
    const look = await heldOut.look(heldOut.base);
    await keep({ cell: 'base', seed: 0, base: model.baseHash, options, clusters, look });
  }
  const wanted = {
    steps: Number(options.steps),
    seeds: Number(options.seeds),
    isLarge: options.large,
  };
  let longest = 0;
  for (const [index, cell] of cells(wanted).entries()) {
    if (index % workers !== worker || (await isDone(cell.name, cell.seed))) continue;
    const left = Number(options.minutes) * 60 - (performance.now() - started) / 1000;
    if (left < longest) break;
    const record = await runCell(room, cell);
    longest = Math.max(longest, record.seconds ?? 0);
    await keep(record);
    console.log(`${cell.name}, seed ${cell.seed}: ${record.seconds?.toFixed(0)} s`);
  }
  await heldOut.close();
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
  });
  await writeFileAtomic(poolPath, JSON.stringify(pool));
  const { flags, admitted: dreams, refused, seconds } = pool;
  console.log(
    `${flags.length} flags, ${dreams.length} dreams admitted, ${refused.length} refused with ` +
      `both replies; ${JSON.stringify(seconds)}`,
  );
}

/** Each in a process of its own, one thread each. */
async function runWorkers(): Promise<void> {
  const workers = Number(options.workers);
  const ends = Array.from({ length: workers }, (_, i) => {
    const child = fork(process.argv[1] ?? '', [
      ...process.argv.slice(2),
      '--worker',
      `${i}/${workers}`,
    ]);
    return new Promise<number | null>((done) => child.once('exit', done));
  });
  if ((await Promise.all(ends)).some((code) => code !== 0)) process.exitCode = 1;
}

if (options.worker !== undefined) await runCells();
else {
  if ((await stat(poolPath).catch(() => undefined)) === undefined) await writePool();
  await runWorkers();
  const text = dreamsReport(await readRecords());
  await writeFile(join(options.out, 'table.md'), text);
  console.log(text);
}
