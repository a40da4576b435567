// Retention: how much worse everyday conversation is predicted.
import { at } from '../base/at.ts';
import type { Reader, TrainableWeights } from '../reading/reader.ts';
import type { Example } from '../scenario/example.ts';
import { type EstimateOptions, estimate, type RatioEstimate } from './statistics.ts';

/**
 * Perplexity of everyday examples under `weights` over that under each of `earlier`, each with its
 * own contexts (as served): exp of the mean rise in negative log-likelihood, over all tokens of the
 * replies; the upper bound is that of the interval clustered by source.
 */
export async function perplexityRatios(
  reader: Reader,
  examples: readonly Example[],
  weights: TrainableWeights,
  earlier: readonly TrainableWeights[],
  options: EstimateOptions = {},
): Promise<RatioEstimate[]> {
  const read = async (under: TrainableWeights): Promise<Float32Array[]> => {
    const found: Float32Array[] = [];
    for (const { contextIds, chosen } of examples) {
      const cache = await reader.prefill(contextIds, under);
      found.push(at(await reader.logProbabilities(cache, [chosen], under), 0));
      cache.release();
    }
    return found;
  };
  const after = await read(weights);
  const ratios = new Map<TrainableWeights, RatioEstimate>();
  for (const under of new Set(earlier)) {
    const before = await read(under);
    const rises = examples.flatMap(({ scenario: { source } }, i) =>
      Array.from(at(before, i), (was, token) => ({
        value: was - (after[i]?.[token] ?? Number.NaN),
        cluster: source.cluster,
      })),
    );
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
