// Attention with a KV cache: the primitive form, which has a gradient and shows its weights.
import { type Dimension, product } from '../graph/dimension.ts';
import { concat, range, sizeOf } from '../graph/indexing.ts';
import {
  add,
  and,
  lessOrEqual,
  matMul,
  maximum,
  multiply,
  reduceSum,
  reshape,
  scalar,
  select,
  softmax,
  sqrt,
  transpose,
} from '../graph/operations.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { ModelConfig } from './config.ts';
import { type Heads, rotate } from './layers.ts';

/** Rotated keys and values, each (batch, numKeyValueHeads, keys, headDim). */
export interface KeyValues {
  readonly key: Tensor;
  readonly value: Tensor;
}

export interface AttentionInputs {
  /** The past of this layer, with `past` keys; undefined = none. */
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
  /** (batch, numAttentionHeads, length, keys); each row sums to 1. */
  readonly attention: Tensor;
  /** Past and new keys and values; keys = length + past. */
  readonly present: KeyValues;
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
  const [batch, keys] = keyMask.shape as [Dimension, Dimension];
  const lastKeyOfRow = past === 0 ? range(length) : add(range(length), sizeOf(past)); // (length)
  const isCausal = lessOrEqual(reshape(range(keys), [1, keys]), reshape(lastKeyOfRow, [length, 1])); // (length, keys)
  const isVisible = and(
    reshape(keyMask, [batch, 1, 1, keys]),
    reshape(isCausal, [1, 1, length, keys]),
  ); // (batch, 1, length, keys)
  return select(isVisible, scalar(0), scalar(HIDDEN));
}

/**
 * `softmax(Q Kᵀ / √headDim + bias) V`. Heads that share a key-value head are read as further rows
 * of it, so K and V are never repeated. Source: Vaswani et al., arXiv 1706.03762, eq. 1; Ainslie
 * et al., arXiv 2305.13245 (groups).
 */
export function attend(
  { query, key, value }: Heads,
  { past, cos, sin, bias }: AttentionInputs,
  { numAttentionHeads: heads, numKeyValueHeads: kvHeads, headDim }: ModelConfig,
): AttentionResult {
  const [batch, length] = query.shape as [Dimension, Dimension];
  const rowsOfGroup = product(heads / kvHeads, length);
  const headsFirst = [0, 2, 1, 3];
  const newKey = transpose(rotate(key, cos, sin), headsFirst); // (b, kvHeads, length, headDim)
  const newValue = transpose(value, headsFirst); // (b, kvHeads, length, headDim)
  const present =
    past === undefined
      ? { key: newKey, value: newValue }
      : {
          key: concat([past.key, newKey], 2), // (b, kvHeads, keys, headDim)
          value: concat([past.value, newValue], 2), // (b, kvHeads, keys, headDim)
        };
  const keys = present.key.shape[2] as Dimension;
  const scaled = multiply(rotate(query, cos, sin), scalar(1 / Math.sqrt(headDim)));
  const grouped = reshape(
    transpose(scaled, headsFirst), // (b, heads, length, headDim)
    [batch, kvHeads, rowsOfGroup, headDim],
  );
  const scores = matMul(grouped, present.key, { transposeB: true }); // (b, kvHeads, group·l, keys)
  const attention = softmax(add(reshape(scores, [batch, heads, length, keys]), bias)); // (b, heads, l, keys)
  const mixed = matMul(reshape(attention, scores.shape), present.value); // (b, kvHeads, group·l, headDim)
  const byRow = transpose(
    reshape(mixed, [batch, heads, length, headDim]),
    headsFirst, // (b, length, heads, headDim)
  );
  const output = reshape(byRow, [batch, length, heads * headDim]); // (b, length, heads·headDim)
  return { output, attention, present };
}

/**
 * How long each value is once W_o has been applied to it: `‖W_o,h v‖` for every head h. With
 * attention it tells what a key contributes. Computed as `sqrt(vᵀ (W_o,hᵀ W_o,h) v)`, so nothing
 * of size keys × hiddenSize is made. Source: Kobayashi et al., arXiv 2004.10102, eq. 4.
 * @param value (batch, numKeyValueHeads, keys, headDim)
 * @param oProj (hiddenSize, numAttentionHeads * headDim)
 * @returns (batch, numAttentionHeads, keys)
 */
export function valueNorms(value: Tensor, oProj: Tensor, config: ModelConfig): Tensor {
  const { numAttentionHeads: heads, numKeyValueHeads: kvHeads, headDim, hiddenSize } = config;
  const group = heads / kvHeads;
  const [batch, , keys] = value.shape as [Dimension, Dimension, Dimension];
  const perHead = transpose(reshape(oProj, [hiddenSize, heads, headDim]), [1, 0, 2]); // (heads, hidden, d)
  const gram = matMul(perHead, perHead, { transposeA: true }); // (heads, d, d)
  const gramOfGroup = reshape(
    transpose(reshape(gram, [kvHeads, group, headDim, headDim]), [0, 2, 1, 3]), // (kvHeads, d, group, d)
    [kvHeads, headDim, group * headDim],
  );
  const rows = product(batch, keys);
  const flat = reshape(transpose(value, [1, 0, 2, 3]), [kvHeads, rows, headDim]); // (kvHeads, b·keys, d)
  const images = reshape(matMul(flat, gramOfGroup), [kvHeads, rows, group, headDim]);
  const products = multiply(images, reshape(flat, [kvHeads, rows, 1, headDim]));
  const squares = reduceSum(products, [3]); // (kvHeads, b·keys, group)
  const norms = sqrt(maximum(squares, scalar(0)));
  const byBatch = transpose(reshape(norms, [kvHeads, batch, keys, group]), [1, 0, 3, 2]);
  return reshape(byBatch, [batch, heads, keys]); // (batch, heads, keys)
}
