// Retention: how much worse everyday talk is predicted, and how far predictions moved.
import { klOfLogits, logSoftmaxRow } from '../reading/logits.ts';
import type { Reader, TrainableWeights } from '../reading/reader.ts';
import type { HostTensor } from '../runtime/executor.ts';
import type { Example } from '../scenario/example.ts';
import { type EstimateOptions, estimate, type RatioEstimate } from './statistics.ts';

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
