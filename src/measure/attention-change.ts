// How attention on marked spans changed between weights, on identical tokens: lift by layer and
// head, and whether its movement says which replies changed.
import type { Reader, TrainableWeights } from '../reading/reader.ts';
import type { Example } from '../scenario/example.ts';
import type { Feature } from '../scenario/span.ts';
import { attentionLift, type LiftMap, sinkPositions, windowMean } from './lift.ts';
import { type Estimate, type EstimateOptions, estimate, mean } from './statistics.ts';

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
}

/** One example's lift of one feature in the window, after − before. */
export interface Movement {
  readonly id: string;
  readonly feature: Feature;
  readonly moved: number;
}

export interface AttentionOptions {
  readonly features: readonly Feature[];
  /** Tokens that count as attention sink. */
  readonly controlIds: ReadonlySet<number>;
  readonly statistics?: EstimateOptions;
  /** Awaited before each example. */
  readonly beforeEach?: () => Promise<void>;
}

interface LookedAt {
  readonly example: Example;
  readonly before: LiftMap;
  readonly after: LiftMap;
}

/**
 * Lift of the spans of some features at the decision row under both weights; each example is run
 * once under each. A feature that no example marks is absent.
 */
export async function attentionChanges(
  reader: Reader,
  examples: readonly Example[],
  weights: { readonly before: TrainableWeights; readonly after: TrainableWeights },
  options: AttentionOptions,
): Promise<{ changes: AttentionChange[]; movements: Movement[] }> {
  const { features, beforeEach } = options;
  const looked = new Map<Feature, LookedAt[]>(features.map((feature) => [feature, []]));
  for (const example of examples) {
    if (!example.spans.some((span) => looked.has(span.feature))) continue;
    await beforeEach?.();
    const before = await liftsOf(reader, example, weights.before, options);
    const after = await liftsOf(reader, example, weights.after, options);
    for (const [i, feature] of features.entries()) {
      const [was, is] = [before[i], after[i]];
      if (was === undefined || is === undefined) continue;
      looked.get(feature)?.push({ example, before: was, after: is });
    }
  }
  return {
    changes: [...looked].flatMap(([feature, maps]) => changeOf(feature, maps, options)),
    movements: [...looked].flatMap(([feature, maps]) =>
      maps.map((one) => ({ id: one.example.scenario.id, feature, moved: movedBy(one) })),
    ),
  };
}

function movedBy({ before, after }: LookedAt): number {
  const { layers, heads } = before;
  return windowMean(after.lift, layers, heads) - windowMean(before.lift, layers, heads);
}

function changeOf(
  feature: Feature,
  maps: readonly LookedAt[],
  { statistics }: AttentionOptions,
): AttentionChange[] {
  const first = maps[0]?.before;
  if (first === undefined) return [];
  const { layers, heads } = first;
  const averaged = (side: 'before' | 'after'): HeadMap => {
    const values = Array.from(first.lift, (_, i) =>
      mean(maps.map((one) => one[side].lift[i] ?? 0)),
    );
    return { layers, heads, values };
  };
  const moved = maps.map((one) => ({
    value: movedBy(one),
    cluster: one.example.scenario.source.cluster,
  }));
  const [before, after] = [averaged('before'), averaged('after')];
  return [{ feature, examples: maps.length, before, after, window: estimate(moved, statistics) }];
}

/** The lift of each feature, in the order of `features`; undefined where no token is visible. */
async function liftsOf(
  reader: Reader,
  example: Example,
  weights: TrainableWeights,
  { features, controlIds }: AttentionOptions,
): Promise<(LiftMap | undefined)[]> {
  const cache = await reader.prefill(example.contextIds, weights);
  const capture = await reader.capture(cache, example.chosen, weights, [0]);
  cache.release();
  const sink = sinkPositions([...example.contextIds, ...example.chosen.ids], controlIds);
  return features.map((feature) => {
    const spans = example.spans.filter((span) => span.feature === feature);
    return spans.length === 0 ? undefined : attentionLift(capture, spans, sink);
  });
}
