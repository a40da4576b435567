// Builders of fused kernels for chat prefill and decode; they have no gradient.
import { sum } from './dimension.ts';
import { sameShape } from './operations.ts';
import { node, refuse, type Tensor } from './tensor.ts';

export interface GroupQueryAttentionInputs {
  /** (batch, length, heads * headDim), not yet rotated. */
  readonly query: Tensor;
  /** (batch, length, kvHeads * headDim), not yet rotated. */
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
  /** (positions, headDim / 2): cosine of each rotary angle. */
  readonly cos: Tensor;
  /** (positions, headDim / 2). */
  readonly sin: Tensor;
}

export interface GroupQueryAttentionSettings {
  readonly heads: number;
  readonly kvHeads: number;
  /** Factor on the scores, 1 / sqrt(headDim). */
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
 * Causal attention with rotary embedding over grouped heads and a cache of past keys and values.
 * `softmax(scale * rotate(Q) rotate(K)ᵀ) V`. Source: ONNX Runtime's GroupQueryAttention.
 * @throws AttuneError graph-shape
 */
export function groupQueryAttention(
  inputs: GroupQueryAttentionInputs,
  { heads, kvHeads, scale }: GroupQueryAttentionSettings,
): GroupQueryAttentionResult {
  const kind = 'groupQueryAttention';
  const { query, key, value, pastKey, pastValue, lengths, total, cos, sin } = inputs;
  const operands = [query, key, value, pastKey, pastValue, lengths, total, cos, sin];
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
    [cos.shape[0] ?? 0, headDim / 2],
    [cos.shape[0] ?? 0, headDim / 2],
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
  const operation = { kind, heads, kvHeads, scale } as const;
  const output = node(operation, operands, 'f32', query.shape);
  const present = [batch, kvHeads, sum(past, length), headDim];
  const result = (index: number): Tensor =>
    node({ kind: 'result', index }, [output], 'f32', present);
  return { output, presentKey: result(1), presentValue: result(2) };
}
