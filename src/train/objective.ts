// The training objective as tensor graph: how far a reply's predictions are from a given
// distribution, and the gradient of that.
import { gradients } from '../graph/gradient.ts';
import * as op from '../graph/operations.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { Model } from '../model/model.ts';
import { primitiveGraph } from '../model/transformer.ts';

export interface GraphOptions {
  /** Weights that are fed. */
  readonly fed: (name: string) => boolean;
  /** Those of them that get a gradient. */
  readonly learns: (name: string) => boolean;
}

/** Least probability of which a logarithm is taken. */
const EPSILON = 1e-7;

/**
 * Forward KL to a distribution that is known for its likeliest tokens only; all others are one
 * outcome: `Σ p (log p − log q) + p_rest (log p_rest − log q_rest)`, nats, for each row.
 * It is never above the KL over the whole vocabulary.
 * @param logits (batch, length, vocabulary) of the student
 * @param target (batch, length, vocabulary): p of the likeliest tokens, 0 elsewhere
 * @param rest (batch, length): p of all others together
 * @returns (batch, length)
 */
export function truncatedKl(logits: Tensor, target: Tensor, rest: Tensor): Tensor {
  const logQ = op.logSoftmax(logits);
  const logOf = (p: Tensor): Tensor => op.log(op.maximum(p, op.scalar(EPSILON)));
  const named = op.multiply(target, op.subtract(logOf(target), logQ));
  const isNamed = op.cast(op.less(op.scalar(0), target), 'f32');
  const restQ = op.subtract(op.scalar(1), op.reduceSum(op.multiply(isNamed, op.exp(logQ)), [2]));
  const others = op.multiply(rest, op.subtract(logOf(rest), logOf(restQ)));
  return op.add(op.reduceSum(named, [2]), others);
}

/**
 * One micro-step. Inputs: those of `primitiveGraph` with a shared past, `lossMask` (batch, length),
 * `target` and `rest` as in `truncatedKl`, `weight` () and `sum.<weight>` (rows, columns), the
 * gradients summed so far. Outputs: `kl` (), the mean over the rows that count, and
 * `next.sum.<weight>`.
 */
export function distillationGraph(
  model: Model,
  { fed, learns }: GraphOptions,
): Record<string, Tensor> {
  const graph = primitiveGraph(model, {
    trainable: fed,
    past: 'shared',
    outputs: { logits: true },
  });
  const logits = graph.outputs.logits as Tensor; // (batch, length, vocabulary)
  const rows = logits.shape.slice(0, 2);
  const lossMask = op.input('lossMask', 'f32', rows);
  const perRow = truncatedKl(
    logits,
    op.input('target', 'f32', logits.shape),
    op.input('rest', 'f32', rows),
  );
  const kl = op.divide(op.reduceSum(op.multiply(perRow, lossMask)), op.reduceSum(lossMask));
  const loss = op.multiply(kl, op.input('weight', 'f32', []));
  const names = Object.keys(graph.parameters).filter(learns);
  const wanted = names.map((name) => graph.parameters[name] as Tensor);
  // Attention is computed again on the way back: a step's memory must not grow with the context.
  const parts = gradients(loss, wanted, { isRecomputing: true });
  const sums = names.map((name, i) => {
    const part = parts[i] as Tensor;
    return [`next.sum.${name}`, op.add(op.input(`sum.${name}`, 'f32', part.shape), part)];
  });
  return { kl, ...(Object.fromEntries(sums) as Record<string, Tensor>) };
}
