// Paired, clustered estimates with intervals and p-values; it knows numbers, not what they measure.
import { groupBy } from '../base/at.ts';
import { createRandom, type Random } from '../base/random.ts';

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

/** Something after ÷ before, with its upper bound. */
export interface RatioEstimate {
  readonly ratio: number;
  readonly high: number;
}

/** 0 of nothing. */
export function mean(values: readonly number[] | Float32Array): number {
  let total = 0;
  for (const value of values) total += value;
  return values.length === 0 ? 0 : total / values.length;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return mean(sorted.slice(half - 1 + (sorted.length % 2), half + 1));
}

/** The mean without the lowest and the highest `share` of the values. */
export function trimmedMean(values: readonly number[], share = 0.1): number {
  const sorted = [...values].sort((a, b) => a - b);
  const cut = Math.floor(share * sorted.length);
  return mean(sorted.slice(cut, sorted.length - cut));
}

/** Degrees of freedom from which Student's t is the normal distribution, to five digits. */
const NORMAL_DEGREES = 1e5;
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
  const groups = [...groupBy(observations, ({ cluster }) => cluster).values()];
  const clusters = groups.map((group) => group.map(({ value }) => value));
  const counts = { level, observations: observations.length, clusters: clusters.length };
  if (observations.length === 0) return { ...NOTHING, p: 1, ...counts };
  const center = mean(observations.map((o) => o.value));
  if (clusters.length < 2) return { ...NOTHING, mean: center, p: 1, ...counts };
  const random = createRandom(`estimate:${seed}`);
  const draws = bootstrapMeans(clusters, resamples, random).sort((a, b) => a - b);
  // Percentile intervals of few clusters are too short by sqrt(n / (n − 1)) and the normal factor.
  const widen =
    (studentQuantile((1 + level) / 2, clusters.length - 1) /
      studentQuantile((1 + level) / 2, NORMAL_DEGREES)) *
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

/** Two numbers of one moment, and its source. */
export interface Moment {
  readonly x: number;
  readonly y: number;
  readonly cluster: string;
}

export interface RankCorrelation {
  /** From −1 to 1; 0: one number says nothing of the other. */
  readonly rho: number;
  readonly low: number;
  readonly high: number;
  readonly moments: number;
}

/** Fewer say nothing. */
const MOMENTS_MIN = 8;

/**
 * Spearman's rank correlation with a cluster-bootstrap interval; ties share their mean rank. Null
 * with fewer than eight moments, or where a number is the same in all of them.
 */
export function rankCorrelation(
  moments: readonly Moment[],
  { level = 0.95, resamples = 2000, seed = 0 }: EstimateOptions = {},
): RankCorrelation | null {
  const rho = moments.length < MOMENTS_MIN ? Number.NaN : spearman(moments);
  if (Number.isNaN(rho)) return null;
  const clusters = [...groupBy(moments, ({ cluster }) => cluster).values()];
  const random = createRandom(`ranks:${seed}`);
  const draws = Array.from({ length: resamples }, () =>
    spearman(clusters.flatMap(() => random.pick(clusters))),
  )
    .filter((value) => !Number.isNaN(value))
    .sort((a, b) => a - b);
  const end = (probability: number): number =>
    draws[Math.min(draws.length - 1, Math.floor(probability * draws.length))] ?? rho;
  return {
    rho,
    low: Math.min(rho, end((1 - level) / 2)),
    high: Math.max(rho, end((1 + level) / 2)),
    moments: moments.length,
  };
}

/** NaN where one of the numbers never changes. */
function spearman(moments: readonly Moment[]): number {
  const [x, y] = [ranks(moments.map((one) => one.x)), ranks(moments.map((one) => one.y))];
  const middle = (moments.length - 1) / 2;
  let [both, xs, ys] = [0, 0, 0];
  for (const [i, rank] of x.entries()) {
    const [a, b] = [rank - middle, (y[i] as number) - middle];
    both += a * b;
    xs += a * a;
    ys += b * b;
  }
  return both / Math.sqrt(xs * ys);
}

/** From 0; equal values share the mean of their ranks. */
function ranks(values: readonly number[]): number[] {
  const sorted = [...values].sort((a, b) => a - b);
  const places = new Map<number, { first: number; count: number }>();
  for (const [i, value] of sorted.entries()) {
    const place = places.get(value);
    if (place === undefined) places.set(value, { first: i, count: 1 });
    else place.count += 1;
  }
  return values.map((value) => {
    const { first, count } = places.get(value) as { first: number; count: number };
    return first + (count - 1) / 2;
  });
}

// Student's t: tail probabilities and quantiles.

/**
 * P(T > t) for Student's t with a whole number of degrees of freedom, to about 1e-14.
 * Source: Abramowitz & Stegun 1964, 26.7.3 and 26.7.4.
 */
export function studentTail(t: number, degrees: number): number {
  const angle = Math.atan2(t, Math.sqrt(degrees));
  const cos = Math.cos(angle);
  const isOdd = degrees % 2 === 1;
  let term = isOdd ? cos : 1;
  let sum = 0;
  for (let k = isOdd ? 3 : 2; k <= degrees; k += 2) {
    sum += term;
    term *= (cos * cos * (k - 1)) / k;
  }
  const within = Math.sin(angle) * sum;
  const both = isOdd ? (2 / Math.PI) * (angle + within) : within;
  return Math.max(Number.EPSILON, (1 - both) / 2);
}

/** The t with P(T ≤ t) = `probability`, by bisection. */
export function studentQuantile(probability: number, degrees: number): number {
  if (!(probability > 0 && probability < 1)) {
    throw new RangeError(`statistics: no quantile at ${probability}`);
  }
  let low = -1e4;
  let high = 1e4;
  for (let i = 0; i < 64; i++) {
    const middle = (low + high) / 2;
    if (1 - studentTail(middle, degrees) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
