// ONNX lowering of what moves or looks up elements: reshape, transpose, slice, gather, scatter.
import { type Dimension, sum } from '../dimension.ts';
import type { Shape, Tensor } from '../tensor.ts';
import type { Emitter } from './emitter.ts';
import { ELEMENT_TYPE } from './messages.ts';

/** Reshapes by the cheapest shape vector that is right for every size of the symbols. */
export function reshape(value: string, from: Shape, shape: Shape, to: Emitter): string {
  const isPlain = !shape.includes(0);
  const isSymbol = shape.map((dimension) => typeof dimension === 'string');
  if (isPlain && shape.every((dimension, axis) => !isSymbol[axis] || dimension === from[axis])) {
    // A 0 copies the size at its place from the operand, also where that size is 0.
    const vector = shape.map((dimension) => (typeof dimension === 'string' ? 0 : dimension));
    return to.emit('Reshape', [value, to.integers('i64', vector)]);
  }
  if (isPlain && isSymbol.filter(Boolean).length === 1) {
    const vector = shape.map((dimension) => (typeof dimension === 'string' ? -1 : dimension));
    return to.emit('Reshape', [value, to.integers('i64', vector)]);
  }
  return to.emit('Reshape', [value, to.sizes(shape)], { attributes: { allowzero: 1 } });
}

/** Transposes; the permutation that changes nothing is dropped. */
export function transpose(value: string, permutation: readonly number[], to: Emitter): string {
  if (permutation.every((axis, i) => axis === i)) return value;
  return to.emit('Transpose', [value], { attributes: { perm: permutation } });
}

/** The last two axes exchanged. */
export function swapLastTwo(value: string, rank: number, to: Emitter): string {
  const axes = Array.from({ length: rank }, (_, axis) => axis);
  return transpose(value, [...axes.slice(0, -2), rank - 1, rank - 2], to);
}

/** Runs an operation on bools as i32, since WebGPU has no such kernels for bool. */
export function throughIntegers(
  dtype: string,
  values: readonly string[],
  to: Emitter,
  build: (values: readonly string[]) => string,
): string {
  if (dtype !== 'bool') return build(values);
  const cast = (value: string, type: 'i32' | 'bool'): string =>
    to.emit('Cast', [value], { attributes: { to: ELEMENT_TYPE[type] } });
  return cast(build(values.map((value) => cast(value, 'i32'))), 'bool');
}

/** Entries of one axis. */
export function slice(
  value: string,
  x: Tensor,
  { axis, start, size }: { axis: number; start: Dimension; size: Dimension },
  to: Emitter,
): string {
  if (x.shape[axis] === size) return value;
  if (x.dtype !== 'f32') {
    // WebGPU slices floats only; a gather along the axis takes any type.
    return to.emit('Gather', [value, to.range(start, size)], { attributes: { axis } });
  }
  const bounds = [to.sizes([start]), to.sizes([sum(start, size)]), to.integers('i64', [axis])];
  return to.emit('Slice', [value, ...bounds]);
}

/** Zeros before and behind along one axis. */
export function pad(
  value: string,
  x: Tensor,
  { axis, start, size }: { axis: number; start: Dimension; size: Dimension },
  to: Emitter,
): string {
  const own = x.shape[axis] ?? 0;
  const before = x.shape.map((_, i) => (i === axis ? start : 0));
  const behind = x.shape.map((_, i) => (i === axis ? { whole: size, less: [start, own] } : 0));
  return to.emit('Pad', [value, to.sizes([...before, ...behind])]);
}

/** Grows literal 1s; a 1 in the shape vector keeps the size of the operand. */
export function broadcast(value: string, from: Shape, shape: Shape, to: Emitter): string {
  const missing = shape.length - from.length;
  const vector = shape.map((dimension, axis) =>
    from[axis - missing] === dimension ? 1 : dimension,
  );
  return to.emit('Expand', [value, to.sizes(vector)]);
}

export const unsqueezeLast = (value: string, to: Emitter): string =>
  to.emit('Unsqueeze', [value, to.integers('i64', [-1])]);

/** One entry of the last axis per row. */
export function pick(values: string, indices: string, to: Emitter): string {
  const attributes = { axis: -1 };
  const picked = to.emit('GatherElements', [values, unsqueezeLast(indices, to)], { attributes });
  return to.emit('Squeeze', [picked, to.integers('i64', [-1])]);
}

/** Adds one value per row at one entry of the last axis. */
export function addPicked(base: string, values: string, indices: string, to: Emitter): string {
  const rows = [unsqueezeLast(indices, to), unsqueezeLast(values, to)];
  return to.emit('ScatterElements', [base, ...rows], {
    attributes: { axis: -1, reduction: 'add' },
  });
}

/** Adds rows into zeros of `shape` at their indices; repeats add up. */
export function scatterAdd(rows: string, indices: string, shape: Shape, to: Emitter): string {
  // ScatterND takes i64 only; widened last, since WebGPU reshapes no i64.
  const wide = to.emit('Cast', [unsqueezeLast(indices, to)], {
    attributes: { to: ELEMENT_TYPE.i64 },
  });
  const zeros = to.emit('Expand', [to.float(0), to.sizes(shape)]);
  const attributes = { reduction: 'add' };
  return to.emit('ScatterND', [zeros, wide, rows], { attributes });
}
