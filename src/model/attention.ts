// Attention with a KV cache: the primitive form, which has a gradient and shows its weights.
import { type Dimension, product } from '../graph/dimension.ts';
import { concat, range, sizeOf, slice } from '../graph/indexing.ts';
import {
  add,
  and,
  lessOrEqual,
  matMul,
  multiply,
  reshape,
  scalar,
  select,
  softmax,
  transpose,
} from '../graph/operations.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { ModelConfig } from './config.ts';
import { type Heads, rotate } from './layers.ts';

/** Keys, rotated, and values: each (batch, numKeyValueHeads, keys, headDim). */
export interface KeyValues {
  readonly key: Tensor;
  readonly value: Tensor;
}

export interface AttentionInputs {
  /**
   * What earlier runs left, `past` keys; undefined = nothing. With a batch of the literal 1 all
   * rows of the batch read the same past.
   */
  readonly past: KeyValues | undefined;
  /** (batch, length, 1, headDim / 2), likewise `sin`. */
  readonly cos: Tensor;
  readonly sin: Tensor;
  /** (batch, 1, length, keys): 0 where a row may attend to a key, hugely negative elsewhere. */
  readonly bias: Tensor;
}

export interface AttentionResult {
  /** (batch, length, numAttentionHeads * headDim), before W_o. */
  readonly output: Tensor;
  /** (batch, numAttentionHeads, length, keys): the past first, then this run; rows sum to 1. */
  readonly attention: Tensor;
  /** Keys and values of this run alone, `length` of them. */
  readonly own: KeyValues;
}

/**
 * Adding it leaves exactly 0 after softmax; finite, so that a row that sees nothing gets equal
 * weights and no NaN.
 */
const HIDDEN = -1e30;

/**
 * What each row may see: valid keys, and of the keys of this run only its own and earlier ones.
 * @param keyMask bool (batch, keys), true = may be attended; the last `length` keys are this run's
 * @returns (batch, 1, length, keys), to be added to scores
 */
export function attentionBias(keyMask: Tensor, length: Dimension, past: Dimension): Tensor {
  const [batch = 0, keys = 0] = keyMask.shape;
  const lastKeyOfRow = past === 0 ? range(length) : add(range(length), sizeOf(past)); // (length)
  const isCausal = lessOrEqual(
    reshape(range(keys), [1, 1, 1, keys]),
    reshape(lastKeyOfRow, [1, 1, length, 1]),
  ); // (1, 1, length, keys)
  const isVisible = and(reshape(keyMask, [batch, 1, 1, keys]), isCausal); // (b, 1, length, keys)
  return select(isVisible, scalar(0), scalar(HIDDEN));
}

/**
 * `softmax(Q Kᵀ / √headDim + bias) V`. Heads that share a key-value head are read as further rows
 * of it, and past and own keys are multiplied apart, so that K and V are neither repeated nor
 * copied. Source: Vaswani et al., arXiv 1706.03762, eq. 1; Ainslie et al., arXiv 2305.13245.
 */
export function attend(
  { query, key, value }: Heads,
  { past, cos, sin, bias }: AttentionInputs,
  { numAttentionHeads: heads, numKeyValueHeads: kvHeads, headDim }: ModelConfig,
): AttentionResult {
  // In the shapes: b batch, l length, n kvHeads, d headDim, r rows of a key-value head.
  const [batch = 0, length = 0] = query.shape;
  const rows = product(heads / kvHeads, length);
  const own = {
    key: transpose(rotate(key, cos, sin), HEADS_FIRST), // (b, n, l, d)
    value: transpose(value, HEADS_FIRST), // (b, n, l, d)
  };
  const rotated = transpose(rotate(query, cos, sin), HEADS_FIRST); // (b, heads, l, d)
  const grouped = reshape(rotated, [batch, kvHeads, rows, headDim]); // (b, n, r, d)
  const scaled = multiply(grouped, scalar(1 / Math.sqrt(headDim)));

  const ownScores = matMul(scaled, own.key, { transposeB: true }); // (b, n, r, l)
  const scores =
    past === undefined ? ownScores : concat([timesPast(scaled, past.key, true), ownScores], 3);
  const perHead = [batch, heads, length, scores.shape[3] as Dimension]; // from (b, n, r, keys)
  const attention = softmax(add(reshape(scores, perHead), bias)); // (b, heads, l, keys)

  const mixed = mix(reshape(attention, scores.shape), past, own.value); // (b, n, r, d)
  const perRow = transpose(reshape(mixed, rotated.shape), HEADS_FIRST); // (b, l, heads, d)
  const output = reshape(perRow, [batch, length, heads * headDim]); // (b, l, heads * d)
  return { output, attention, own };
}

/** (batch, length, heads, headDim) ↔ (batch, heads, length, headDim). */
const HEADS_FIRST = [0, 2, 1, 3];

/** The values by their weights (batch, kvHeads, rows, keys): (batch, kvHeads, rows, headDim). */
function mix(weights: Tensor, past: KeyValues | undefined, ownValue: Tensor): Tensor {
  if (past === undefined) return matMul(weights, ownValue);
  const [, , pastSize = 0] = past.value.shape;
  const [, , ownSize = 0] = ownValue.shape;
  const pastWeights = slice(weights, 3, 0, pastSize); // (batch, kvHeads, rows, past)
  const ownWeights = slice(weights, 3, pastSize, ownSize); // (batch, kvHeads, rows, length)
  return add(timesPast(pastWeights, past.value, false), matMul(ownWeights, ownValue));
}

/**
 * `x (batch, kvHeads, rows, m) × y`, where y (batch or 1, kvHeads, m, n) may be shared by the
 * batch, whose members are then further rows.
 */
function timesPast(x: Tensor, y: Tensor, transposeB: boolean): Tensor {
  const [batch = 0, kvHeads = 0, rows = 0, width = 0] = x.shape;
  if (y.shape[0] !== 1 || batch === 1) return matMul(x, y, { transposeB });
  const kvFirst = transpose(x, [1, 0, 2, 3]); // (kvHeads, batch, rows, m)
  const folded = reshape(kvFirst, [1, kvHeads, product(batch, rows), width]);
  const multiplied = matMul(folded, y, { transposeB }); // (1, kvHeads, batch * rows, n)
  const unfolded = reshape(multiplied, [kvHeads, batch, rows, multiplied.shape[3] as Dimension]);
  return transpose(unfolded, [1, 0, 2, 3]); // (batch, kvHeads, rows, n)
}
