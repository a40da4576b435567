// The candidate-only baseline: a bag of words that tells two replies apart and sees no context.
import { createRandom } from '../base/random.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { wordsOf } from '../scenario/words.ts';

export interface BaselineSettings {
  readonly epochs?: number;
  readonly rate?: number;
  readonly decay?: number;
  readonly seed?: number;
}

/** A word's weight; the margin of a pair is the difference of its candidates' sums. */
export type BagOfWords = ReadonlyMap<string, number>;

function bag(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { text: word } of wordsOf(text)) counts.set(word, 1);
  if (text.includes('?')) counts.set('?', 1);
  return counts;
}

function difference(scenario: Scenario): Map<string, number> | undefined {
  if (scenario.rejected === undefined) return undefined;
  const features = bag(scenario.chosen);
  for (const [word, count] of bag(scenario.rejected)) {
    const rest = (features.get(word) ?? 0) - count;
    if (rest === 0) features.delete(word);
    else features.set(word, rest);
  }
  return features;
}

/**
 * Logistic regression on the difference of the two candidates' words, by stochastic gradient with
 * weight decay. What it reaches is what surface habits alone can reach.
 */
export function trainBagOfWords(
  scenarios: readonly Scenario[],
  { epochs = 20, rate = 0.5, decay = 1e-3, seed = 0 }: BaselineSettings = {},
): BagOfWords {
  const pairs = scenarios.map(difference).filter((pair) => pair !== undefined);
  const weights = new Map<string, number>();
  const random = createRandom(`bag-of-words:${seed}`);
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (const features of random.shuffle(pairs)) {
      const pull = rate / (1 + Math.exp(dot(weights, features))) / (1 + epoch / 4);
      for (const [word, count] of features) {
        weights.set(word, (weights.get(word) ?? 0) * (1 - decay) + pull * count);
      }
    }
  }
  return weights;
}

function dot(weights: BagOfWords, features: ReadonlyMap<string, number>): number {
  let total = 0;
  for (const [word, count] of features) total += (weights.get(word) ?? 0) * count;
  return total;
}

/** The baseline's margin of a pair: > 0 means that it prefers `chosen`. */
export function bagMargin(weights: BagOfWords, scenario: Scenario): number {
  return dot(weights, difference(scenario) ?? new Map());
}
