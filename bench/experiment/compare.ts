// Compares runs of the training experiment: by pair or example, and by seed.
import { acrossSeeds, type Estimate, estimate } from '../../src/measure/statistics.ts';
import type { Run, Values } from './results.ts';

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
  const change = run.attention?.[feature];
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

/** Mean, interval and p; the mean alone where fewer than two sources tell nothing more. */
export const intervalText = ({ mean, low, high, p, clusters }: Estimate): string =>
  clusters < 2
    ? mean.toFixed(3)
    : `${mean.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}], p ${pText(p)}`;

/** One-sided p that the mean is not above zero; near 1 means below zero. */
export const pText = (p: number): string => (p < 1e-4 ? '< 0.0001' : p.toPrecision(2));

export function contrastText(found: Contrast | undefined): string {
  if (found === undefined) return '– | –';
  const seeds = found.seeds < 2 ? `${found.bySeed.mean.toFixed(3)} (1 seed)` : '';
  return `${intervalText(found.byUnit)} | ${seeds || intervalText(found.bySeed)}`;
}
