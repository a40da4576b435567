// The candidate-only baseline beside a result: cross-validated by source, it never sees a context.
import { crc32 } from 'node:zlib';
import { bothRight } from '../reading/margin.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { bagMargin, trainBagOfWords } from './candidate-baseline.ts';

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
