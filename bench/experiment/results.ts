// The records of the training experiment: reads them, compares cells by pair and by seed.
import type { AttentionChange } from '../../src/measure/attention-change.ts';
import { acrossSeeds, type Estimate, estimate } from '../../src/measure/statistics.ts';
import type { Flatness } from '../../src/train/flatness.ts';
import type { Cell } from './cells.ts';
import type { Reading } from './laboratory.ts';
import type { NightVerdict } from './nights.ts';
import type { SpokenReplies } from './replies.ts';
import type { Choice } from './settings.ts';
import type { Tried } from './stages.ts';
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
  /** The largest dose: that of the headline. */
  readonly dose: number;
  readonly tried: readonly Tried[];
  readonly gates: Readonly<Record<string, NightVerdict>>;
  readonly replies: Readonly<Record<string, SpokenReplies>>;
}

export async function readResults(work: WorkFolder): Promise<Results> {
  const runs = await work.readAll<Run>('runs');
  const named = async <T>(kind: string): Promise<Record<string, T>> => {
    const names = await work.done(kind);
    const all = names.map(async (name) => [name, await work.read<T>(kind, `${name}.json`)]);
    return Object.fromEntries(await Promise.all(all)) as Record<string, T>;
  };
  return {
    runs,
    dose: Math.max(...runs.map(({ cell }) => cell.dose)),
    tried: await work.readAll<Tried>('sweep'),
    gates: await named<NightVerdict>('gate'),
    replies: await named<SpokenReplies>('replies'),
  };
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

/** Margins of scenarios whose id has `part`, nats a token. */
export function margins(run: Run, part: string): Values {
  return new Map(
    Object.entries(run.margins)
      .filter(([id]) => id.includes(part))
      .map(([id, value]) => [id, { value, cluster: run.clusters[id] ?? id }]),
  );
}

/** Window lift after − before of each looked-at example. */
export function liftGains(run: Run, feature: 'direction' | 'ownIdea'): Values {
  const change: AttentionChange | undefined = run.attention?.[feature];
  return new Map(
    (change?.windows ?? []).map(({ id, cluster, before, after }) => [
      id,
      { value: after - before, cluster },
    ]),
  );
}

export const meanValue = (values: Values): number =>
  [...values.values()].reduce((total, { value }) => total + value, 0) / values.size;

export interface Contrast {
  /** Differences averaged over the seeds, clustered by source: what other talk would give. */
  readonly byUnit: Estimate;
  /** One mean a seed: what another training would give. */
  readonly bySeed: Estimate;
  readonly seeds: number;
}

/** `of` runs − `from` runs at equal seeds; `from` may be one run without a seed (the base). */
export function contrast(
  of: readonly Run[],
  from: readonly Run[],
  values: (run: Run) => Values,
): Contrast | undefined {
  const units = new Map<string, { total: number; count: number; cluster: string }>();
  const seeds: number[] = [];
  for (const run of of) {
    const other = from.find(({ cell }) => cell.seed === run.cell.seed || cell.arm === 'none');
    if (other === undefined) continue;
    const was = values(other);
    let [total, count] = [0, 0];
    for (const [id, { value, cluster }] of values(run)) {
      const before = was.get(id)?.value;
      if (before === undefined) continue;
      const unit = units.get(id) ?? { total: 0, count: 0, cluster };
      units.set(id, { cluster, total: unit.total + value - before, count: unit.count + 1 });
      total += value - before;
      count++;
    }
    if (count > 0) seeds.push(total / count);
  }
  if (seeds.length === 0) return undefined;
  const observations = [...units.values()].map(({ total, count, cluster }) => ({
    value: total / count,
    cluster,
  }));
  return { byUnit: estimate(observations), bySeed: acrossSeeds(seeds), seeds: seeds.length };
}

const interval = ({ mean, low, high, p, clusters }: Estimate): string =>
  clusters < 2
    ? mean.toFixed(3)
    : `${mean.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}], p ${pText(p)}`;

/** One-sided p that the mean is not above zero; near 1 means below zero. */
const pText = (p: number): string => (p < 0.001 ? p.toExponential(0) : p.toFixed(3));

export function contrastText(found: Contrast | undefined): string {
  if (found === undefined) return '– | –';
  const seeds = found.seeds < 2 ? `${found.bySeed.mean.toFixed(3)} (1 seed)` : '';
  return `${interval(found.byUnit)} | ${seeds || interval(found.bySeed)}`;
}
