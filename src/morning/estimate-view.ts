// An estimate as a page shows it: what is not known is null.
import type { Estimate } from '../measure/statistics.ts';
import type { EstimateView } from '../protocol/summary.ts';

/** Unknown ends of an interval are written as the largest numbers; a page shows them as unknown. */
export const finite = (value: number): number | null =>
  Number.isFinite(value) && Math.abs(value) < 1e300 ? value : null;

export const view = ({ mean, low, high, p, clusters, observations }: Estimate): EstimateView =>
  observations === 0
    ? { mean: null, low: null, high: null, p: null, clusters }
    : { mean: finite(mean), low: finite(low), high: finite(high), p, clusters };
