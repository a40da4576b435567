// The training objective as tensor graph: how far a reply's predictions are from a given
// distribution, and the gradient of that.
import { product } from '../graph/dimension.ts';
import { gradients } from '../graph/gradient.ts';
import { gather } from '../graph/indexing.ts';
import * as op from '../graph/operations.ts';
import type { Shape, Tensor } from '../graph/tensor.ts';
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

/** A teacher's predictions as inputs of a graph, each row by its likeliest tokens. */
export interface TargetInputs {
  /** i32 (batch, length, likeliest): where they are in the flattened logits. */
  readonly at: Tensor;
  /** (batch, length, likeliest): their p. */
  readonly p: Tensor;
  /** (batch, length): p of all others together. */
  readonly rest: Tensor;
}

/** `targetAt`, `target` and `rest`, as `targetFeeds` makes them. @param rows (batch, length) */
export function targetInputs(rows: Shape): TargetInputs {
  return {
    at: op.input('targetAt', 'i32', [...rows, 'likeliest']),
    p: op.input('target', 'f32', [...rows, 'likeliest']),
    rest: op.input('rest', 'f32', rows),
  };
}

/**
 * Forward KL to a distribution that is known for its likeliest tokens only; all others are one
 * outcome: `Σ p (log p − log q) + p_rest (log p_rest − log q_rest)`, nats, for each row.
 * It is never above the KL over the whole vocabulary.
 * @param logits (batch, length, vocabulary) of the student
 * @returns (batch, length)
 */
export function truncatedKl(logits: Tensor, { at, p, rest }: TargetInputs): Tensor {
  const flat = op.reshape(op.logSoftmax(logits), [product(...logits.shape)]);
  const logQ = gather(flat, at); // (batch, length, likeliest)
  const logOf = (x: Tensor): Tensor => op.log(op.maximum(x, op.scalar(EPSILON)));
  const named = op.multiply(p, op.subtract(logOf(p), logQ));
  const restQ = op.subtract(op.scalar(1), op.reduceSum(op.exp(logQ), [2]));
  const others = op.multiply(rest, op.subtract(logOf(rest), logOf(restQ)));
  return op.add(op.reduceSum(named, [2]), others);
}

/**
 * One micro-step. Inputs: those of `primitiveGraph` with a shared past, `lossMask` (batch, length),
 * those of `targetInputs`, `weight` () and `sum.<weight>` (rows, columns), the
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
  const perRow = truncatedKl(logits, targetInputs(rows));
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
