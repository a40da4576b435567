// Asks whether dreams help: cells of equal steps on flags, paraphrases and dreams, looked at on
// held-out crossed pairs. Started again it goes on where it was; several may run side by side.

//   node node_modules/.cache/bench/bench/dreams.js --out DIR --pool
//   node node_modules/.cache/bench/bench/dreams.js --out DIR --worker 0/2   (and 1/2)
//   node node_modules/.cache/bench/bench/dreams.js --out DIR --report
import { appendFile, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readTextBounded } from '../src/base/atomic-file.ts';
import { createRandom } from '../src/base/random.ts';
import { trainSection } from '../src/config/section/learning.ts';
import { readModel } from '../src/model/model.ts';
import { createOnnxExecutor } from '../src/runtime/onnx.ts';
import type { Scenario } from '../src/scenario/scenario.ts';
import { isHeldBack } from '../src/scenario/sgd.ts';
import { readSgdDialogues } from '../src/scenario/sgd-file.ts';
import { loadTokenizer, type Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { armScenarios } from '../src/train/arms.ts';
import { trainDelta } from '../src/train/trainer.ts';
import { makePool, type Pool } from './dream-pool.ts';
import { type CellRecord, dreamsReport } from './dreams-report.ts';
import { openHeldOut } from './held-out.ts';
import { paraphrase } from './paraphrase.ts';
import { everydayOf } from './training-data.ts';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/companion' },
    shared: { type: 'string', default: '../shared/data' },
    out: { type: 'string', default: 'experiments/dreams' },
    pool: { type: 'boolean', default: false },
    report: { type: 'boolean', default: false },
    worker: { type: 'string', default: '0/1' },
    flags: { type: 'string', default: '24' },
    dreams: { type: 'string', default: '260' },
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

/** What a cell trains on: so many scenarios of each sort, drawn by the seed. */
interface Cell {
  readonly name: string;
  readonly arm: 'real' | 'deaf';
  draw(pool: Pool, seed: number): Scenario[];
}

/** Tokens that one showing of a scenario runs. */
function tokensOf(scenario: Scenario, tokenizer: Tokenizer): number {
  const { prompt, replyIds } = tokenizer.renderReply(scenario.messages, scenario.chosen);
  const other = scenario.rejected;
  const rejected = other === undefined ? 0 : tokenizer.encode(other).length + 1;
  return prompt.ids.length + replyIds.length + rejected;
}

/** Without its oldest exchanges, as long as it is longer than `tokensMax` and its marks stay. */
function cut(scenario: Scenario, tokenizer: Tokenizer, tokensMax: number): Scenario {
  let kept = scenario;
  while (tokensOf(kept, tokenizer) > tokensMax && kept.messages.length > 3) {
    if (kept.spans.some(({ message, feature }) => message < 2 && feature === 'direction')) break;
    kept = {
      ...kept,
      messages: kept.messages.slice(2),
      spans: kept.spans
        .filter(({ message }) => message >= 2)
        .map((span) => ({ ...span, message: span.message - 2 })),
    };
  }
  return kept;
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

/**
 * Flags are longer than dreams: their oldest exchanges go until both run about as many tokens.
 * Dreams stay as they are, since what they are about may stand at their beginning.
 */
function asLongAsDreams(pool: Pool, tokenizer: Tokenizer): Pool {
  const length = (list: readonly Scenario[]): number =>
    mean(list.map((scenario) => tokensOf(scenario, tokenizer)));
  const wanted = length(pool.admitted.map(({ scenario }) => scenario));
  let best = pool.flags;
  for (let tokensMax = 400; tokensMax >= 40; tokensMax -= 10) {
    const shorter = pool.flags.map((flag) => cut(flag, tokenizer, tokensMax));
    if (Math.abs(length(shorter) - wanted) < Math.abs(length(best) - wanted)) best = shorter;
  }
  return { ...pool, flags: best };
}

/** `count` scenarios, pairs whole, in a random order. */
function some(list: readonly Scenario[], count: number, seed: string): Scenario[] {
  const groups = new Map<string, Scenario[]>();
  for (const scenario of list) {
    const key = scenario.pair?.id ?? scenario.id;
    groups.set(key, [...(groups.get(key) ?? []), scenario]);
  }
  const drawn: Scenario[] = [];
  for (const group of createRandom(seed).shuffle([...groups.values()])) {
    if (drawn.length + group.length <= count) drawn.push(...group);
  }
  return drawn;
}

const admitted = (pool: Pool, isDirected?: boolean): Scenario[] =>
  pool.admitted
    .filter((one) => isDirected === undefined || one.isDirected === isDirected)
    .map(({ scenario }) => scenario);

const DRAWS: Readonly<Record<string, Cell['draw']>> = {
  'flags only': (pool) => [...pool.flags],
  'flags + paraphrases': (pool, seed) => [
    ...pool.flags,
    ...pool.flags.map((flag) => paraphrase(flag, createRandom(`${flag.id}:${seed}`))),
  ],
  'flags + dreams': (pool, seed) => [
    ...pool.flags,
    ...some(admitted(pool), pool.flags.length, `mixed:${seed}`),
  ],
  'dreams only': (pool, seed) => some(admitted(pool), 2 * pool.flags.length, `dreams:${seed}`),
  'admitted 50': (pool, seed) => some(admitted(pool), 50, `fifty:${seed}`),
  'refused 50': (pool, seed) =>
    some(
      pool.refused.map(({ scenario }) => scenario),
      50,
      `fifty:${seed}`,
    ),
  'directed 50': (pool, seed) => some(admitted(pool, true), 50, `fifty:${seed}`),
  'undirected 50': (pool, seed) => some(admitted(pool, false), 50, `fifty:${seed}`),
};
/** Cells with a deaf arm, seed for seed. */
const DEAF = ['flags only', 'flags + dreams', 'dreams only'];

/** Seed by seed, so that an early end leaves every cell as many seeds. */
function cells(): (Cell & { seed: number })[] {
  return Array.from({ length: Number(options.seeds) }, (_, i) => i + 1).flatMap((seed) => [
    ...Object.entries(DRAWS).map(([name, draw]) => ({ name, arm: 'real' as const, draw, seed })),
    ...DEAF.map((name) => ({
      name: `${name}, deaf`,
      arm: 'deaf' as const,
      draw: DRAWS[name] as Cell['draw'],
      seed,
    })),
  ]);
}

async function readRecords(): Promise<CellRecord[]> {
  const names = (await readdir(options.out)).filter((name) => /^cells.*\.jsonl$/.test(name));
  const texts = await Promise.all(names.map((name) => readTextBounded(join(options.out, name))));
  return texts
    .flatMap((text) => (text ?? '').split('\n'))
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as CellRecord);
}

function settingsOf(scenarios: number) {
  const steps = Number(options.steps);
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

function countsOf(list: readonly Scenario[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of list) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

async function openRoom() {
  const { shared } = options;
  const executor = await createOnnxExecutor({ device: 'cpu', threads: Number(options.threads) });
  const model = await readModel(options.model, { cacheDir });
  const tokenizer = await loadTokenizer(model.dir);
  const whole = JSON.parse((await readTextBounded(poolPath)) ?? 'null') as Pool;
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
  { name, arm, seed, draw }: Cell & { seed: number },
): Promise<CellRecord> {
  const begun = performance.now();
  const drawn = draw(pool, seed);
  const trained = await trainDelta({
    model,
    executor,
    renderer: tokenizer,
    scenarios: armScenarios(arm, drawn, seed),
    replays,
    settings: settingsOf(drawn.length),
    seed: `dreams:${seed}`,
  });
  const look = await heldOut.look(trained.weights);
  const { steps, tokens, movedShare, refused } = trained;
  const seconds = (performance.now() - begun) / 1000;
  const scenarios = drawn.length - refused.length;
  const kinds = countsOf(drawn);
  return { cell: name, seed, scenarios, kinds, steps, tokens, movedShare, look, seconds };
}

async function runCells(): Promise<void> {
  const [worker = 0, workers = 1] = options.worker.split('/').map(Number);
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
  let longest = 0;
  for (const [index, cell] of cells().entries()) {
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

if (options.pool) {
  const pool = await makePool({
    modelDir: options.model,
    cacheDir,
    shared: options.shared,
    flags: Number(options.flags),
    dreams: Number(options.dreams),
    threads: 2,
  });
  await writeFile(poolPath, JSON.stringify(pool));
  const { flags, admitted: dreams, refused, seconds } = pool;
  console.log(
    `${flags.length} flags, ${dreams.length} dreams admitted, ${refused.length} refused with both replies; ${JSON.stringify(seconds)}`,
  );
} else if (options.report) {
  const text = dreamsReport(await readRecords());
  await writeFile(join(options.out, 'table.md'), text);
  console.log(text);
} else {
  await runCells();
}
