import { describe, expect, it } from 'vitest';
import { listeningMargin } from '../../src/reading/margin.ts';

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
