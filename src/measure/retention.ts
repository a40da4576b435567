// Retention: how much worse everyday conversation is predicted.
import { at } from '../base/at.ts';
import type { Reader, TrainableWeights } from '../reading/reader.ts';
import type { Example } from '../scenario/example.ts';
import { type EstimateOptions, estimate, mean, type RatioEstimate } from './statistics.ts';

/**
 * Perplexity of everyday examples under `weights` over that under each of `earlier`, each with its
 * own contexts (as served): exp of the mean rise in negative log-likelihood a token; the upper
 * bound is that of the clustered interval.
 */
export async function perplexityRatios(
  reader: Reader,
  examples: readonly Example[],
  weights: TrainableWeights,
  earlier: readonly TrainableWeights[],
  options: EstimateOptions = {},
): Promise<RatioEstimate[]> {
  const losses = async (under: TrainableWeights): Promise<number[]> => {
    const found: number[] = [];
    for (const { contextIds, chosen } of examples) {
      const cache = await reader.prefill(contextIds, under);
      const [values] = await reader.logProbabilities(cache, [chosen], under);
      cache.release();
      found.push(-mean(values ?? []));
    }
    return found;
  };
  const after = await losses(weights);
  const ratios = new Map<TrainableWeights, RatioEstimate>();
  for (const under of new Set(earlier)) {
    const before = await losses(under);
    const rises = examples.map(({ scenario: { source } }, i) => ({
      value: at(after, i) - at(before, i),
      cluster: source.cluster,
    }));
    ratios.set(under, ratioOf(estimate(rises, options)));
  }
  return earlier.map((under) => ratios.get(under) as RatioEstimate);
}

/** Finite, so that it survives JSON and still fails every rule. */
function ratioOf({ mean, high, observations }: ReturnType<typeof estimate>): RatioEstimate {
  return {
    ratio: observations > 0 ? Math.exp(mean) : Number.MAX_VALUE,
    high: Math.min(Number.MAX_VALUE, Math.exp(high)),
  };
}
