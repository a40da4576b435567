// The training experiment: prepare, base, sweep, run, gate, replies. Any number of processes share
// the work; it is kept in a folder, one file a cell, and can be ended and taken up at any time.
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { writeJsonAtomic } from '../src/base/atomic-file.ts';
import { bothRight } from '../src/measure/margin.ts';
import { writeDelta } from '../src/model/delta.ts';
import { loadTokenizer } from '../src/tokenizer/tokenizer.ts';
import { CELLS, type Cell } from './training-cells.ts';
import { prepareData, readData, SETS } from './training-data.ts';
import { Laboratory, type Reading, type Trained } from './training-laboratory.ts';
import { spokenReplies } from './training-replies.ts';
import type { Choice } from './training-settings.ts';
import { NIGHTS, nightVerdict } from './training-verdict.ts';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', default: 'models/companion' },
    cache: { type: 'string', default: 'store/cache' },
    shared: { type: 'string', default: '../shared/data' },
    scenes: { type: 'string', default: 'scenes.jsonl' },
    work: { type: 'string', default: 'experiment' },
    /** No cell is begun after this time of day, HH:MM. */
    until: { type: 'string', default: '23:59' },
    /** Only cells of these groups. */
    groups: { type: 'string', default: '' },
    rates: { type: 'string', default: '0.03,0.06,0.12' },
    retentions: { type: 'string', default: '2,8' },
    betas: { type: 'string', default: '0.1' },
    optimizers: { type: 'string', default: 'apollo' },
    epochs: { type: 'string', default: '2' },
    dose: { type: 'string', default: '200' },
  },
});

const at = (...parts: string[]): string => join(options.work, ...parts);
const read = async <T>(path: string): Promise<T | undefined> =>
  readFile(path, 'utf8').then(
    (text) => JSON.parse(text) as T,
    () => undefined,
  );
const say = (line: string): void =>
  console.log(`${new Date().toISOString().slice(11, 19)} ${line}`);

