import { describe, expect, it } from 'vitest';
import { bagMargin, trainBagOfWords } from '../../src/measure/candidate-baseline.ts';
import { bothRight, listeningMargin } from '../../src/reading/margin.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';

describe('the listening margin', () => {
  const chosen = [-1, -1, -0.5, -0.5];
  const rejected = [-1, -1, -4];

  it('is the difference of means per token', () => {
    const margin = listeningMargin(chosen, rejected);
    expect(margin.perToken).toBeCloseTo(-0.75 + 2);
    expect(margin.chosen).toBeCloseTo(-0.75);
  });

  it('is zero between equal candidates', () => {
    expect(listeningMargin(chosen, chosen).perToken).toBe(0);
    expect(listeningMargin(chosen).perToken).toBe(0);
  });
});

describe('crossed pairs', () => {
  it('count only when both sides are right, so a blind preference gets nothing', () => {
    const sides = [
      { pair: 'x', side: 'a', margin: 1 },
      { pair: 'x', side: 'b', margin: -1 },
      { pair: 'y', side: 'a', margin: 0.1 },
      { pair: 'y', side: 'b', margin: 0.1 },
      { pair: 'z', side: 'a', margin: 3 },
    ] as const;
    expect(bothRight(sides)).toEqual({ share: 0.5, pairs: 2 });
    expect(bothRight([]).share).toBeNaN();
  });
});

describe('the candidate-only baseline', () => {
  const scene = (id: string, chosen: string, rejected: string) =>
    parseScenario({
      id,
      kind: 'listen',
      messages: [{ role: 'user', content: 'x' }],
      chosen,
      rejected,
      source: { origin: 'suite', cluster: id, domain: 'd' },
    });

  it('separates candidates that surface gives away', () => {
    const train = [
      scene('1', 'Have a good day.', 'When shall I book?'),
      scene('2', 'Good day to you.', 'Where shall I book?'),
    ];
    const weights = trainBagOfWords(train);
    expect(bagMargin(weights, scene('3', 'A good one.', 'Shall I book it?'))).toBeGreaterThan(0);
  });

  it('is blind on crossed pairs: what it gains on one side it loses on the other', () => {
    const a = scene('a', 'Red it is.', 'Blue it is.');
    const b = scene('b', 'Blue it is.', 'Red it is.');
    const weights = trainBagOfWords([a, a, b]);
    expect(bagMargin(weights, a)).toBeCloseTo(-bagMargin(weights, b));
  });
});
