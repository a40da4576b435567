// Builders of graph nodes: each proves its shape when it is called, or names what does not fit.
import { at } from '../base/at.ts';
import { type Dimension, product } from './dimension.ts';
import {
  type BinaryFunction,
  type CompareFunction,
  type ConstantSource,
  type DataType,
  node,
  refuse,
  type Shape,
  type Tensor,
  type UnaryFunction,
} from './tensor.ts';

/** A value fed at run time, of any dtype and shape; each symbol is a whole axis of some input. */
export function input(name: string, dtype: DataType, shape: Shape): Tensor {
  return node({ kind: 'input', name }, [], dtype, shape);
}

const STORED_BYTES = { f32: 4, i32: 4, bool: 1, f16: 2, bf16: 2 } as const;

/**
 * A constant whose bytes lie inline or in a file, little-endian in row-major order. A quantised one
 * can only be the second operand of a product (with `transposeB`) or a table that is gathered from.
 * @throws AttuneError graph-shape when they do not fill the shape
 */
export function constant(
  name: string,
  source: ConstantSource,
  dtype: DataType,
  shape: readonly number[],
): Tensor {
  const result = node({ kind: 'constant', source, name }, [], dtype, shape);
  const elements = shape.reduce((total, size) => total * size, 1);
  const held = heldBy(source);
  if (held !== elements) refuse(`constant ${name}`, `holds ${held} elements`, [result]);
  return result;
}

function heldBy(source: ConstantSource): number {
  if (source.from === 'inline') return source.data.length;
  if (source.from === 'blocks') return (source.codes.length * 8) / source.bits;
  return source.length / STORED_BYTES[source.storedAs];
}

/** A scalar () f32. */
export function scalar(value: number): Tensor {
  const source = { from: 'inline', data: Float32Array.of(value) } as const;
  return constant(`${value}`, source, 'f32', []);
}

/** A scalar () i32. */
export function integer(value: number): Tensor {
  return constant(`${value}`, { from: 'inline', data: Int32Array.of(value) }, 'i32', []);
}

/**
 * (…, m, k) × (…, k, n) → (…, m, n); a flag reads the last two axes of an operand exchanged; one
 * matrix `b` (k, n) is shared by all. `isRepeatable` asks that a row of the product has the same
 * bits whatever rows are beside it, also where `b` is fed. @throws AttuneError graph-shape
 */
export function matMul(
  a: Tensor,
  b: Tensor,
  { transposeA = false, transposeB = false, isRepeatable = false } = {},
): Tensor {
  const name = 'matMul';
  if (a.dtype !== 'f32' || b.dtype !== 'f32') refuse(name, 'both operands must be f32', [a, b]);
  if (a.shape.length < 2 || b.shape.length < 2) refuse(name, 'rank 2 at least', [a, b]);
  const [m, k] = lastTwo(a, transposeA);
  const [k2, n] = lastTwo(b, transposeB);
  if (k !== k2) refuse(name, `inner dimensions ${k} and ${k2} differ`, [a, b]);
  const leading = a.shape.slice(0, -2);
  const isShared = b.shape.length === 2;
  if (!isShared && !sameShape(leading, b.shape.slice(0, -2))) {
    refuse(name, 'leading dimensions differ', [a, b]);
  }
  const operation = { kind: 'matMul', transposeA, transposeB, isRepeatable } as const;
  return node(operation, [a, b], 'f32', [...leading, m, n]);
}

function lastTwo(t: Tensor, isTransposed: boolean): [Dimension, Dimension] {
  const [row, column] = t.shape.slice(-2) as [Dimension, Dimension];
  return isTransposed ? [column, row] : [row, column];
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dimension, axis) => dimension === b[axis]);
}

function unary(fn: UnaryFunction, x: Tensor): Tensor {
  const dtype = fn === 'not' ? 'bool' : 'f32';
  if (x.dtype !== dtype) refuse(fn, `operand must be ${dtype}`, [x]);
  return node({ kind: 'unary', fn }, [x], dtype, x.shape);
}

// Each of these works on every element of an f32 tensor (`not`: bool) and keeps its shape.
export const negate = (x: Tensor): Tensor => unary('negate', x);
export const exp = (x: Tensor): Tensor => unary('exp', x);
export const log = (x: Tensor): Tensor => unary('log', x);
export const sqrt = (x: Tensor): Tensor => unary('sqrt', x);
export const reciprocal = (x: Tensor): Tensor => unary('reciprocal', x);
export const abs = (x: Tensor): Tensor => unary('abs', x);
export const sign = (x: Tensor): Tensor => unary('sign', x);
export const sin = (x: Tensor): Tensor => unary('sin', x);
export const cos = (x: Tensor): Tensor => unary('cos', x);
export const sigmoid = (x: Tensor): Tensor => unary('sigmoid', x);
export const tanh = (x: Tensor): Tensor => unary('tanh', x);
export const floor = (x: Tensor): Tensor => unary('floor', x);
export const not = (x: Tensor): Tensor => unary('not', x);

/** The shape two operands share: aligned at the right, only a literal 1 or a missing axis grows. */
export function broadcastShape(kind: string, operands: readonly Tensor[]): Shape {
  const rank = Math.max(...operands.map((t) => t.shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    let result: Dimension = 1;
    for (const t of operands) {
      const own = t.shape[axis - rank + t.shape.length] ?? 1;
      if (own === 1 || own === result) continue;
      if (result !== 1) refuse(kind, `dimensions ${result} and ${own} do not match`, operands);
      result = own;
    }
    return result;
  });
}

