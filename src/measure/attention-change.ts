// How attention on marked spans changed between weights: lift by layer and head, use, knock-out.

import type { Reader, TrainableWeights } from '../reading/reader.ts';
import type { Example } from '../scenario/example.ts';
import type { Feature } from '../scenario/span.ts';
import { attentionLift, type LiftMap, sinkPositions, windowMean } from './lift.ts';
import {
  type Estimate,
  type EstimateOptions,
  estimate,
  mean,
  type Observation,
} from './statistics.ts';

/** Layers × heads, row-major. */
export interface HeadMap {
  readonly layers: number;
  readonly heads: number;
  readonly values: readonly number[];
}

export interface AttentionChange {
  readonly feature: Feature;
  readonly examples: number;
  /** Mean lift before and after, by layer and head: all layers are shown. */
  readonly before: HeadMap;
  readonly after: HeadMap;
  /** Paired change of the mean over the window (first two thirds of the layers, all heads). */
  readonly window: Estimate;
  /** The same of value-weighted attention. */
  readonly valueWindow: Estimate;
  /** Mean attention on the sink in the window. */
  readonly sinkBefore: number;
  readonly sinkAfter: number;
  /** Change in the window beyond the placebo's. */
  readonly windowBeyondDeaf?: Estimate;
  /** Mean lift in the window of each example, so that runs can be compared example by example. */
  readonly windows: readonly WindowLift[];
}

export interface WindowLift {
  readonly id: string;
  readonly cluster: string;
  readonly before: number;
  readonly after: number;
}

export interface AttentionOptions {
  readonly features: readonly Feature[];
  readonly controlIds: ReadonlySet<number>;
  /** Rows of `chosen` that are read; the first (the decision row) by default. */
  readonly rows?: readonly number[];
  readonly statistics?: EstimateOptions;
}

interface Arms {
  readonly before: TrainableWeights;
  readonly after: TrainableWeights;
  readonly placebo?: TrainableWeights;
}

interface LookedAt {
  readonly example: Example;
  readonly before: LiftMap;
  readonly after: LiftMap;
  readonly placebo?: LiftMap;
}

/**
 * Lift of the spans of some features under each of the weights, the same tokens throughout; each
 * example is run once under each. A feature that no example marks is absent.
 */
export async function attentionChanges(
  reader: Reader,
  examples: readonly Example[],
  arms: Arms,
  options: AttentionOptions,
): Promise<Partial<Record<Feature, AttentionChange>>> {
  const { features } = options;
  const looked = new Map<Feature, LookedAt[]>(features.map((feature) => [feature, []]));
  for (const example of examples) {
    if (!example.spans.some((span) => looked.has(span.feature))) continue;
    const [before, after] = [
      await liftsOf(reader, example, arms.before, options),
      await liftsOf(reader, example, arms.after, options),
    ];
    const placebo =
      arms.placebo === undefined
        ? undefined
        : await liftsOf(reader, example, arms.placebo, options);
    for (const [i, feature] of features.entries()) {
      const [was, is, other] = [before[i], after[i], placebo?.[i]];
      if (was === undefined || is === undefined) continue;
      const entry = { example, before: was, after: is };
      looked.get(feature)?.push(other === undefined ? entry : { ...entry, placebo: other });
    }
  }
  const changes = [...looked].flatMap(([feature, maps]) => {
    const change = changeOf(feature, maps, options);
    return change === undefined ? [] : [[feature, change] as const];
  });
  return Object.fromEntries(changes);
}

function changeOf(
  feature: Feature,
  maps: readonly LookedAt[],
  { statistics }: AttentionOptions,
): AttentionChange | undefined {
  const first = maps[0]?.before;
  if (first === undefined) return undefined;
  const { layers, heads } = first;
  const inWindow = (values: Float64Array): number => windowMean(values, layers, heads);
  const paired = (value: (entry: LookedAt) => number): Observation[] =>
    maps.map((entry) => ({ value: value(entry), cluster: entry.example.scenario.source.cluster }));
  const averaged = (pick: (entry: LookedAt) => Float64Array): HeadMap => ({
    layers,
    heads,
    values: meanOf(maps.map(pick)),
  });
  const sink = (side: 'before' | 'after'): number =>
    maps.reduce((total, entry) => total + inWindow(entry[side].sink), 0) / maps.length;
  const change = (pick: 'lift' | 'valueLift') =>
    estimate(
      paired(({ before, after }) => inWindow(after[pick]) - inWindow(before[pick])),
      statistics,
    );
  const beyond = paired(({ after, placebo }) =>
    placebo === undefined ? 0 : inWindow(after.lift) - inWindow(placebo.lift),
  );
  return {
    feature,
    examples: maps.length,
    before: averaged(({ before }) => before.lift),
    after: averaged(({ after }) => after.lift),
    window: change('lift'),
    valueWindow: change('valueLift'),
    sinkBefore: sink('before'),
    sinkAfter: sink('after'),
    windows: maps.map(({ example: { scenario }, before, after }) => ({
      id: scenario.id,
      cluster: scenario.source.cluster,
      before: inWindow(before.lift),
      after: inWindow(after.lift),
    })),
    ...(maps.every(({ placebo }) => placebo === undefined)
      ? {}
      : { windowBeyondDeaf: estimate(beyond, statistics) }),
  };
}

function meanOf(all: readonly Float64Array[]): number[] {
  const size = all[0]?.length ?? 0;
  return Array.from(
    { length: size },
    (_, i) => all.reduce((total, values) => total + (values[i] as number), 0) / all.length,
  );
}

/** The lift of each feature, in the order of `features`; undefined where no token is visible. */
async function liftsOf(
  reader: Reader,
  example: Example,
  weights: TrainableWeights,
  { features, controlIds, rows = [0] }: AttentionOptions,
): Promise<(LiftMap | undefined)[]> {
  const cache = await reader.prefill(example.contextIds, weights);
  const capture = await reader.capture(cache, example.chosen, weights, rows);
  cache.release();
  const sink = sinkPositions([...example.contextIds, ...example.chosen.ids], controlIds);
  return features.map((feature) => {
    const spans = example.spans.filter((span) => span.feature === feature);
    return spans.length === 0 ? undefined : attentionLift(capture, spans, sink);
  });
}

/**
 * Use, not mass: the drop in mean log p(chosen) a token when no decision row may attend to the
 * feature's spans. One number an example that has such spans.
 */
export async function knockOutDrops(
  reader: Reader,
  examples: readonly Example[],
  weights: TrainableWeights,
  feature: Feature,
): Promise<Observation[]> {
  const drops: Observation[] = [];
  for (const { contextIds, chosen, spans, scenario } of examples) {
    const hidden = spans
      .filter((span) => span.feature === feature)
      .map(({ start, end }) => ({ start, end: Math.min(end, contextIds.length) }));
    if (hidden.length === 0) continue;
    const cache = await reader.prefill(contextIds, weights);
    const [open] = await reader.logProbabilities(cache, [chosen], weights);
    const [shut] = await reader.logProbabilities(cache, [chosen], weights, { hidden });
    cache.release();
    drops.push({ value: mean(open ?? []) - mean(shut ?? []), cluster: scenario.source.cluster });
  }
  return drops;
}
