// Listening margins from log-probabilities: how much more likely the listening reply is.

/** log p of each token of one candidate, given the context and the tokens before it. */
export interface CandidateScore {
  readonly ids: readonly number[];
  readonly logProbabilities: ArrayLike<number>;
}

export interface Margin {
  /** Mean log p per token of chosen − that of rejected, nats. */
  readonly perToken: number;
  /** The same from the first differing token on: the shared beginning says nothing. */
  readonly fromDifference: number;
  /** Summed log p of chosen − that of rejected (what a preference loss sees), nats. */
  readonly total: number;
  /** Mean log p per token of chosen. */
  readonly chosen: number;
}

/** Index of the first token in which the two differ. */
export function firstDifference(a: readonly number[], b: readonly number[]): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) if (a[i] !== b[i]) return i;
  return shorter;
}

function meanFrom(values: ArrayLike<number>, from: number): number {
  if (from >= values.length) return 0;
  let total = 0;
  for (let i = from; i < values.length; i++) total += values[i] as number;
  return total / (values.length - from);
}

export function listeningMargin(chosen: CandidateScore, rejected: CandidateScore): Margin {
  const from = firstDifference(chosen.ids, rejected.ids);
  const chosenMean = meanFrom(chosen.logProbabilities, 0);
  const sum = (values: ArrayLike<number>): number => meanFrom(values, 0) * values.length;
  return {
    perToken: chosenMean - meanFrom(rejected.logProbabilities, 0),
    fromDifference:
      meanFrom(chosen.logProbabilities, from) - meanFrom(rejected.logProbabilities, from),
    total: sum(chosen.logProbabilities) - sum(rejected.logProbabilities),
    chosen: chosenMean,
  };
}

/** A scored side of a crossed pair. */
export interface PairSide {
  readonly pair: string;
  readonly side: 'a' | 'b';
  readonly margin: number;
}

/**
 * Share of crossed pairs in which both sides prefer their own candidate. Who does not read the
 * context prefers the same candidate in both and gets 0. Pairs with one side missing are left out.
 */
export function bothRight(sides: readonly PairSide[]): { share: number; pairs: number } {
  const results = bothRightByPair(sides);
  const right = [...results.values()].filter(Boolean).length;
  return { share: results.size === 0 ? Number.NaN : right / results.size, pairs: results.size };
}

/** Pair id → whether both sides are right. */
export function bothRightByPair(sides: readonly PairSide[]): Map<string, boolean> {
  const margins = new Map<string, { a?: number; b?: number }>();
  for (const { pair, side, margin } of sides) {
    margins.set(pair, { ...margins.get(pair), [side]: margin });
  }
  const results = new Map<string, boolean>();
  for (const [pair, { a, b }] of margins) {
    if (a !== undefined && b !== undefined) results.set(pair, a > 0 && b > 0);
  }
  return results;
}