/** Takes a piece of work for this process; false when it is done or another one has it. */
async function claims(folder: string, name: string): Promise<boolean> {
  await mkdir(at(folder), { recursive: true });
  const files = await readdir(at(folder));
  if (files.includes(`${name}.json`)) return false;
  const path = at(folder, `${name}.claim`);
  if (files.includes(`${name}.claim`)) {
    const pid = await read<number>(path);
    if (pid === undefined || isAlive(pid)) return false;
    await rm(path, { force: true });
  }
  return writeFile(path, `${process.pid}`, { flag: 'wx' }).then(
    () => true,
    () => false,
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function finish(folder: string, name: string, record: object): Promise<void> {
  await writeJsonAtomic(at(folder, `${name}.json`), record);
  await rm(at(folder, `${name}.claim`), { force: true });
}

async function prepare(): Promise<void> {
  const tokenizer = await loadTokenizer(options.model);
  const { shared, scenes } = options;
  const count = (s: Parameters<Parameters<typeof prepareData>[1]>[0]) => {
    const reply = (text: string) => tokenizer.renderReply(s.messages, text);
    const { prompt, replyIds } = reply(s.chosen);
    const other = s.rejected === undefined ? [] : reply(s.rejected).replyIds;
    return { prompt: prompt.ids.length, reply: Math.max(replyIds.length, other.length) };
  };
  const data = await prepareData({ shared, scenes, folder: at('data') }, count);
  say(SETS.map((name) => `${name} ${data[name].length}`).join(', '));
}

const SHARD = 160;

/** Margins of pool and selection under the first weights, in shards. */
async function base(laboratory: Laboratory): Promise<void> {
  const all = [...laboratory.data.pool, ...laboratory.data.selection];
  for (let from = 0; from < all.length; from += SHARD) {
    const name = `pool-${from}`;
    if (!(await claims('base', name))) continue;
    await finish('base', name, await laboratory.firstMargins(all.slice(from, from + SHARD)));
    say(`base: ${name} of ${all.length}`);
  }
}

async function firstMargins(): Promise<Record<string, number>> {
  const files = (await readdir(at('base'))).filter((file) => file.endsWith('.json'));
  const shards = await Promise.all(
    files.map((file) => read<Record<string, number>>(at('base', file))),
  );
  return Object.assign({}, ...shards) as Record<string, number>;
}

const numbers = (text: string): number[] => text.split(',').map(Number);

function grid(): Choice[] {
  return numbers(options.epochs).flatMap((epochs) =>
    options.optimizers.split(',').flatMap((optimizer) =>
      numbers(options.rates).flatMap((learningRate) =>
        numbers(options.retentions).flatMap((retentionWeight) =>
          numbers(options.betas).map((preferenceBeta) => ({
            learningRate,
            retentionWeight,
            preferenceBeta,
            optimizer: optimizer as Choice['optimizer'],
            epochs,
          })),
        ),
      ),
    ),
  );
}

interface Tried {
  readonly choice: Choice;
  readonly bothRight: { share: number };
  readonly margin: number;
  readonly retention: Required<Reading>['retention'];
}

/** Short runs on the train split; what is best there within the perplexity bound is taken. */
async function sweep(laboratory: Laboratory): Promise<void> {
  const first = await firstMargins();
  const dose = Number(options.dose);
  for (const choice of grid()) {
    const { optimizer, learningRate, retentionWeight, preferenceBeta, epochs } = choice;
    const name = `${optimizer}-${learningRate}-${retentionWeight}-${preferenceBeta}-${epochs}`;
    if (!(await claims('sweep', name))) continue;
    const cell: Cell = { name, group: 'sweep', arm: 'real', dose, seed: 0 };
    const trained = await laboratory.train(cell, laboratory.draw(dose, 0, first), choice);
    const reading = await laboratory.readSelection(trained.weights);
    const tried = { ...told(trained), choice, ...summaryOf(reading), retention: reading.retention };
    await finish('sweep', name, tried);
    const { share } = tried.bothRight;
    say(
      `${name}: moved ${(100 * trained.movedShare).toFixed(1)} %, both right ${share.toFixed(3)}, ` +
        `margin ${tried.margin.toFixed(3)}, perplexity × ` +
        `${reading.retention?.perplexity.ratio.toFixed(3)}, ${trained.seconds.toFixed(0)} s`,
    );
  }
}

const PERPLEXITY_MAX = 1.02;

async function choose(): Promise<Choice> {
  const known = await read<Choice>(at('choice.json'));
  if (known !== undefined) return known;
  const files = (await readdir(at('sweep'))).filter((file) => file.endsWith('.json'));
  const tried = (await Promise.all(files.map((file) => read<Tried>(at('sweep', file))))).filter(
    (one) => one !== undefined,
  );
  const cheap = tried.filter(({ retention }) => retention.perplexity.ratio <= PERPLEXITY_MAX);
  const ranked = (cheap.length > 0 ? cheap : tried).sort(
    (a, b) => b.bothRight.share - a.bothRight.share || b.margin - a.margin,
  );
  const best = ranked[0];
  if (best === undefined) throw new Error('experiment: no sweep to choose from; run "sweep" first');
  await writeJsonAtomic(at('choice.json'), best.choice);
  return best.choice;
}

/** Both-right share and mean margin of the crossed pairs of a reading. */
function summaryOf({ margins }: Reading): { bothRight: { share: number }; margin: number } {
  const sides = Object.entries(margins).flatMap(([id, margin]) =>
    /:[ab]$/.test(id) ? [{ pair: id.slice(0, -2), side: id.slice(-1) as 'a' | 'b', margin }] : [],
  );
  const margin = sides.reduce((total, side) => total + side.margin, 0) / sides.length;
  return { bothRight: bothRight(sides), margin };
}

function told({ weights: _, delta: __, scenarios, ...numbersOfIt }: Trained): object {
  return { ...numbersOfIt, scenarios: scenarios.length };
}

async function runCell(laboratory: Laboratory, cell: Cell, choice: Choice): Promise<object> {
  if (cell.arm === 'none') return laboratory.read({});
  const drawn = laboratory.draw(cell.dose, cell.seed, await firstMargins());
  if (cell.arm === 'surface') return laboratory.surface(drawn, choice, cell.seed);
  const reference = cell.normOf === undefined ? undefined : at('runs', `${cell.normOf}.json`);
  const norm = reference && (await read<{ norm: number }>(reference))?.norm;
  const trained = await laboratory.train(cell, drawn, choice, norm || undefined);
  await mkdir(at('deltas'), { recursive: true });
  const content = { baseHash: laboratory.model.baseHash, tensors: trained.delta };
  if (cell.weights === undefined) {
    await writeDelta(at('deltas', `${cell.name}.safetensors`), content);
  }
  return {
    ...told(trained),
    ...(await laboratory.read(cell, trained.weights)),
    ...(cell.isFlatnessRead
      ? { flatness: await laboratory.flatness(trained, choice, cell.seed) }
      : {}),
  };
}

const isLate = (): boolean => new Date().toTimeString().slice(0, 5) >= options.until;

async function run(laboratory: Laboratory): Promise<void> {
  const choice = await choose();
  say(`settings: ${JSON.stringify(choice)}`);
  const wanted = CELLS.filter(
    ({ group }) => options.groups === '' || options.groups.split(',').includes(group),
  );
  for (let isWaiting = true; isWaiting && !isLate(); ) {
    isWaiting = false;
    for (const cell of wanted) {
      if (isLate()) break;
      const done = new Set(await readdir(at('runs')).catch(() => []));
      if (cell.normOf !== undefined && !done.has(`${cell.normOf}.json`)) {
        isWaiting ||= !done.has(`${cell.name}.json`);
        continue;
      }
      if (!(await claims('runs', cell.name))) continue;
      const started = performance.now();
      const record = await runCell(laboratory, cell, choice);
      const seconds = (performance.now() - started) / 1000;
      const { baseHash } = laboratory.model;
      await finish('runs', cell.name, { cell, choice, baseHash, ...record, wallSeconds: seconds });
      const { share } = summaryOf(record as Reading).bothRight;
      say(`${cell.name}: both right ${share.toFixed(3)} (dev and suites), ${seconds.toFixed(0)} s`);
    }
    if (isWaiting) await wait(3000);
  }
}

/** What the gate says of three nights; two of them must be refused. */
async function gate(laboratory: Laboratory): Promise<void> {
  const [choice, first] = [await choose(), await firstMargins()];
  for (const night of NIGHTS) {
    if (!(await claims('gate', night))) continue;
    const verdict = await nightVerdict(laboratory, night, first, choice);
    await finish('gate', night, verdict);
    const refused = verdict.reasons.filter(({ passes }) => !passes);
    say(`gate, ${night}: ${verdict.passes ? 'passes' : 'refused'}`);
    for (const { rule, text } of refused) say(`  ${rule}: ${text}`);
  }
}

/** What base, real and deaf say by themselves. */
async function replies(): Promise<void> {
  const data = await readData(at('data'));
  const of = (kind: string) => data.suites.filter((s) => s.kind === kind).slice(0, 20);
  const set = {
    suites: ['listen', 'push-back', 'invite'].flatMap(of),
    pairs: data.dev.filter((_, i) => i % 8 < 2),
  };
  for (const name of ['base', 'real-500-1', 'deaf-500-1', 'real-500-2', 'deaf-500-2']) {
    const deltas = name === 'base' ? [] : [at('deltas', `${name}.safetensors`)];
    if (!(await claims('replies', name))) continue;
    const places = { modelDir: options.model, cacheDir: options.cache };
    const spoken = await spokenReplies(places, deltas, set);
    await finish('replies', name, spoken);
    const { nearer, bothNearer, passes } = spoken;
    say(`replies, ${name}: ${JSON.stringify({ nearer, bothNearer, passes })}`);
  }
}

const stage = positionals[0] ?? '';
if (stage === 'prepare') await prepare();
else if (stage === 'replies') await replies();
else if (stage === 'choose') say(JSON.stringify(await choose()));
else {
  const data = await readData(at('data'));
  const laboratory = await Laboratory.open({ model: options.model, cache: options.cache, data });
  if (stage === 'base') await base(laboratory);
  else if (stage === 'sweep') await sweep(laboratory);
  else if (stage === 'run') await run(laboratory);
  else if (stage === 'gate') await gate(laboratory);
  else throw new Error('experiment: prepare, base, sweep, choose, run, gate or replies');
  await laboratory.close();
}
