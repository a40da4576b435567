// Builders of fused kernels for chat prefill and decode; they have no gradient.
import { sum } from './dimension.ts';
import { sameShape } from './operations.ts';
import { node, refuse, type Tensor } from './tensor.ts';

export interface GroupQueryAttentionInputs {
  /** (batch, length, heads * headDim). */
  readonly query: Tensor;
  /** (batch, length, kvHeads * headDim). */
  readonly key: Tensor;
  /** (batch, length, kvHeads * headDim). */
  readonly value: Tensor;
  /** (batch, kvHeads, past, headDim), rotated. */
  readonly pastKey: Tensor;
  /** (batch, kvHeads, past, headDim). */
  readonly pastValue: Tensor;
  /** i32 (batch): tokens of each row, past and new, less one. */
  readonly lengths: Tensor;
  /** i32 (): the most tokens of any row, past and new. */
  readonly total: Tensor;
  /** Given when query and key are to be rotated by the kernel. */
  readonly rotary?: RotaryTables;
}

/** Cosine and sine of each rotary angle, each (positions, headDim / 2). */
export interface RotaryTables {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

export interface GroupQueryAttentionSettings {
  readonly heads: number;
  readonly kvHeads: number;
  /** Factor on the scores, 1 / sqrt(headDim) for most models. */
  readonly scale: number;
}

export interface GroupQueryAttentionResult {
  /** (batch, length, heads * headDim). */
  readonly output: Tensor;
  /** (batch, kvHeads, past + length, headDim). */
  readonly presentKey: Tensor;
  /** (batch, kvHeads, past + length, headDim). */
  readonly presentValue: Tensor;
}

/**
 * Causal attention over grouped heads and a cache of past keys and values, the kernel rotating
 * query and key where it is given the tables. `softmax(scale * Q Kᵀ) V`.
 * Source: ONNX Runtime's com.microsoft.GroupQueryAttention.
 * @throws AttuneError graph-shape
 */
export function groupQueryAttention(
  inputs: GroupQueryAttentionInputs,
  { heads, kvHeads, scale }: GroupQueryAttentionSettings,
): GroupQueryAttentionResult {
  const kind = 'groupQueryAttention';
  const { query, key, value, pastKey, pastValue, lengths, total, rotary } = inputs;
  const tables = rotary === undefined ? [] : [rotary.cos, rotary.sin];
  const operands = [query, key, value, pastKey, pastValue, lengths, total, ...tables];
  const [batch = 0, past = 0, headDim = 0] = [0, 2, 3].map((axis) => pastKey.shape[axis]);
  const [, length = 0] = query.shape;
  if (typeof headDim !== 'number' || pastKey.shape.length !== 4) {
    return refuse(kind, 'pastKey must be (batch, kvHeads, past, literal headDim)', operands);
  }
  const expected = [
    [batch, length, heads * headDim],
    [batch, length, kvHeads * headDim],
    [batch, length, kvHeads * headDim],
    [batch, kvHeads, past, headDim],
    [batch, kvHeads, past, headDim],
    [batch],
    [],
    ...tables.map(() => [rotary?.cos.shape[0] ?? 0, headDim / 2]),
  ];
  const wrong = operands.findIndex((each, i) => !sameShape(each.shape, expected[i] ?? []));
  if (wrong >= 0) {
    const wanted = (expected[wrong] ?? []).join(', ');
    refuse(kind, `operand ${wrong} must be (${wanted})`, operands);
  }
  if (lengths.dtype !== 'i32' || total.dtype !== 'i32') {
    refuse(kind, 'lengths and total must be i32', operands);
  }
  if (heads % kvHeads !== 0) refuse(kind, `${kvHeads} does not divide ${heads} heads`, operands);
  const operation = { kind, heads, kvHeads, scale, isRotary: rotary !== undefined } as const;
  const output = node(operation, operands, 'f32', query.shape);
  const present = [batch, kvHeads, sum(past, length), headDim];
  const result = (index: number): Tensor =>
    node({ kind: 'result', index }, [output], 'f32', present);
  return { output, presentKey: result(1), presentValue: result(2) };
}

/**
 * Turns each pair (i, i + headDim/2) of each head by the angle of its position.
 * @param x (batch, length, heads * headDim)
 * @param positions i32 (batch, length)
 * @returns the shape of `x`
 * @throws AttuneError graph-shape
 */
export function rotaryEmbedding(
  x: Tensor,
  positions: Tensor,
  { cos, sin }: RotaryTables,
  heads: number,
): Tensor {
  const kind = 'rotaryEmbedding';
  const operands = [x, positions, cos, sin];
  const width = x.shape[2];
  const half = cos.shape[1];
  if (x.shape.length !== 3 || typeof half !== 'number' || width !== heads * half * 2) {
    refuse(kind, `x must be (batch, length, ${heads} * headDim)`, operands);
  }
  if (positions.dtype !== 'i32' || !sameShape(positions.shape, x.shape.slice(0, 2))) {
    refuse(kind, 'positions must be i32 (batch, length)', operands);
  }
  if (!sameShape(cos.shape, sin.shape)) refuse(kind, 'cos and sin differ in shape', operands);
  return node({ kind, heads }, operands, 'f32', x.shape);
}

/** `x / sqrt(mean(x²) + ε) · weight` over the last axis. @throws AttuneError graph-shape */
export function fusedRmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor {
  if (x.dtype !== 'f32' || !sameShape(weight.shape, x.shape.slice(-1))) {
    refuse('rmsNorm', 'one weight for each entry of the last axis needed', [x, weight]);
  }
  return node({ kind: 'rmsNorm', epsilon }, [x, weight], 'f32', x.shape);
}
