// Retention: how much worse everyday talk is predicted, and how far predictions moved.

import type { Reader, TrainableWeights } from '../reading/reader.ts';
import type { HostTensor } from '../runtime/executor.ts';
import type { Example } from '../scenario/example.ts';
import type { RatioEstimate } from './gate.ts';
import { type EstimateOptions, estimate } from './statistics.ts';

/** Log of the softmax of one row of logits, in doubles. */
export function logSoftmaxRow(logits: ArrayLike<number>): Float64Array {
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) most = Math.max(most, logits[i] as number);
  let total = 0;
  for (let i = 0; i < logits.length; i++) total += Math.exp((logits[i] as number) - most);
  const norm = most + Math.log(total);
  return Float64Array.from({ length: logits.length }, (_, i) => (logits[i] as number) - norm);
}

/** `Σ p (log p − log q)` of the rows of two logits (rows, vocabulary), mean over the rows, nats. */
export function klOfLogits(p: HostTensor, q: HostTensor): number {
  const [rows, vocabulary] = p.shape as [number, number];
  let total = 0;
  for (let row = 0; row < rows; row++) {
    const a = logSoftmaxRow(p.data.subarray(row * vocabulary, (row + 1) * vocabulary));
    const b = logSoftmaxRow(q.data.subarray(row * vocabulary, (row + 1) * vocabulary));
    for (let i = 0; i < vocabulary; i++) {
      total += Math.exp(a[i] as number) * ((a[i] as number) - (b[i] as number));
    }
  }
  return total / rows;
}

export interface Retention {
  readonly perplexity: RatioEstimate;
  /** Mean KL from the earlier to the later weights, nats a token. */
  readonly kl: number;
  readonly tokens: number;
}

/**
 * Everyday examples under two sets of weights, each with its own contexts (as served). The ratio is
 * exp of the mean rise in negative log-likelihood a token; its upper bound is that of the clustered
 * interval.
 */
export async function retention(
  reader: Reader,
  examples: readonly Example[],
  weights: { readonly before: TrainableWeights; readonly after: TrainableWeights },
  options: EstimateOptions = {},
): Promise<Retention> {
  const rises: { value: number; cluster: string }[] = [];
  let kl = 0;
  let tokens = 0;
  for (const { contextIds, chosen, scenario } of examples) {
    const rows: HostTensor[] = [];
    for (const side of [weights.before, weights.after]) {
      const cache = await reader.prefill(contextIds, side);
      rows.push(await reader.logits(cache, chosen, side));
      cache.release();
    }
    const [before, after] = rows as [HostTensor, HostTensor];
    const length = chosen.targets.length;
    const rise = (negativeLogLikelihood(after, chosen.targets) -
      negativeLogLikelihood(before, chosen.targets)) as number;
    rises.push({ value: rise, cluster: scenario.source.cluster });
    kl += klOfLogits(before, after) * length;
    tokens += length;
  }
  const { mean, high } = estimate(rises, options);
  const isKnown = rises.length > 0;
  return {
    perplexity: {
      ratio: isKnown ? Math.exp(mean) : Number.MAX_VALUE,
      high: Math.min(Number.MAX_VALUE, Math.exp(high)),
    },
    kl: tokens === 0 ? 0 : kl / tokens,
    tokens,
  };
}

function negativeLogLikelihood(logits: HostTensor, targets: readonly number[]): number {
  const vocabulary = logits.shape[1] as number;
  const total = targets.reduce((sum, target, row) => {
    const values = logSoftmaxRow(logits.data.subarray(row * vocabulary, (row + 1) * vocabulary));
    return sum - (values[target] as number);
  }, 0);
  return total / targets.length;
}
