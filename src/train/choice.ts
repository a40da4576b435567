// The choice between two replies that differ in one thing: how likely the one is beside the other.
import type { Candidate, Example } from '../scenario/example.ts';

/** Number of tokens that count, from the first one in which the two replies differ. */
const TOKENS = 12;

/**
 * The beginnings of both replies, a little past the first difference. What is the same in both does
 * not count: their choice does not depend on it.
 */
export function choiceOf({ chosen, rejected }: Example): [Candidate, Candidate] | undefined {
  if (rejected === undefined) return undefined;
  const first = chosen.targets.findIndex((id, row) => id !== rejected.targets[row]);
  if (first < 0 || first >= rejected.targets.length) return undefined;
  const begun = ({ ids, targets }: Candidate): Candidate => ({
    ids: ids.slice(0, first + TOKENS),
    targets: targets.slice(0, first + TOKENS),
    lossMask: targets.slice(0, first + TOKENS).map((_, row) => (row < first ? 0 : 1)),
  });
  return [begun(chosen), begun(rejected)];
}

/**
 * Probability of the first of two replies, if it has to be one of them: `σ(Σ log p − Σ log p′)`.
 * @param logProbabilities of the targets of each
 */
export function chance(
  candidates: readonly [Candidate, Candidate],
  logProbabilities: readonly Float32Array[],
): number {
  const [one = 0, other = 0] = candidates.map(({ lossMask }, i) =>
    lossMask.reduce((sum, counts, row) => sum + counts * (logProbabilities[i]?.[row] ?? 0), 0),
  );
  return 1 / (1 + Math.exp(other - one));
}

const EPSILON = 1e-6;

/** KL of two choices: `p log(p/q) + (1−p) log((1−p)/(1−q))`, nats. */
export function choiceKl(p: number, q: number): number {
  const part = (a: number, b: number): number =>
    a <= 0 ? 0 : a * Math.log(a / Math.max(b, EPSILON));
  return part(p, q) + part(1 - p, 1 - q);
}
