// The training objectives as tensor graph: each term apart, and the gradient of their sum.
import { gradients } from '../graph/gradient.ts';
import { slice } from '../graph/indexing.ts';
import * as op from '../graph/operations.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { Model } from '../model/model.ts';
import { primitiveGraph } from '../model/transformer.ts';

export interface ObjectiveSettings {
  /** Weight of the cross-entropy on `chosen`, nats a token; only without a `rejected`. */
  readonly chosenWeight: number;
  readonly preferenceWeight: number;
  /** The goal: how far `chosen` is to gain on `rejected`, nats in all. */
  readonly preferenceMargin: number;
  /** Weight of the fall of log p(chosen) below the first weights, nats a token. */
  readonly guardWeight: number;
}

export interface GraphOptions {
  /** Weights that are fed. */
  readonly fed: (name: string) => boolean;
  /** Those of them that get a gradient. */
  readonly learns: (name: string) => boolean;
}

const perRow = (x: Tensor): Tensor => op.reduceSum(x, [1]); // (batch, length) → (batch)
/** (batch) → (). */
const rowOf = (x: Tensor, row: number): Tensor => op.reshape(slice(x, 0, row, 1), []);

/** Nats a token below which a fall of log p(chosen) is smoothed. */
export const GUARD_WIDTH = 0.05;

/**
 * `max(x, 0)` of a scalar () with its corner rounded: 0 for x ≤ 0, `x² / 2w` up to w, then
 * `x − w / 2`. Slope 0 at x = 0, where every training begins (there a hinge would push by half its
 * weight or by all of it, as the executor breaks ties), and 1 from w on. Written with
 * `c = min(max(x, 0), w)` as `(c x₊ − c² / 2) / w`, whose slope `c / w` is the same whatever
 * the rules of max and min say at their corners.
 * Source: Huber's function, one-sided; "quadratically smoothed hinge", Zhang 2004 (ICML), §2.
 */
export function smoothHinge(x: Tensor, width: number): Tensor {
  const positive = op.maximum(x, op.scalar(0));
  const capped = op.minimum(positive, op.scalar(width));
  const half = op.multiply(op.multiply(capped, capped), op.scalar(0.5));
  return op.divide(op.subtract(op.multiply(capped, positive), half), op.scalar(width));
}

export interface ObjectiveTerms {
  readonly loss: Tensor;
  readonly terms: Readonly<Record<string, Tensor>>;
}

/**
 * The objective of one scenario: row 0 is `chosen`, row 1 (if any) `rejected`.
 *
 *     D_y = log p(y) − log p₀(y), summed over the reply's tokens; p₀ the first weights
 *     with a `rejected`:    loss = b · ((D_chosen − D_rejected) / τ − 1)² + c · h(−d_chosen)
 *     without a `rejected`: loss = a · −mean log p(chosen) + c · h(−d_chosen)
 *     d_y = D_y / tokens of y, h the hinge max(0, ·) with its corner rounded
 *
 * Both sides of a crossed pair have the same goal, so that the one that lags is pushed more, and
 * neither candidate becomes likelier whatever stands before it. The goal is of the whole reply:
 * counted a token, a pair that differs in one word of twenty would teach a tenth of one that
 * differs throughout.
 *
 * Source: Azar et al. 2023, arXiv:2310.12036 (IPO); the guard after Pal et al. 2024,
 * arXiv:2402.13228 (log p(chosen) itself may fall).
 *
 * @param logProbabilities (batch, length)
 * @param lossMask (batch, length), 1 = counts
 * @param reference (batch): log p₀ of each reply, summed
 */
