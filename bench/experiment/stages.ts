// The stages of the training experiment; each takes whatever work is left and unclaimed.
import { mkdir } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { isAttuneError } from '../../src/base/errors.ts';
import { writeDelta } from '../../src/model/delta.ts';
import { bothRight } from '../../src/reading/margin.ts';
import { type Cell, cellsOf, headlineDose, remedyCellsOf } from './cells.ts';
import type { Laboratory, Reading, Trained } from './laboratory.ts';
import { NIGHTS, nightVerdict } from './nights.ts';
import { spokenReplies } from './replies.ts';
import type { Choice } from './settings.ts';
import type { ExperimentSize } from './size.ts';
import { choose } from './sweep.ts';
import type { WorkFolder } from './work-folder.ts';

export interface StageContext {
  readonly laboratory: Laboratory;
  readonly work: WorkFolder;
  readonly size: ExperimentSize;
  readonly options: {
    readonly model: string;
    readonly cache: string;
    /** HH:MM */
    readonly until: string;
    /** Names, with commas between. */
    readonly groups: string;
    readonly remedies: boolean;
  };
  readonly say: (line: string) => void;
}

/** Whether the time of day is over at which no work is begun any more. */
export const isLate = ({ options }: StageContext): boolean =>
  new Date().toTimeString().slice(0, 5) >= options.until;

/**
 * Does a piece of work that nobody has. One that cannot be done (a training that diverges) is
 * recorded and ends nothing else.
 */
export async function attempt<T extends object>(
  { work, say }: StageContext,
  { kind, name }: { kind: string; name: string },
  begin: () => Promise<T>,
): Promise<T | undefined> {
  if (!(await work.claims(kind, name))) return undefined;
  try {
    const record = await begin();
    await work.finish(kind, name, record);
    return record;
  } catch (error) {
    if (!isAttuneError(error)) throw error;
    await work.fail(kind, name, error);
    say(`${name}: ${error.message}`);
    return undefined;
  }
}

const SHARD = 160;

/** Margins of pool and selection under the first weights, in shards. */
export async function base(context: StageContext): Promise<void> {
  const { laboratory, say } = context;
  const all = [...laboratory.data.pool, ...laboratory.data.selection];
  for (let from = 0; from < all.length; from += SHARD) {
    const name = `pool-${from}`;
    const shard = all.slice(from, from + SHARD);
    const margins = await attempt(context, { kind: 'base', name }, () =>
      laboratory.firstMargins(shard),
    );
    if (margins !== undefined) say(`base: ${name} of ${all.length}`);
  }
}

export async function firstMargins(work: WorkFolder): Promise<Record<string, number>> {
  return Object.assign({}, ...(await work.readAll('base'))) as Record<string, number>;
}

/** What is kept of a training: everything but the weights. */
export function told({ weights: _, delta: __, scenarios, ...numbers }: Trained) {
  return { ...numbers, scenarios: scenarios.length };
}

async function runCell(
  { laboratory, work }: StageContext,
  cell: Cell,
  choice: Choice,
): Promise<Reading> {
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
  const { work, options, size } = context;
  const groups = options.groups === '' ? undefined : options.groups.split(',');
  const wanted = [...cellsOf(size), ...(options.remedies ? remedyCellsOf(size) : [])].filter(
    ({ group }) => groups?.includes(group) ?? true,
  );
  for (let isWaiting = true; isWaiting && !isLate(context); ) {
    isWaiting = false;
    for (const cell of wanted) {
      if (isLate(context)) break;
      const done = await work.done('runs');
      if (cell.normOf !== undefined && !done.includes(cell.normOf)) {
        const isComing = wanted.some(({ name }) => name === cell.normOf);
        isWaiting ||= isComing && !(await work.hasFailed('runs', cell.normOf));
        continue;
      }
      await finishCell(context, cell);
    }
    if (isWaiting) await wait(3000);
  }
}

async function finishCell(context: StageContext, cell: Cell): Promise<void> {
  const record = await attempt(context, { kind: 'runs', name: cell.name }, async () => {
    const choice = await choose(context.work);
    const started = performance.now();
    const found = await runCell(context, cell, choice);
    const wallSeconds = (performance.now() - started) / 1000;
    return { cell, choice, baseHash: context.laboratory.model.baseHash, ...found, wallSeconds };
  });
  if (record === undefined) return;
  const { share } = bothRight(devSides(record));
  context.say(`${cell.name}: both right ${share.toFixed(3)}, ${record.wallSeconds.toFixed(0)} s`);
}

function devSides({ margins }: Reading) {
  return Object.entries(margins).flatMap(([id, margin]) =>
    /^crossed:.*:[ab]$/.test(id)
      ? [{ pair: id.slice(0, -2), side: id.slice(-1) as 'a' | 'b', margin }]
      : [],
  );
}

/** What the gate says of three nights; two of them must be refused. */
export async function gate(context: StageContext): Promise<void> {
  const { laboratory, work, say, size } = context;
  const choice = await choose(work);
  for (const night of NIGHTS) {
    const verdict = await attempt(context, { kind: 'gate', name: night }, async () => {
      const scenarios = laboratory.draw(size.nightDose, 1, await firstMargins(work));
      return nightVerdict(laboratory, { night, scenarios, choice });
    });
    if (verdict === undefined) continue;
    const refused = verdict.reasons.filter(({ passes }) => !passes);
    say(`gate, ${night}: ${verdict.passes ? 'passes' : 'refused'}`);
    for (const { rule, text } of refused) say(`  ${rule}: ${text}`);
  }
}

/** What base, real and deaf say by themselves. */
export async function replies(context: StageContext): Promise<void> {
  const { work, options, size, say } = context;
  const { data } = context.laboratory;
  const of = (kind: string) =>
    data.suites.filter((s) => s.kind === kind).slice(0, size.repliesPerKind);
  const set = {
    suites: ['listen', 'push-back', 'invite'].flatMap(of),
    pairs: data.dev.filter((_, i) => i % 8 < 2),
  };
  const done = await work.done('runs');
  const dose = headlineDose(size);
  const speaking = [1, 2].flatMap((seed) => [`real-${dose}-${seed}`, `deaf-${dose}-${seed}`]);
  for (const name of ['base', ...speaking.filter((cell) => done.includes(cell))]) {
    const deltas = name === 'base' ? [] : [work.at('deltas', `${name}.safetensors`)];
    const places = { modelDir: options.model, cacheDir: options.cache };
    const spoken = await attempt(context, { kind: 'replies', name }, () =>
      spokenReplies(places, deltas, set),
    );
    if (spoken === undefined) continue;
    const { nearer, bothNearer, passes } = spoken;
    say(`replies, ${name}: ${JSON.stringify({ nearer, bothNearer, passes })}`);
  }
}
