// Paired, clustered estimates with intervals and p-values; it knows numbers, not what they measure.
import { createRandom, type Random } from '../base/random.ts';
import { studentQuantile, studentTail } from './distribution.ts';

/** One paired difference and the source it belongs to (dialogue, flag, template). */
export interface Observation {
  readonly value: number;
  readonly cluster: string;
}

export interface Estimate {
  readonly mean: number;
  /** Ends of the two-sided interval at `level`. */
  readonly low: number;
  readonly high: number;
  readonly level: number;
  /** One-sided p of "the mean is not above zero". */
  readonly p: number;
  readonly observations: number;
  readonly clusters: number;
}

export interface EstimateOptions {
  readonly level?: number;
  readonly resamples?: number;
  readonly seed?: number | string;
}

const mean = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0) / values.length;

function byCluster(observations: readonly Observation[]): number[][] {
  const groups = new Map<string, number[]>();
  for (const { value, cluster } of observations) {
    const group = groups.get(cluster);
    if (group === undefined) groups.set(cluster, [value]);
    else group.push(value);
  }
  return [...groups.values()];
}

/** Nothing is known. Finite, so that it survives JSON and still fails every rule. */
const NOTHING = { mean: 0, low: -Number.MAX_VALUE, high: Number.MAX_VALUE };

/**
 * The mean of paired differences with a cluster-bootstrap interval (whole clusters are drawn, the
 * percentiles widened by the Student factor of few clusters) and a sign-flip p-value.
 * With fewer than two clusters nothing is known: p = 1 and the interval is all numbers.
 */
export function estimate(
  observations: readonly Observation[],
  { level = 0.95, resamples = 2000, seed = 0 }: EstimateOptions = {},
): Estimate {
  const clusters = byCluster(observations);
  const counts = { level, observations: observations.length, clusters: clusters.length };
  if (observations.length === 0) return { ...NOTHING, p: 1, ...counts };
  const center = mean(observations.map((o) => o.value));
  if (clusters.length < 2) return { ...NOTHING, mean: center, p: 1, ...counts };
  const random = createRandom(`estimate:${seed}`);
  const draws = bootstrapMeans(clusters, resamples, random).sort((a, b) => a - b);
  // Percentile intervals of few clusters are too short by sqrt(n / (n − 1)) and the normal factor.
  const widen =
    (studentQuantile((1 + level) / 2, clusters.length - 1) /
      studentQuantile((1 + level) / 2, 1e6)) *
    Math.sqrt(clusters.length / (clusters.length - 1));
  const at = (probability: number): number =>
    draws[Math.min(resamples - 1, Math.floor(probability * resamples))] as number;
  return {
    mean: center,
    low: center - widen * (center - at((1 - level) / 2)),
    high: center + widen * (at((1 + level) / 2) - center),
    p: signFlip(clusters, { flips: 5 * resamples, random: random.split('flip') }),
    ...counts,
  };
}

function bootstrapMeans(
  clusters: readonly number[][],
  resamples: number,
  random: Random,
): number[] {
  const sums = clusters.map((values) => values.reduce((a, b) => a + b, 0));
  return Array.from({ length: resamples }, () => {
    let total = 0;
    let count = 0;
    for (let i = 0; i < clusters.length; i++) {
      const drawn = random.int(clusters.length);
      total += sums[drawn] as number;
      count += (clusters[drawn] as number[]).length;
    }
    return total / count;
  });
}

/**
 * One-sided sign-flip test over clusters: how often random signs give a sum as large as the one
 * seen. All signs are tried for at most 12 clusters; otherwise `flips` random ones, and the
 * larger of that and the Student tail where the flips run out of resolution.
 * Source: Davison & Hinkley 1997 §4.3 (the +1 keeps the test valid).
 */
export function signFlip(
  clusters: readonly (readonly number[])[],
  { flips = 10_000, random = createRandom('flip') }: { flips?: number; random?: Random } = {},
): number {
  const sums = clusters.map((values) => values.reduce((a, b) => a + b, 0));
  const seen = sums.reduce((a, b) => a + b, 0);
  const edge = seen - 1e-12 * Math.max(1, Math.abs(seen));
  if (sums.length <= 12) {
    let reached = 0;
    for (let signs = 0; signs < 2 ** sums.length; signs++) {
      if (signedSum(sums, (i) => (signs >> i) & 1) >= edge) reached++;
    }
    return reached / 2 ** sums.length;
  }
  let reached = 0;
  for (let flip = 0; flip < flips; flip++) {
    if (signedSum(sums, () => random.uint32() & 1) >= edge) reached++;
  }
  if (reached > 0) return (reached + 1) / (flips + 1);
  return Math.min(1 / (flips + 1), studentP(sums));
}

function signedSum(sums: readonly number[], sign: (index: number) => number): number {
  let total = 0;
  for (let i = 0; i < sums.length; i++)
    total += sign(i) ? -(sums[i] as number) : (sums[i] as number);
  return total;
}

function studentP(values: readonly number[]): number {
  const center = mean(values);
  const spread = standardDeviation(values);
  if (spread === 0) return center > 0 ? 0 : 1;
  return studentTail(center / (spread / Math.sqrt(values.length)), values.length - 1);
}

function standardDeviation(values: readonly number[]): number {
  const center = mean(values);
  const squares = values.reduce((total, value) => total + (value - center) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1));
}

/**
 * The level at which night `night` (from 1) is tested so that in the long run at most `rate` of the
 * swaps made are false: every night spends from a purse that each passed night refills.
 * `α_t = γ_t w + (rate − w) γ_{t−τ₁} + rate Σ_{j≥2} γ_{t−τ_j}`, `γ_j = 6 / (π j)²`, `w = rate / 2`.
 * Source: LORD++, Ramdas et al. 2017, "Online control of the false discovery rate with decaying
 * memory".
 */
export function spentLevel(
  night: number,
  passedNights: readonly number[],
  { rate = 0.05, most = 0.01 }: { rate?: number; most?: number } = {},
): number {
  const share = (age: number): number => (age >= 1 ? 6 / (Math.PI * age) ** 2 : 0);
  const start = rate / 2;
  const earlier = [...passedNights].filter((n) => n < night).sort((a, b) => a - b);
  const refilled = earlier.map((n, j) => (j === 0 ? rate - start : rate) * share(night - n));
  return Math.min(most, start * share(night) + refilled.reduce((a, b) => a + b, 0));
}
