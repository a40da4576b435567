// Rows of logits as probabilities, in doubles: log softmax, and how far two predictions are apart.
import type { HostTensor } from '../runtime/executor.ts';

/** Log of the softmax of one row of logits, in doubles. */
export function logSoftmaxRow(logits: ArrayLike<number>): Float64Array {
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) most = Math.max(most, logits[i] as number);
  let total = 0;
  for (let i = 0; i < logits.length; i++) total += Math.exp((logits[i] as number) - most);
  const norm = most + Math.log(total);
  return Float64Array.from({ length: logits.length }, (_, i) => (logits[i] as number) - norm);
}

/** `Σ p (log p − log q)` of the rows of two logits (rows, vocabulary), mean over the rows, nats. */
export function klOfLogits(p: HostTensor, q: HostTensor): number {
  const [rows, vocabulary] = p.shape as [number, number];
  let total = 0;
  for (let row = 0; row < rows; row++) {
    const a = logSoftmaxRow(p.data.subarray(row * vocabulary, (row + 1) * vocabulary));
    const b = logSoftmaxRow(q.data.subarray(row * vocabulary, (row + 1) * vocabulary));
    for (let i = 0; i < vocabulary; i++) {
      total += Math.exp(a[i] as number) * ((a[i] as number) - (b[i] as number));
    }
  }
  return total / rows;
}
