import { describe, expect, it } from 'vitest';
import type { AttentionCapture } from '../../src/engine/engine.ts';
import { attentionLift, sinkPositions, windowLayers, windowMean } from '../../src/measure/lift.ts';

/** One layer, one head, ten keys, the last as the only row. */
function capture(weights: number[]): AttentionCapture {
  return {
    layers: 1,
    heads: 1,
    rows: [weights.length - 1],
    keys: weights.length,
    weights: Float32Array.from(weights),
  };
}

const SINK = sinkPositions([1, 5, 5, 5, 5, 5, 5, 5, 5, 5], new Set([1]));
const SPAN = [{ feature: 'direction' as const, start: 4, end: 6 }];
const even = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1];

describe('attention lift', () => {
  it('is zero when a span gets what its length alone would give', () => {
    expect(attentionLift(capture(even), SPAN, SINK)?.lift[0]).toBeCloseTo(0);
  });

  it('does not move when only the sink takes more', () => {
    const shifted = [0.85, 0, 0, 0, 0.025, 0.025, 0.025, 0.025, 0.025, 0.025];
    const map = attentionLift(capture(shifted), SPAN, SINK);
    expect(map?.lift[0]).toBeCloseTo(0);
  });

  it('is the log of how many times more than its share a span gets', () => {
    const focused = [0.2, 0, 0, 0, 0.3, 0.3, 0.05, 0.05, 0.05, 0.05];
    const expected = Math.log(0.6 / 0.8 / (2 / 6));
    expect(attentionLift(capture(focused), SPAN, SINK)?.lift[0]).toBeCloseTo(expected);
  });

  it('has a floor under no attention at all', () => {
    const none = [0.4, 0, 0, 0, 0, 0, 0.15, 0.15, 0.15, 0.15];
    expect(attentionLift(capture(none), SPAN, SINK)?.lift[0]).toBeCloseTo(Math.log(1e-4 * 3));
  });

  it('says nothing about a span that no row can see or that is all sink', () => {
    expect(
      attentionLift(capture(even), [{ ...SPAN[0], feature: 'own-idea', start: 20, end: 22 }], SINK),
    ).toBe(undefined);
    expect(attentionLift(capture(even), [{ feature: 'own-idea', start: 0, end: 3 }], SINK)).toBe(
      undefined,
    );
  });

  it('averages the fixed window of the first two thirds of the layers', () => {
    expect(windowLayers(7)).toBe(5);
    expect(windowMean(Float64Array.of(1, 2, 9), 3, 1)).toBe(1.5);
  });
});
