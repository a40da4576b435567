// Margins of examples under given weights, in the served and in the kept-cache condition.
import { at } from '../base/at.ts';
import type { Example } from '../scenario/example.ts';
import { listeningMargin, type Margin } from './margin.ts';
import type { ContextCache, Reader, TrainableWeights } from './reader.ts';

export interface ScoredExample {
  readonly example: Example;
  readonly margin: Margin;
}

/** Margin of one example upon a cache; 0 but for `chosen` where there is no `rejected`. */
export async function marginOn(
  reader: Reader,
  cache: ContextCache,
  example: Example,
  weights: TrainableWeights,
): Promise<Margin> {
  const { chosen, rejected } = example;
  const candidates = rejected === undefined ? [chosen] : [chosen, rejected];
  const scores = await reader.logProbabilities(cache, candidates, weights);
  return listeningMargin(at(scores, 0), scores[1]);
}

/**
 * Margins of examples under `weights`. `cacheWeights` run the contexts: the same weights for a
 * fresh chat (re-prefilled), the parent's for a kept cache.
 */
export async function scoreExamples(
  reader: Reader,
  examples: readonly Example[],
  weights: TrainableWeights,
  cacheWeights: TrainableWeights = weights,
): Promise<ScoredExample[]> {
  const scored: ScoredExample[] = [];
  for (const example of examples) {
    const cache = await reader.prefill(example.contextIds, cacheWeights);
    scored.push({ example, margin: await marginOn(reader, cache, example, weights) });
    cache.release();
  }
  return scored;
}

/** Mean margin per token, contexts run under the same weights. */
export async function meanMargin(
  reader: Reader,
  examples: readonly Example[],
  weights: TrainableWeights,
): Promise<number> {
  const scored = await scoreExamples(reader, examples, weights);
  return scored.reduce((total, { margin }) => total + margin.perToken, 0) / scored.length;
}
