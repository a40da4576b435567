import { describe, expect, it, vi } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import {
  estimate,
  signFlip,
  spentLevel,
  studentQuantile,
  studentTail,
} from '../../src/measure/statistics.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

describe('Student’s t', () => {
  // Values from the standard printed table (two-sided 95 %).
  it.each([
    [1, 12.7062],
    [4, 2.77645],
    [10, 2.22814],
    [100, 1.98397],
  ])('has the tabled quantile at %i degrees of freedom', (degrees, expected) => {
    expect(studentQuantile(0.975, degrees)).toBeCloseTo(expected, 3);
    expect(studentTail(expected, degrees)).toBeCloseTo(0.025, 5);
    expect(studentTail(-expected, degrees)).toBeCloseTo(0.975, 5);
  });

  it('refuses a probability outside (0, 1)', () => {
    expect(() => studentQuantile(1, 3)).toThrow(RangeError);
  });
});

const observations = (values: number[], perCluster = 1) =>
  values.map((value, i) => ({ value, cluster: `c${Math.floor(i / perCluster)}` }));

describe('an estimate', () => {
  it('knows nothing from one cluster, however many observations it has', () => {
    const result = estimate(observations(new Array(50).fill(1), 50));
    expect(result).toMatchObject({ mean: 1, p: 1, clusters: 1 });
    expect(result.low).toBe(-Number.MAX_VALUE);
    expect(JSON.parse(JSON.stringify(result))).toEqual(result);
  });

  it('is empty-handed without observations', () => {
    expect(estimate([])).toMatchObject({ p: 1, observations: 0 });
    expect(estimate([]).low).toBeLessThan(-1e300);
  });

  it('repeats with the same seed and finds a clear gain', () => {
    const random = createRandom('gain');
    const values = Array.from({ length: 60 }, () => 0.3 + random.gaussian() * 0.2);
    const result = estimate(observations(values));
    expect(result).toEqual(estimate(observations(values)));
    expect(result.low).toBeGreaterThan(0.2);
    expect(result.p).toBeLessThan(0.001);
  });

  it('is wider when the same values come in clusters that agree', () => {
    const random = createRandom('clusters');
    const values = Array.from({ length: 15 }, () => random.gaussian()).flatMap((v) => [v, v, v, v]);
    const apart = estimate(observations(values));
    const together = estimate(observations(values, 4));
    expect(together.high - together.low).toBeGreaterThan(1.5 * (apart.high - apart.low));
  });

  it('covers a true mean of zero about 95 times in 100 with ten clusters', () => {
    const random = createRandom('coverage');
    let covered = 0;
    for (let trial = 0; trial < 400; trial++) {
      const values = Array.from({ length: 10 }, () => random.gaussian());
      const { low, high } = estimate(observations(values), { resamples: 400, seed: trial });
      if (low <= 0 && high >= 0) covered++;
    }
    expect(covered / 400).toBeGreaterThan(0.92);
    expect(covered / 400).toBeLessThan(0.985);
  });
});

describe('the sign-flip test', () => {
  it('is exact for few clusters: all equal signs give 1 in 2^n', () => {
    expect(signFlip([[1], [2], [3], [1]])).toBe(1 / 16);
    expect(signFlip([[-1], [-2], [-3], [-1]])).toBe(1);
  });

  it('rejects a true null about as often as its level says', () => {
    const random = createRandom('null');
    let rejected = 0;
    for (let trial = 0; trial < 300; trial++) {
      const clusters = Array.from({ length: 15 }, () => [random.gaussian()]);
      if (signFlip(clusters, { flips: 500, random: random.split(trial) }) < 0.05) rejected++;
    }
    expect(rejected / 300).toBeLessThan(0.09);
    expect(rejected).toBeGreaterThan(3);
  });
});

describe('the level of a night', () => {
  it('sinks while nothing passes and recovers after a pass', () => {
    expect(spentLevel(1, [])).toBe(0.01);
    expect(spentLevel(10, [])).toBeLessThan(0.0002);
    expect(spentLevel(11, [10])).toBe(0.01);
  });

  it('never spends more than the purse when nothing passes', () => {
    const nights = Array.from({ length: 5000 }, (_, i) => spentLevel(i + 1, [], { most: 1 }));
    expect(nights.reduce((a, b) => a + b, 0)).toBeLessThan(0.025);
  });
});
