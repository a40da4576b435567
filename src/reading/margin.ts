// Listening margins from log-probabilities: how much more likely the listening reply is.

export interface Margin {
  /** Mean log p per token of chosen − that of rejected, nats. */
  readonly perToken: number;
  /** Mean log p per token of chosen. */
  readonly chosen: number;
}

function meanOf(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i] as number;
  return values.length === 0 ? 0 : total / values.length;
}

/** From log p of each token of a candidate, given the context and the tokens before it. */
export function listeningMargin(chosen: ArrayLike<number>, rejected = chosen): Margin {
  const mean = meanOf(chosen);
  return { perToken: mean - meanOf(rejected), chosen: mean };
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
