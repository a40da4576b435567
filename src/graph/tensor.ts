// The nodes of a tensor graph: what an operation is and what it yields; no arithmetic, no runtime.
import { AttuneError } from '../base/errors.ts';
import { type Dimension, sum } from './dimension.ts';

/** Values inside a graph. Files may store f16 or bf16; the executor widens them. */
export type DataType = 'f32' | 'i32' | 'bool';
export type StoredType = DataType | 'f16' | 'bf16';
export type Shape = readonly Dimension[];

export type UnaryFunction =
  | 'negate'
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'reciprocal'
  | 'abs'
  | 'sign'
  | 'sin'
  | 'cos'
  | 'sigmoid'
  | 'tanh'
  | 'not'
  | 'floor';
export type BinaryFunction = 'add' | 'subtract' | 'multiply' | 'divide' | 'maximum' | 'minimum';
export type CompareFunction = 'less' | 'lessOrEqual' | 'equal' | 'and' | 'or';

/** A part of a file, in bytes. */
export interface FileRange {
  /** Absolute, real path (no symlink in it). */
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/**
 * A quantised matrix (out, in): `scale · (code − 2^(bits − 1)) + minimum`. A row is cut into groups
 * of `groupElements`, each with a scale and a minimum, both f32 (out, in / groupElements). Codes
 * follow each other, two of 4 bits in a byte with the first one low.
 */
export interface BlocksSource {
  readonly from: 'blocks';
  readonly bits: 4 | 8;
  readonly groupElements: number;
  readonly codes: FileRange;
  readonly scales: FileRange;
  /** Undefined: all are 0. */
  readonly minima: FileRange | undefined;
}

export type FileSource = FileRange & { readonly from: 'file'; readonly storedAs: StoredType };

/** Where a constant's bytes are. Inline data is little-endian in row-major order. */
export type ConstantSource =
  | { readonly from: 'inline'; readonly data: Float32Array | Int32Array | Uint8Array }
  | FileSource
  | BlocksSource;

/** What a node does. `inputs` of the tensor are the operands, in the order given here. */
export type Operation =
  | { readonly kind: 'input'; readonly name: string }
  | { readonly kind: 'constant'; readonly source: ConstantSource; readonly name: string }
  /** (…, m, k)(…, k, n) → (…, m, n); the second operand may be a plain matrix shared by all. */
  | {
      readonly kind: 'matMul';
      readonly transposeA: boolean;
      readonly transposeB: boolean;
      /** A row of the product has the same bits whatever rows are beside it. */
      readonly isRepeatable: boolean;
    }
  | { readonly kind: 'unary'; readonly fn: UnaryFunction }
  | { readonly kind: 'binary'; readonly fn: BinaryFunction }
  | { readonly kind: 'compare'; readonly fn: CompareFunction }
  /** (condition bool, whenTrue, whenFalse). */
  | { readonly kind: 'select' }
  | { readonly kind: 'cast' }
  | { readonly kind: 'reduceSum'; readonly axes: readonly number[] }
  | { readonly kind: 'softmax' }
  | { readonly kind: 'logSoftmax' }
  | { readonly kind: 'reshape' }
  | { readonly kind: 'transpose'; readonly permutation: readonly number[] }
  | { readonly kind: 'concat'; readonly axis: number }
  | { readonly kind: 'slice'; readonly axis: number; readonly start: Dimension }
  /** Zeros around one axis: the operand begins at `start` of the result. */
  | { readonly kind: 'pad'; readonly axis: number; readonly start: Dimension }
  /** Literal 1s grow to the shape of the result. */
  | { readonly kind: 'broadcast' }
  /** (table (n, …rest), indices i32 (…)) → (…indices, …rest). */
  | { readonly kind: 'gather' }
  /** (rows (…indices, …rest), indices i32) → (n, …rest): the transpose of gather; repeats add up. */
  | { readonly kind: 'scatterAdd' }
  /** (values (…, n), indices i32 (…)) → (…). */
  | { readonly kind: 'pick' }
  /** (base (…, n), values (…), indices i32 (…)) → base with a value added at one entry per row. */
  | { readonly kind: 'addPicked' }
  /** indices i32 (…) → f32 (…, depth). */
  | { readonly kind: 'oneHot' }
  /** () → i32 (size): 0, 1, 2, … */
  | { readonly kind: 'range' }
  /** () → i32 scalar: the size of a symbolic dimension. */
  | { readonly kind: 'size'; readonly of: Dimension }
  | { readonly kind: 'stopGradient' }
  /** (x f32, signal f32) → x, not before the signal is known. */
  | { readonly kind: 'after' }
  | FusedOperation
  /** A further result of a fused node, by position. */
  | { readonly kind: 'result'; readonly index: number };

/** Fused kernels for chat prefill and decode; they have no gradient. */
export type FusedOperation =
  | {
      /**
       * (query (b, l, heads*d), key (b, l, kvHeads*d), value likewise, pastKey (b, kvHeads, p, d),
       *  pastValue, lengths i32 (b): total tokens − 1 per row, total i32 scalar, and where it is
       *  to rotate query and key itself: cos (n, d/2), sin)
       * → 0: (b, l, heads*d), 1: present key (b, kvHeads, p + l, d), 2: present value. Causal.
       */
      readonly kind: 'groupQueryAttention';
      readonly heads: number;
      readonly kvHeads: number;
      readonly scale: number;
      readonly isRotary: boolean;
    }
  /** (x (b, l, heads*d), positions i32 (b, l), cos (n, d/2), sin) → (b, l, heads*d). */
  | { readonly kind: 'rotaryEmbedding'; readonly heads: number }
  /** (x (…, n), weight (n)) → (…, n). */
  | { readonly kind: 'rmsNorm'; readonly epsilon: number };

/** A value in the graph. Immutable; the graph is what is reachable from its outputs. */
export interface Tensor {
  readonly id: number;
  readonly operation: Operation;
  readonly inputs: readonly Tensor[];
  readonly dtype: DataType;
  readonly shape: Shape;
  /** Where it was built ("layers.3.attention"), for messages. */
  readonly scope: string;
  /** Those of one `recomputable` part share a number. */
  readonly part: number | undefined;
}

let nextId = 1;
const scopes: string[] = [];
let nextPart = 1;
let part: number | undefined;

/**
 * Builds a part of a graph that is worth computing again for the way back rather than keeping: its
 * values are large and quickly had from what enters it. `gradients` does so where it is asked to.
 */
export function recomputable<T>(build: () => T): T {
  const outer = part;
  part = nextPart++;
  try {
    return build();
  } finally {
    part = outer;
  }
}

/** Builds under a name that appears in every error and node name within. */
export function scope<T>(name: string, build: () => T): T {
  scopes.push(name);
  try {
    return build();
  } finally {
    scopes.pop();
  }
}

/** Makes a node. Builders call it after they have proved the shape. */
export function node(
  operation: Operation,
  inputs: readonly Tensor[],
  dtype: DataType,
  shape: Shape,
): Tensor {
  const canonical = shape.map((dimension) => sum(dimension));
  const where = scopes.join('.');
  return { id: nextId++, operation, inputs, dtype, shape: canonical, scope: where, part };
}

/** `(batch, length, 64) f32`, for messages. */
export function describe(tensor: Tensor): string {
  return `(${tensor.shape.join(', ')}) ${tensor.dtype}`;
}

/** @throws AttuneError graph-shape naming the operation, the scope and the operands. */
export function refuse(kind: string, reason: string, operands: readonly Tensor[]): never {
  const where = scopes.join('.') || 'the top level';
  const given = operands.map(describe).join(' and ');
  const message = `${kind} at ${where}: ${reason}; given ${given}`;
  throw new AttuneError('graph-shape', message, { operation: kind, scope: where });
}

/** Nodes that the outputs need, operands before users. */
export function topological(outputs: readonly Tensor[]): Tensor[] {
  const order: Tensor[] = [];
  const seen = new Set<Tensor>();
  const stack: { tensor: Tensor; next: number }[] = [];
  for (const output of outputs) {
    if (!seen.has(output)) stack.push({ tensor: output, next: 0 });
    seen.add(output);
    while (stack.length > 0) {
      const top = stack[stack.length - 1] as { tensor: Tensor; next: number };
      const input = top.tensor.inputs[top.next++];
      if (input === undefined) {
        order.push(top.tensor);
        stack.pop();
      } else if (!seen.has(input)) {
        seen.add(input);
        stack.push({ tensor: input, next: 0 });
      }
    }
  }
  return order;
}
