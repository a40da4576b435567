// What the teacher says: at each token of a reply its likeliest next tokens, and all others as one.
import { logSoftmaxRow } from '../reading/logits.ts';
import type { HostTensor } from '../runtime/executor.ts';
import { f32, i32 } from '../runtime/host-tensor.ts';
import type { Candidate } from '../scenario/example.ts';

/** Tokens that are told apart. What that leaves out is measured in experiments/reference. */
export const LIKELIEST = 64;

/** Predictions of some rows, truncated: see `truncatedKl`. */
export interface Target {
  readonly rows: number;
  readonly vocabulary: number;
  /** (rows × likeliest) token ids and their probabilities. */
  readonly ids: Int32Array;
  readonly probabilities: Float32Array;
  /** (rows): probability of all other tokens together. */
  readonly rest: Float32Array;
}

/** @param logits (rows, vocabulary) */
export function targetOf({ data, shape }: HostTensor): Target {
  const [rows, vocabulary] = shape as [number, number];
  const kept = Math.min(LIKELIEST, vocabulary);
  const ids = new Int32Array(rows * kept);
  const probabilities = new Float32Array(rows * kept);
  const rest = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const logP = logSoftmaxRow(data.subarray(row * vocabulary, (row + 1) * vocabulary));
    const best = likeliest(logP, kept);
    let sum = 0;
    for (const [i, id] of best.entries()) {
      const p = Math.exp(logP[id] as number);
      ids[row * kept + i] = id;
      probabilities[row * kept + i] = p;
      sum += p;
    }
    rest[row] = kept === vocabulary ? 0 : Math.max(0, 1 - sum);
  }
  return { rows, vocabulary, ids, probabilities, rest };
}

/** All of the probability on the candidate's own targets: the KL to it is `−log q`, mean over rows. */
export function oneHot({ targets }: Candidate, vocabulary: number): Target {
  const rows = targets.length;
  const probabilities = new Float32Array(rows).fill(1);
  return {
    rows,
    vocabulary,
    ids: Int32Array.from(targets),
    probabilities,
    rest: new Float32Array(rows),
  };
}

/** Indices of the `count` largest values, in the order of their indices. */
function likeliest(values: Float64Array, count: number): number[] {
  const least = [...values.slice(0, count)].sort((a, b) => a - b);
  for (let i = count; i < values.length; i++) {
    const value = values[i] as number;
    if (value <= (least[0] as number)) continue;
    // Insertion into the short sorted list; most values fail the comparison above.
    let at = 0;
    while (at + 1 < count && (least[at + 1] as number) < value) {
      least[at] = least[at + 1] as number;
      at++;
    }
    least[at] = value;
  }
  const threshold = least[0] as number;
  const chosen: number[] = [];
  for (let i = 0; i < values.length && chosen.length < count; i++) {
    if ((values[i] as number) >= threshold) chosen.push(i);
  }
  return chosen;
}

/** What `targetInputs` takes, for a batch of one. */
export function targetFeeds(target: Target): Record<'targetAt' | 'target' | 'rest', HostTensor> {
  const { rows, vocabulary, ids, probabilities, rest } = target;
  const kept = ids.length / rows;
  const at = ids.map((id, i) => Math.floor(i / kept) * vocabulary + id);
  const shape = [1, rows, kept];
  return {
    targetAt: i32(shape, at),
    target: f32(shape, probabilities),
    rest: f32([1, rows], rest),
  };
}