function binary(fn: BinaryFunction, a: Tensor, b: Tensor): Tensor {
  if (a.dtype !== b.dtype || a.dtype === 'bool') refuse(fn, 'same number type needed', [a, b]);
  return node({ kind: 'binary', fn }, [a, b], a.dtype, broadcastShape(fn, [a, b]));
}

// f32 or i32 operands of one type; literal 1s and missing leading axes grow. An i32 quotient is
// rounded towards zero.
export const add = (a: Tensor, b: Tensor): Tensor => binary('add', a, b);
export const subtract = (a: Tensor, b: Tensor): Tensor => binary('subtract', a, b);
export const multiply = (a: Tensor, b: Tensor): Tensor => binary('multiply', a, b);
export const divide = (a: Tensor, b: Tensor): Tensor => binary('divide', a, b);
export const maximum = (a: Tensor, b: Tensor): Tensor => binary('maximum', a, b);
export const minimum = (a: Tensor, b: Tensor): Tensor => binary('minimum', a, b);

function compare(fn: CompareFunction, a: Tensor, b: Tensor): Tensor {
  const isLogical = fn === 'and' || fn === 'or';
  if (a.dtype !== b.dtype || (a.dtype === 'bool') !== isLogical) {
    refuse(fn, isLogical ? 'bool operands needed' : 'same number type needed', [a, b]);
  }
  return node({ kind: 'compare', fn }, [a, b], 'bool', broadcastShape(fn, [a, b]));
}

// → bool, of the shape that both operands grow to; `and` and `or` take bool, the others numbers.
export const less = (a: Tensor, b: Tensor): Tensor => compare('less', a, b);
export const lessOrEqual = (a: Tensor, b: Tensor): Tensor => compare('lessOrEqual', a, b);
export const equal = (a: Tensor, b: Tensor): Tensor => compare('equal', a, b);
export const and = (a: Tensor, b: Tensor): Tensor => compare('and', a, b);
export const or = (a: Tensor, b: Tensor): Tensor => compare('or', a, b);

/** `condition ? a : b` for each element; all three grow to one shape. */
export function select(condition: Tensor, a: Tensor, b: Tensor): Tensor {
  if (condition.dtype !== 'bool') refuse('select', 'condition must be bool', [condition]);
  if (a.dtype !== b.dtype) refuse('select', 'branches must have one type', [a, b]);
  const shape = broadcastShape('select', [condition, a, b]);
  return node({ kind: 'select' }, [condition, a, b], a.dtype, shape);
}

/** To f32, i32 (rounded towards zero) or bool (not zero); the shape stays. */
export function cast(x: Tensor, to: DataType): Tensor {
  return x.dtype === to ? x : node({ kind: 'cast' }, [x], to, x.shape);
}

const allAxes = (x: Tensor): number[] => x.shape.map((_, axis) => axis);

/** Over `axes` (all when absent, negative ones from the end), left out or kept as literal 1s. */
export function reduceSum(x: Tensor, axes = allAxes(x), { keep = false } = {}): Tensor {
  const rank = x.shape.length;
  const positive = axes.map((axis) => (axis < 0 ? axis + rank : axis)).sort((a, b) => a - b);
  if (positive.length === 0) return x;
  const isSet = new Set(positive).size === positive.length;
  if (!isSet || positive.some((axis) => axis < 0 || axis >= rank))
    refuse('sum', `no axis [${axes}]`, [x]);
  if (x.dtype !== 'f32') refuse('sum', 'operand must be f32', [x]);
  const kept = x.shape.map((d, axis) => (positive.includes(axis) ? 1 : d));
  const reduced = node({ kind: 'reduceSum', axes: positive }, [x], 'f32', kept);
  return keep
    ? reduced
    : reshape(
        reduced,
        kept.filter((_, axis) => !positive.includes(axis)),
      );
}

/** `exp(x) / Σ exp(x)` over the last axis, f32 (…, n) → (…, n). */
export function softmax(x: Tensor): Tensor {
  if (x.dtype !== 'f32' || x.shape.length === 0) refuse('softmax', 'f32 of rank ≥ 1', [x]);
  return node({ kind: 'softmax' }, [x], 'f32', x.shape);
}

/** `x − log Σ exp(x)` over the last axis, f32 (…, n) → (…, n). */
export function logSoftmax(x: Tensor): Tensor {
  if (x.dtype !== 'f32' || x.shape.length === 0) refuse('logSoftmax', 'f32 of rank ≥ 1', [x]);
  return node({ kind: 'logSoftmax' }, [x], 'f32', x.shape);
}

/** Same elements in row-major order; the products of both shapes must be equal. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  if (product(...x.shape) !== product(...shape)) {
    refuse('reshape', `(${shape.join(', ')}) holds another number of elements`, [x]);
  }
  return sameShape(x.shape, shape) ? x : node({ kind: 'reshape' }, [x], x.dtype, shape);
}

/** Axis `i` of the result is axis `permutation[i]` of `x`. */
export function transpose(x: Tensor, permutation: readonly number[]): Tensor {
  const isPermutation = [...permutation].sort((a, b) => a - b).every((axis, i) => axis === i);
  if (!isPermutation || permutation.length !== x.shape.length) {
    refuse('transpose', `[${permutation}] is no permutation of its axes`, [x]);
  }
  const shape = permutation.map((axis) => at(x.shape, axis));
  return node({ kind: 'transpose', permutation }, [x], x.dtype, shape);
}
