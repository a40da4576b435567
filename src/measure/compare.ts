// Paired comparisons of scored examples: gains by kind, cache condition, distance, domain and arm.

import { bothRightByPair, type PairSide } from '../reading/margin.ts';
import { type ScoredExample, scoreOf } from '../reading/scenario-margin.ts';
import type { Kind } from '../scenario/kind.ts';
import { directionDistance } from '../scenario/scenario.ts';
import {
  type Estimate,
  type EstimateOptions,
  estimate,
  mean,
  type Observation,
} from './statistics.ts';

/** A mean before and after, and the paired change with its interval. */
export interface Change {
  readonly before: number;
  readonly after: number;
  readonly change: Estimate;
}

/** One observation an example: after − before; both lists hold the same examples in one order. */
export function pairedGains(
  before: readonly ScoredExample[],
  after: readonly ScoredExample[],
): Observation[] {
  return after.map((scored, i) => ({
    value: scoreOf(scored) - scoreOf(before[i] as ScoredExample),
    cluster: scored.example.scenario.source.cluster,
  }));
}

export function changeOf(
  before: readonly ScoredExample[],
  after: readonly ScoredExample[],
  options: EstimateOptions,
): Change {
  return {
    before: mean(before.map(scoreOf)),
    after: mean(after.map(scoreOf)),
    change: estimate(pairedGains(before, after), options),
  };
}

/** The change of one observation an example between two times; both lists are in one order. */
export function changeBetween(
  before: readonly Observation[],
  after: readonly Observation[],
  options?: EstimateOptions,
): Change {
  const changes = after.map(({ value, cluster }, i) => ({
    value: value - (before[i]?.value ?? 0),
    cluster,
  }));
  const meanOf = (list: readonly Observation[]): number => mean(list.map(({ value }) => value));
  return { before: meanOf(before), after: meanOf(after), change: estimate(changes, options) };
}

/** Both lists without the examples that `keep` drops. */
export function only(
  scored: readonly ScoredExample[],
  keep: (scored: ScoredExample) => boolean,
): ScoredExample[] {
  return scored.filter(keep);
}

export const ofKind =
  (kind: Kind) =>
  ({ example }: ScoredExample): boolean =>
    example.scenario.kind === kind;

/** So many of the person's own talks judge listening; with fewer the shipped conversations do. */
export const OWN_TALKS_MIN = 12;

/** Said to the person's own model, not written by somebody for a test. */
export function isOwn({ example }: ScoredExample): boolean {
  const { origin } = example.scenario.source;
  return origin === 'flag' || origin === 'log';
}

/** Whether there are enough of the person's own talks among what was listened to. */
export function hasOwnJudges(listening: readonly ScoredExample[]): boolean {
  const talks = listening.filter(isOwn).map(({ example }) => example.scenario.source.cluster);
  return new Set(talks).size >= OWN_TALKS_MIN;
}

/** The change whose lower bound is worse: the gate takes the worse cache condition. */
export function worse(a: Estimate, b: Estimate): Estimate {
  return a.low <= b.low ? a : b;
}

/** Directions by age in turns of the person: this one, up to 4, up to 8 and older. */
export const DISTANCES = ['1', '2-4', '5+'] as const;

export function distanceOf({ example }: ScoredExample): (typeof DISTANCES)[number] | undefined {
  const distance = directionDistance(example.scenario);
  if (distance === undefined) return undefined;
  return distance <= 1 ? '1' : distance <= 4 ? '2-4' : '5+';
}

export interface BothRight {
  readonly pairs: number;
  readonly before: number;
  readonly after: number;
  /** Change of the share of crossed pairs with both sides right. */
  readonly change: Estimate;
}

const sidesOf = (scored: readonly ScoredExample[]): PairSide[] =>
  scored.flatMap(({ example, margin }) => {
    const { pair } = example.scenario;
    return pair === undefined ? [] : [{ pair: pair.id, side: pair.side, margin: margin.perToken }];
  });

/** Crossed pairs before and after, clustered by source. */
export function bothRightChange(
  before: readonly ScoredExample[],
  after: readonly ScoredExample[],
  options: EstimateOptions,
): BothRight {
  const clusterOf = new Map(
    after.map(({ example: { scenario } }) => [scenario.pair?.id, scenario.source.cluster]),
  );
  const was = bothRightByPair(sidesOf(before));
  const is = bothRightByPair(sidesOf(after));
  const observations = [...is].map(([pair, right]) => ({
    value: Number(right) - Number(was.get(pair) ?? false),
    cluster: clusterOf.get(pair) ?? pair,
  }));
  const share = (results: ReadonlyMap<string, boolean>): number =>
    mean([...results.values()].map(Number));
  return {
    pairs: is.size,
    before: share(was),
    after: share(is),
    change: estimate(observations, options),
  };
}

export interface Breadth {
  readonly seen: Estimate;
  readonly unseen: Estimate;
  /** Gain on unseen domains ÷ gain on seen ones; null when nothing was gained on seen ones. */
  readonly ratio: number | null;
}

/** Gains on domains that were trained on against those that were not. */
export function breadthOf(
  before: readonly ScoredExample[],
  after: readonly ScoredExample[],
  trainedDomains: ReadonlySet<string>,
  options: EstimateOptions,
): Breadth {
  const isSeen = ({ example }: ScoredExample): boolean =>
    trainedDomains.has(example.scenario.source.domain);
  const gain = (keep: (scored: ScoredExample) => boolean): Estimate =>
    estimate(pairedGains(only(before, keep), only(after, keep)), options);
  const seen = gain(isSeen);
  const unseen = gain((scored) => !isSeen(scored));
  const isKnown = seen.mean > 0 && unseen.observations > 0;
  return { seen, unseen, ratio: isKnown ? unseen.mean / seen.mean : null };
}
