// The stages of the training experiment; each takes whatever work is left and unclaimed.
import { mkdir } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { writeJsonAtomic } from '../../src/base/atomic-file.ts';
import { bothRight } from '../../src/measure/margin.ts';
import type { Retention } from '../../src/measure/retention.ts';
import { writeDelta } from '../../src/model/delta.ts';
import { CELLS, type Cell, REMEDY_CELLS } from './cells.ts';
import type { Laboratory, Reading, Trained } from './laboratory.ts';
import { NIGHTS, nightVerdict } from './nights.ts';
import { spokenReplies } from './replies.ts';
import type { Choice } from './settings.ts';
import type { WorkFolder } from './work-folder.ts';

export interface StageContext {
  readonly laboratory: Laboratory;
  readonly work: WorkFolder;
  readonly options: {
    readonly model: string;
    readonly cache: string;
    readonly until: string;
    readonly groups: string;
    readonly remedies: boolean;
    readonly rates: string;
    readonly retentions: string;
    readonly betas: string;
    readonly optimizers: string;
    readonly epochs: string;
    readonly dose: string;
  };
  readonly say: (line: string) => void;
}

const SHARD = 160;

/** Margins of pool and selection under the first weights, in shards. */
export async function base({ laboratory, work, say }: StageContext): Promise<void> {
  const all = [...laboratory.data.pool, ...laboratory.data.selection];
  for (let from = 0; from < all.length; from += SHARD) {
    const name = `pool-${from}`;
    if (!(await work.claims('base', name))) continue;
    const margins = await laboratory.firstMargins(all.slice(from, from + SHARD));
    await work.finish('base', name, margins);
    say(`base: ${name} of ${all.length}`);
  }
}

async function firstMargins(work: WorkFolder): Promise<Record<string, number>> {
  return Object.assign({}, ...(await work.readAll('base'))) as Record<string, number>;
}

const numbers = (text: string): number[] => text.split(',').map(Number);

