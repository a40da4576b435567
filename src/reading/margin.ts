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
