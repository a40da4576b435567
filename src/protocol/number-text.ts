// Numbers as people read them: one minus sign, one sign for the infinite and one for the unknown.

const UNKNOWN = '–';

/** Bounds that stand for "nothing is known"; JSON has no infinity. */
const INFINITE = 1e300;

/** `0.120`, `−0.120`, `∞`; `–` where it is not known. */
export function fixed(value: number | null, digits = 3): string {
  if (value === null) return UNKNOWN;
  const size = Math.abs(value) > INFINITE ? '∞' : Math.abs(value).toFixed(digits);
  return value < 0 ? `−${size}` : size;
}

/** As `fixed`, with a plus sign above zero. */
export function signed(value: number | null, digits = 3): string {
  return value !== null && value > 0 ? `+${fixed(value, digits)}` : fixed(value, digits);
}

/** `42 %` of the share 0.42. */
export function percent(share: number, digits = 0): string {
  return `${fixed(100 * share, digits)} %`;
}

/** `p 0.0012` */
export function pText(p: number | null): string {
  return `p ${p === null ? UNKNOWN : p.toPrecision(2)}`;
}

interface Bounds {
  readonly low: number | null;
  readonly high: number | null;
}

interface Estimate extends Bounds {
  readonly mean: number | null;
  readonly p: number | null;
  readonly clusters: number;
}

/** `−0.010 to 0.120` */
export function range({ low, high }: Bounds): string {
  return `${fixed(low)} to ${fixed(high)}`;
}

/** `0.050 [−0.010, 0.120], p 0.0012, 8 sources` */
export function interval(estimate: Estimate): string {
  const { mean, low, high, p, clusters } = estimate;
  return `${fixed(mean)} [${fixed(low)}, ${fixed(high)}], ${pText(p)}, ${clusters} sources`;
}
