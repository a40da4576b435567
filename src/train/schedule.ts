// Learning rate over the steps, and the order of examples in an epoch.
import { sha256 } from '../base/hash.ts';

/** Linear warm-up over `warmupSteps`, then linear decay to nothing at `steps`; step from 0. */
export function learningRate(
  step: number,
  { peak, warmupSteps, steps }: { peak: number; warmupSteps: number; steps: number },
): number {
  const warm = Math.min(warmupSteps, steps);
  if (step < warm) return (peak * (step + 1)) / (warm + 1);
  return peak * Math.max(0, (steps - step) / Math.max(1, steps - warm));
}

/**
 * Indices of `ids` in the order of one epoch. Each has a place of its own, drawn from the seed, the
 * epoch and its id alone, so that one more or fewer moves no other; equal ids (the two sides of a
 * pair) are neighbours.
 */
export function epochOrder(ids: readonly string[], epoch: number, seed: number | string): number[] {
  const placed = ids.map((id, index) => ({ index, place: sha256(`${seed}:${epoch}:${id}`) }));
  return placed
    .sort((a, b) => (a.place < b.place ? -1 : a.place > b.place ? 1 : a.index - b.index))
    .map(({ index }) => index);
}
