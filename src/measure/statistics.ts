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

/** ln Γ(x), x > 0. Source: Lanczos approximation, g = 7, n = 9 (Numerical Recipes §6.1 form). */
function logGamma(x: number): number {
  const coefficients = [
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313,
    -176.61502916214059, 12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6,
    1.5056327351493116e-7,
  ];
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const t = x + 6.5;
  const series = coefficients.reduce((total, c, i) => (i === 0 ? c : total + c / (x - 1 + i)), 0);
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(series);
}

/** Regularised incomplete beta I_x(a, b). Source: Lentz's continued fraction, NR §6.4. */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(
    logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x),
  );
  const tiny = 1e-300;
  const guard = (value: number): number => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / guard(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m <= 300; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / guard(1 + even * d);
    c = guard(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / guard(1 + odd * d);
    c = guard(1 + odd / c);
    const factor = d * c;
    fraction *= factor;
    if (Math.abs(factor - 1) < 1e-14) break;
  }
  return (front * fraction) / a;
}

/** P(T > t) for Student's t with `degrees` of freedom. */
export function studentTail(t: number, degrees: number): number {
  const half = 0.5 * incompleteBeta(degrees / (degrees + t * t), degrees / 2, 0.5);
  return t >= 0 ? half : 1 - half;
}

/** The t with P(T ≤ t) = `probability`, by bisection. */
export function studentQuantile(probability: number, degrees: number): number {
  if (!(probability > 0 && probability < 1)) {
    throw new RangeError(`statistics: no quantile at ${probability}`);
  }
  let low = -1e4;
  let high = 1e4;
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2;
    if (1 - studentTail(middle, degrees) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