function grid(options: StageContext['options']): Choice[] {
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

export interface Tried {
  readonly choice: Choice;
  readonly movedShare: number;
  readonly bothRight: { readonly share: number };
  readonly margin: number;
  readonly retention: Retention;
}

/** Short runs on the train split, of which `choose` takes one. */
export async function sweep({ laboratory, work, options, say }: StageContext): Promise<void> {
  const first = await firstMargins(work);
  const dose = Number(options.dose);
  for (const choice of grid(options)) {
    const { optimizer, learningRate, retentionWeight, preferenceBeta, epochs } = choice;
    const name = `${optimizer}-${learningRate}-${retentionWeight}-${preferenceBeta}-${epochs}`;
    if (!(await work.claims('sweep', name))) continue;
    const cell: Cell = { name, group: 'sweep', arm: 'real', dose, seed: 0 };
    const trained = await laboratory.train(cell, laboratory.draw(dose, 0, first), choice);
    const reading = await laboratory.readSelection(trained.weights);
    const { share } = summaryOf(reading).bothRight;
    const { ratio } = reading.retention.perplexity;
    await work.finish('sweep', name, {
      ...told(trained),
      ...summaryOf(reading),
      choice,
      retention: reading.retention,
    });
    say(
      `${name}: moved ${(100 * trained.movedShare).toFixed(1)} %, both right ` +
        `${share.toFixed(3)}, perplexity × ${ratio.toFixed(3)}, ${trained.seconds.toFixed(0)} s`,
    );
  }
}

const PERPLEXITY_MAX = 1.02;

/** What is best on the train split within the perplexity bound; once chosen, it stays. */
export async function choose(work: WorkFolder): Promise<Choice> {
  const known = await work.read<Choice>('choice.json');
  if (known !== undefined) return known;
  const tried = await work.readAll<Tried>('sweep');
  const cheap = tried.filter(({ retention }) => retention.perplexity.ratio <= PERPLEXITY_MAX);
  const ranked = (cheap.length > 0 ? cheap : tried).sort(
    (a, b) => b.bothRight.share - a.bothRight.share || b.margin - a.margin,
  );
  const best = ranked[0];
  if (best === undefined) throw new Error('experiment: no sweep to choose from; run "sweep" first');
  await writeJsonAtomic(work.at('choice.json'), best.choice);
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

async function runCell(
  { laboratory, work }: StageContext,
  cell: Cell,
  choice: Choice,
): Promise<object> {
  if (cell.arm === 'none') return laboratory.read({});
  const drawn = laboratory.draw(cell.dose, cell.seed, await firstMargins(work));
  if (cell.arm === 'surface') return laboratory.surface(drawn, choice, cell.seed);
  const model =
    cell.normOf === undefined
      ? undefined
      : await work.read<{ norm: number }>('runs', `${cell.normOf}.json`);
  const trained = await laboratory.train(cell, drawn, choice, model?.norm);
  await mkdir(work.at('deltas'), { recursive: true });
  const content = { baseHash: laboratory.model.baseHash, tensors: trained.delta };
  if (cell.weights === undefined) {
    await writeDelta(work.at('deltas', `${cell.name}.safetensors`), content);
  }
  return {
    ...told(trained),
    ...(await laboratory.read(cell, trained.weights)),
    ...(cell.isFlatnessRead
      ? { flatness: await laboratory.flatness(trained, choice, cell.seed) }
      : {}),
  };
}

/** Cells in their order; one that needs another's norm waits for it. */
export async function run(context: StageContext): Promise<void> {
  const { work, options, say, laboratory } = context;
  const choice = await choose(work);
  const isLate = (): boolean => new Date().toTimeString().slice(0, 5) >= options.until;
  const groups = options.groups === '' ? undefined : options.groups.split(',');
  const wanted = [...CELLS, ...(options.remedies ? REMEDY_CELLS : [])].filter(
    ({ group }) => groups?.includes(group) ?? true,
  );
  for (let isWaiting = true; isWaiting && !isLate(); ) {
    isWaiting = false;
    for (const cell of wanted) {
      if (isLate()) break;
      const done = await work.done('runs');
      if (cell.normOf !== undefined && !done.includes(cell.normOf)) {
        const isComing = wanted.some(({ name }) => name === cell.normOf);
        isWaiting ||= isComing && !done.includes(cell.name);
        continue;
      }
      if (!(await work.claims('runs', cell.name))) continue;
      const started = performance.now();
      const record = await runCell(context, cell, choice);
      const wallSeconds = (performance.now() - started) / 1000;
      const { baseHash } = laboratory.model;
      await work.finish('runs', cell.name, { cell, choice, baseHash, ...record, wallSeconds });
      const { share } = summaryOf(record as Reading).bothRight;
      say(`${cell.name}: both right ${share.toFixed(3)}, ${wallSeconds.toFixed(0)} s`);
    }
    if (isWaiting) await wait(3000);
  }
}

/** What the gate says of three nights; two of them must be refused. */
export async function gate({ laboratory, work, say }: StageContext): Promise<void> {
  const [choice, first] = [await choose(work), await firstMargins(work)];
  for (const night of NIGHTS) {
    if (!(await work.claims('gate', night))) continue;
    const verdict = await nightVerdict(laboratory, night, first, choice);
    await work.finish('gate', night, verdict);
    const refused = verdict.reasons.filter(({ passes }) => !passes);
    say(`gate, ${night}: ${verdict.passes ? 'passes' : 'refused'}`);
    for (const { rule, text } of refused) say(`  ${rule}: ${text}`);
  }
}

/** What base, real and deaf say by themselves. */
export async function replies({ laboratory, work, options, say }: StageContext): Promise<void> {
  const { data } = laboratory;
  const of = (kind: string) => data.suites.filter((s) => s.kind === kind).slice(0, 20);
  const set = {
    suites: ['listen', 'push-back', 'invite'].flatMap(of),
    pairs: data.dev.filter((_, i) => i % 8 < 2),
  };
  const done = await work.done('runs');
  const speaking = [1, 2].flatMap((seed) => [`real-500-${seed}`, `deaf-500-${seed}`]);
  for (const name of ['base', ...speaking.filter((cell) => done.includes(cell))]) {
    const deltas = name === 'base' ? [] : [work.at('deltas', `${name}.safetensors`)];
    if (!(await work.claims('replies', name))) continue;
    const places = { modelDir: options.model, cacheDir: options.cache };
    const spoken = await spokenReplies(places, deltas, set);
    await work.finish('replies', name, spoken);
    const { nearer, bothNearer, passes } = spoken;
    say(`replies, ${name}: ${JSON.stringify({ nearer, bothNearer, passes })}`);
  }
}