export function preferenceObjective(
  tensors: { logProbabilities: Tensor; lossMask: Tensor; reference: Tensor },
  hasRejected: boolean,
  settings: ObjectiveSettings,
): ObjectiveTerms {
  const sums = perRow(op.multiply(tensors.logProbabilities, tensors.lossMask)); // (batch)
  const tokens = rowOf(perRow(tensors.lossMask), 0);
  const gain = op.subtract(sums, tensors.reference); // (batch)
  const chosen = op.negate(op.divide(rowOf(sums, 0), tokens));
  const fall = op.negate(op.divide(rowOf(gain, 0), tokens));
  const guard = smoothHinge(fall, GUARD_WIDTH);
  const weighted = (term: Tensor, weight: number): Tensor => op.multiply(term, op.scalar(weight));
  const guarded = weighted(guard, settings.guardWeight);
  if (!hasRejected) {
    const loss = op.add(weighted(chosen, settings.chosenWeight), guarded);
    return { loss, terms: { chosen, guard } };
  }
  const rejected = op.negate(op.divide(rowOf(sums, 1), rowOf(perRow(tensors.lossMask), 1)));
  const margin = op.subtract(rejected, chosen);
  const ahead = op.subtract(rowOf(gain, 0), rowOf(gain, 1));
  const short = op.subtract(weighted(ahead, 1 / settings.preferenceMargin), op.scalar(1));
  const preference = op.multiply(short, short);
  return {
    loss: op.add(guarded, weighted(preference, settings.preferenceWeight)),
    terms: { chosen, guard, preference, margin },
  };
}

/**
 * One micro-step. Inputs: those of `primitiveGraph` with a shared past, `lossMask` (batch, length),
 * `reference` (batch), and `sum.<weight>` (rows, columns), the gradients summed so far. Outputs:
 * the terms and `loss` (), `next.sum.<weight>`. `margin` is only told, it is no part of the loss.
 */
export function objectiveGraph(
  model: Model,
  { fed, learns }: GraphOptions,
  hasRejected: boolean,
  settings: ObjectiveSettings,
): Record<string, Tensor> {
  const graph = primitiveGraph(model, {
    trainable: fed,
    past: 'shared',
    outputs: { logProbabilities: true },
  });
  const logProbabilities = graph.outputs.logProbabilities as Tensor;
  const lossMask = op.input('lossMask', 'f32', logProbabilities.shape);
  const reference = op.input('reference', 'f32', logProbabilities.shape.slice(0, 1));
  const tensors = { logProbabilities, lossMask, reference };
  const { loss, terms } = preferenceObjective(tensors, hasRejected, settings);
  return { ...terms, loss, ...summed(loss, graph.parameters, learns) };
}

/**
 * Retention on one replayed turn: KL from the first weights, `mean_t Σ_v p₀ (log p₀ − log p)`.
 * Inputs: those of `primitiveGraph` with a shared past, `lossMask` (batch, length),
 * `referenceLogits` (batch, length, vocabulary) of the first weights, `weight` () of the term, and
 * `sum.<weight>`. Outputs: `retention` () before weighting, `next.sum.<weight>`.
 */
export function retentionGraph(
  model: Model,
  { fed, learns }: GraphOptions,
): Record<string, Tensor> {
  const graph = primitiveGraph(model, {
    trainable: fed,
    past: 'shared',
    outputs: { logits: true },
  });
  const logits = graph.outputs.logits as Tensor; // (batch, length, vocabulary)
  const referenceLogits = op.input('referenceLogits', 'f32', logits.shape);
  const lossMask = op.input('lossMask', 'f32', logits.shape.slice(0, 2));
  const first = op.logSoftmax(referenceLogits);
  const apart = op.multiply(op.exp(first), op.subtract(first, op.logSoftmax(logits)));
  const kl = op.reduceSum(apart, [2]); // (batch, length)
  const masked = op.reduceSum(op.multiply(kl, lossMask));
  const retention = op.divide(masked, op.reduceSum(lossMask));
  const loss = op.multiply(retention, op.input('weight', 'f32', []));
  return { retention, ...summed(loss, graph.parameters, learns) };
}

/** `sum.<weight>` + the gradient of each weight that learns. */
function summed(
  loss: Tensor,
  parameters: Readonly<Record<string, Tensor>>,
  learns: (name: string) => boolean,
): Record<string, Tensor> {
  const names = Object.keys(parameters).filter(learns);
  const wanted = names.map((name) => parameters[name] as Tensor);
  // Attention is computed again on the way back: a step's memory must not grow with the context.
  const parts = gradients(loss, wanted, { isRecomputing: true });
  return Object.fromEntries(
    names.map((name, i) => {
      const part = parts[i] as Tensor;
      return [`next.sum.${name}`, op.add(op.input(`sum.${name}`, 'f32', part.shape), part)];
    }),
  );
}
