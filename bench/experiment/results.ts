// The records of the training experiment, read from its folder.
import type { Flatness } from '../../src/train/flatness.ts';
import { type Cell, cellsOf, headlineDose, remedyCellsOf } from './cells.ts';
import type { Reading } from './laboratory.ts';
import { NIGHTS, type NightVerdict } from './nights.ts';
import type { SpokenReplies } from './replies.ts';
import type { Choice } from './settings.ts';
import type { ExperimentSize } from './size.ts';
import type { Tried } from './sweep.ts';
import type { WorkFolder } from './work-folder.ts';

export interface Run extends Reading {
  readonly cell: Cell;
  readonly choice: Choice;
  readonly baseHash: string;
  readonly movedShare?: number;
  readonly norm?: number;
  readonly trainedNorm?: number;
  readonly steps?: number;
  readonly scenarios?: number;
  readonly seconds?: number;
  readonly wallSeconds: number;
  readonly firstTerms?: Readonly<Record<string, number>>;
  readonly lastTerms?: Readonly<Record<string, number>>;
  readonly flatness?: Flatness;
}

/** Everything that an experiment has written so far. */
export interface Results {
  readonly runs: readonly Run[];
  /** The headline's. */
  readonly dose: number;
  /** What was registered and is not there, in words. */
  readonly missing: readonly string[];
  readonly tried: readonly Tried[];
  readonly gates: Readonly<Record<string, NightVerdict>>;
  readonly replies: Readonly<Record<string, SpokenReplies>>;
}

export async function readResults(work: WorkFolder, size: ExperimentSize): Promise<Results> {
  const order = [...cellsOf(size), ...remedyCellsOf(size)].map(({ name }) => name);
  const runs = (await work.readAll<Run>('runs')).sort(
    (a, b) => order.indexOf(a.cell.name) - order.indexOf(b.cell.name),
  );
  const named = async <T>(kind: string): Promise<Record<string, T>> => {
    const names = await work.done(kind);
    const all = names.map(async (name) => [name, await work.read<T>(kind, `${name}.json`)]);
    return Object.fromEntries(await Promise.all(all)) as Record<string, T>;
  };
  const found = {
    runs,
    dose: headlineDose(size),
    tried: await work.readAll<Tried>('sweep'),
    gates: await named<NightVerdict>('gate'),
    replies: await named<SpokenReplies>('replies'),
  };
  return { ...found, missing: missing(found, cellsOf(size), await work.allFailures()) };
}

function missing(
  { runs, tried, gates, replies }: Omit<Results, 'missing'>,
  cells: readonly Cell[],
  failures: readonly string[],
): string[] {
  const done = new Set(runs.map(({ cell }) => cell.name));
  const listed = (what: string, names: readonly string[]): string[] =>
    names.length === 0 ? [] : [`${what}: ${names.join(', ')}`];
  const absent = cells.map(({ name }) => name).filter((name) => !done.has(name));
  return [
    ...listed('cells (arm, dose, seed)', absent),
    ...(tried.length === 0 ? ['the sweep: the settings are the defaults'] : []),
    ...listed(
      'nights before the gate',
      NIGHTS.filter((night) => gates[night] === undefined),
    ),
    ...(Object.keys(replies).length === 0 ? ['free replies'] : []),
    ...listed('tried and given up', failures),
  ];
}

/** Runs of a group, and of one dose, by seed. */
export function runsOf(runs: readonly Run[], group: string, dose?: number): Run[] {
  return runs
    .filter(({ cell }) => cell.group === group && (dose === undefined || cell.dose === dose))
    .sort((a, b) => a.cell.seed - b.cell.seed);
}

/** One number a unit (a pair, a scenario, a looked-at example), and the source it belongs to. */
export type Values = ReadonlyMap<string, { readonly value: number; readonly cluster: string }>;

/** Crossed pairs whose id has `part`: 1 where both sides are right. */
export function rightPairs(run: Run, part: string, margins = run.margins): Values {
  const values = new Map<string, { value: number; cluster: string }>();
  for (const [id, margin] of Object.entries(margins)) {
    const other = margins[`${id.slice(0, -1)}b`];
    if (!id.endsWith(':a') || !id.includes(part) || other === undefined) continue;
    const value = Number(margin > 0 && other > 0);
    values.set(id.slice(0, -2), { value, cluster: run.clusters[id] ?? id });
  }
  return values;
}
