// Attention with a KV cache: the primitive form, which has a gradient and shows its weights.
import { at } from '../base/at.ts';
import { type Dimension, product } from '../graph/dimension.ts';
import { broadcast, concat, range, sizeOf, slice } from '../graph/indexing.ts';
import {
  add,
  and,
  divide,
  equal,
  lessOrEqual,
  matMul,
  multiply,
  reduceSum,
  reshape,
  scalar,
  select,
  softmax,
  transpose,
} from '../graph/operations.ts';
import { recomputable, type Shape, type Tensor } from '../graph/tensor.ts';
import type { ModelConfig } from './config.ts';
import { type Angles, type Heads, rotate } from './layers.ts';

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
  /** Turns queries and keys by their positions; undefined = this layer does not. */
  readonly angles: Angles | undefined;
  /** 0 where a row may attend to a key, hugely negative elsewhere; see `attentionBias`. */
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
 * The same for a past that the batch shares. Its members are then packed into one long run, so
 * that neither the past nor the scores against it are repeated; here they are hidden from each
 * other. A row that sees nothing has equal weights over the keys of all members.
 * @param keyMask as above, (batch, past + length)
 * @returns (1, 1, batch * length, past + batch * length)
 */
export function packedAttentionBias(keyMask: Tensor, length: Dimension, past: Dimension): Tensor {
  const [batch = 0] = keyMask.shape;
  const tokens = product(batch, length);
  const pastMask = reshape(slice(keyMask, 1, 0, past), [batch, 1, past]);
  const seesPast = broadcast(pastMask, [batch, length, past]); // (batch, length, past)
  const isKey = reshape(slice(keyMask, 1, past, length), [1, tokens]);
  const [row, key] = [reshape(range(tokens), [tokens, 1]), reshape(range(tokens), [1, tokens])];
  const memberOf = (token: Tensor): Tensor => divide(token, sizeOf(length)); // whole numbers
  const isCausal = and(lessOrEqual(key, row), equal(memberOf(key), memberOf(row)));
  const seesOwn = and(isKey, isCausal); // (tokens, tokens)
  const isVisible = concat([reshape(seesPast, [tokens, past]), seesOwn], 1); // (tokens, keys)
  return reshape(select(isVisible, scalar(0), scalar(HIDDEN)), [1, 1, ...isVisible.shape]);
}

/**
 * `softmax(scale · Q Kᵀ + bias) V`. Heads that share a key-value head are read as further rows
 * of it, so that K and V are not repeated. Past and own keys are joined rather than multiplied
 * apart: where there are more rows than a head has entries, as in training, joining the scores
 * would copy more. Source: Vaswani et al., arXiv 1706.03762, eq. 1; Ainslie et al., 2305.13245.
 */
export function attend(
  { query, key, value }: Heads,
  { past, angles, bias }: AttentionInputs,
  { numAttentionHeads: heads, numKeyValueHeads: kvHeads, headDim, scales }: ModelConfig,
): AttentionResult {
  // In the shapes: b batch, l length, n kvHeads, d headDim, r rows of a key-value head; a packed
  // batch is one run of t = b * l tokens, any other b runs of t = l.
  const [batch = 0, length = 0] = query.shape;
  const isPacked = past?.key.shape[0] === 1;
  const [runs, tokens] = isPacked ? [1, product(batch, length)] : [batch, length];
  const headsFirst = (x: Tensor): Tensor =>
    transpose(reshape(x, [runs, tokens, ...x.shape.slice(2)]), HEADS_FIRST); // (runs, heads, t, d)
  const turned = (x: Tensor): Tensor => (angles === undefined ? x : rotate(x, angles));
  const ownKey = turned(key); // (b, l, n, d)
  const [ownKeys, ownValues] = [headsFirst(ownKey), headsFirst(value)]; // (runs, n, t, d)

  const rotated = headsFirst(turned(query)); // (runs, heads, t, d)
  const rows = product(heads / kvHeads, tokens);
  const grouped = reshape(rotated, [runs, kvHeads, rows, headDim]); // (runs, n, r, d)
  const scaled = multiply(grouped, scalar(scales.attention));
  // What grows with the past is not worth keeping for the way back.
  const { mixed, attention } = recomputable(() => {
    const keys = withPast(past?.key, ownKeys); // (runs, n, keys, d)
    const values = withPast(past?.value, ownValues); // (runs, n, keys, d)
    const scores = matMul(scaled, keys, { transposeB: true }); // (runs, n, r, keys)
    const perHead = [runs, heads, tokens, at(scores.shape, 3)];
    const weights = softmax(add(reshape(scores, perHead), bias)); // (runs, heads, t, keys)
    const weighed = matMul(reshape(weights, scores.shape), values); // (runs, n, r, d)
    return { mixed: weighed, attention: weights };
  });
  const perToken = transpose(reshape(mixed, rotated.shape), HEADS_FIRST); // (runs, t, heads, d)
  return {
    output: reshape(perToken, [batch, length, heads * headDim]), // (b, l, heads * d)
    attention: isPacked ? unpacked(attention, past.key.shape[2] ?? 0, query.shape) : attention,
    own: { key: transpose(ownKey, HEADS_FIRST), value: transpose(value, HEADS_FIRST) },
  };
}

/** (batch, length, heads, headDim) ↔ (batch, heads, length, headDim). */
const HEADS_FIRST = [0, 2, 1, 3];

/** Past and own keys, or values: (batch, kvHeads, past + length, headDim). */
function withPast(past: Tensor | undefined, own: Tensor): Tensor {
  return past === undefined ? own : concat([past, own], 2);
}

/**
 * Attention of a packed batch, (1, heads, batch * length, past + batch * length), member by
 * member: (batch, heads, length, past + length). Keys of other members have the weight 0.
 */
function unpacked(attention: Tensor, past: Dimension, queryShape: Shape): Tensor {
  const [, heads = 0, tokens = 0] = attention.shape;
  const [batch = 0, length = 0] = queryShape;
  const ofPast = reshape(slice(attention, 3, 0, past), [heads, batch, length, past]);
  const ofAll = slice(attention, 3, past, tokens); // (1, heads, batch * length, batch * length)
  const ofOwn = reduceSum(reshape(ofAll, [heads, batch, length, batch, length]), [3]);
  const ofMembers = concat([ofPast, ofOwn], 3); // (heads, batch, length, past + length)
  return transpose(ofMembers, [1, 0, 2, 3]); // (batch, heads, length, past + length)
}
