// The candidate-only baseline: a bag of words that tells two replies apart and sees no context.
import { crc32 } from 'node:zlib';
import { createRandom } from '../base/random.ts';
import { bothRight } from '../reading/margin.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { wordsOf } from '../scenario/words.ts';

const EPOCHS = 20;
const RATE = 0.5;
const DECAY = 1e-3;

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
export function trainBagOfWords(scenarios: readonly Scenario[]): BagOfWords {
  const pairs = scenarios.map(difference).filter((pair) => pair !== undefined);
  const weights = new Map<string, number>();
  const random = createRandom('bag-of-words:0');
  for (let epoch = 0; epoch < EPOCHS; epoch++) {
    for (const features of random.shuffle(pairs)) {
      const pull = RATE / (1 + Math.exp(dot(weights, features))) / (1 + epoch / 4);
      for (const [word, count] of features) {
        weights.set(word, (weights.get(word) ?? 0) * (1 - DECAY) + pull * count);
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

export interface BaselineResult {
  /** Pairs of candidates scored. */
  readonly pairs: number;
  /** Share in which the bag of words prefers `chosen`; half for a tie. */
  readonly accuracy: number;
  /** Share of crossed pairs with both sides right. */
  readonly bothRight: number;
  readonly crossedPairs: number;
}

/** Two folds by source, each scored by a bag of words that was trained on the other. */
export function checkBaseline(scenarios: readonly Scenario[]): BaselineResult {
  const preferred = scenarios.filter((scenario) => scenario.rejected !== undefined);
  const foldOf = ({ source }: Scenario): number => crc32(source.cluster) % 2;
  const scored = [0, 1].flatMap((fold) => {
    const weights = trainBagOfWords(preferred.filter((s) => foldOf(s) !== fold));
    return preferred
      .filter((s) => foldOf(s) === fold)
      .map((scenario) => ({ scenario, margin: bagMargin(weights, scenario) }));
  });
  const right = scored.reduce((n, { margin }) => n + (margin > 0 ? 1 : margin === 0 ? 0.5 : 0), 0);
  const sides = scored.flatMap(({ scenario: { pair }, margin }) =>
    pair === undefined ? [] : [{ pair: pair.id, side: pair.side, margin }],
  );
  const crossed = bothRight(sides);
  return {
    pairs: scored.length,
    accuracy: scored.length === 0 ? 0 : right / scored.length,
    bothRight: crossed.pairs === 0 ? 0 : crossed.share,
    crossedPairs: crossed.pairs,
  };
}
