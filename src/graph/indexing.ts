// Builders that join, cut, grow and look up tensors; like all builders they prove their shapes.
import { at } from '../base/at.ts';
import { type Dimension, sum } from './dimension.ts';
import { sameShape } from './operations.ts';
import { node, refuse, type Shape, type Tensor } from './tensor.ts';

const without = (shape: Shape, axis: number): Dimension[] => shape.filter((_, i) => i !== axis);

/** Joins tensors of any one dtype along one axis; all other axes are equal. */
export function concat(parts: readonly Tensor[], axis: number): Tensor {
  const first = parts[0];
  if (first === undefined) return refuse('concat', 'nothing to join', []);
  const isSame = (t: Tensor): boolean =>
    t.dtype === first.dtype && sameShape(without(t.shape, axis), without(first.shape, axis));
  if (axis < 0 || axis >= first.shape.length || !parts.every(isSame)) {
    refuse('concat', `all but axis ${axis} must agree`, parts);
  }
  const length = sum(...parts.map((t) => at(t.shape, axis)));
  const shape = first.shape.map((d, i) => (i === axis ? length : d));
  return parts.length === 1 ? first : node({ kind: 'concat', axis }, parts, first.dtype, shape);
}

/** `size` entries of one axis from `start` on. Literal bounds are checked, symbolic ones believed. */
export function slice(x: Tensor, axis: number, start: Dimension, size: Dimension): Tensor {
  const whole = x.shape[axis];
  if (whole === undefined) return refuse('slice', `no axis ${axis}`, [x]);
  const isLiteral = [whole, start, size].every((d) => typeof d === 'number');
  if (isLiteral && (start as number) + (size as number) > (whole as number)) {
    refuse('slice', `${start} + ${size} passes the end of axis ${axis}`, [x]);
  }
  const shape = x.shape.map((d, i) => (i === axis ? size : d));
  return node({ kind: 'slice', axis, start }, [x], x.dtype, shape);
}

/** The transpose of `slice`: zeros of `size` along one axis, with `x` from `start` on. */
export function pad(x: Tensor, axis: number, start: Dimension, size: Dimension): Tensor {
  const own = x.shape[axis];
  if (own === undefined || x.dtype !== 'f32') return refuse('pad', `no f32 axis ${axis}`, [x]);
  const isLiteral = [own, start, size].every((d) => typeof d === 'number');
  if (isLiteral && (start as number) + (own as number) > (size as number)) {
    refuse('pad', `${start} + ${own} passes the end of ${size}`, [x]);
  }
  const shape = x.shape.map((d, i) => (i === axis ? size : d));
  return sameShape(shape, x.shape) ? x : node({ kind: 'pad', axis, start }, [x], 'f32', shape);
}

/** Repeats literal 1s (and missing leading axes) up to `shape`. */
export function broadcast(x: Tensor, shape: Shape): Tensor {
  const missing = shape.length - x.shape.length;
  const fits = x.shape.every((d, i) => d === 1 || d === sum(shape[i + missing] ?? 0));
  if (missing < 0 || !fits) refuse('broadcast', `does not grow to (${shape.join(', ')})`, [x]);
  return sameShape(x.shape, shape) ? x : node({ kind: 'broadcast' }, [x], x.dtype, shape);
}

/** Rows of a table: (n, …rest), i32 (…) → (…, …rest). */
export function gather(table: Tensor, indices: Tensor): Tensor {
  if (indices.dtype !== 'i32') refuse('gather', 'indices must be i32', [table, indices]);
  if (table.shape.length === 0) refuse('gather', 'a table needs rows', [table, indices]);
  const shape = [...indices.shape, ...table.shape.slice(1)];
  return node({ kind: 'gather' }, [table, indices], table.dtype, shape);
}

/** The transpose of `gather`: adds rows (…, …rest) into zeros (n, …rest). */
export function scatterAdd(rows: Tensor, indices: Tensor, n: Dimension): Tensor {
  const rank = indices.shape.length;
  if (indices.dtype !== 'i32' || !sameShape(indices.shape, rows.shape.slice(0, rank))) {
    refuse('scatterAdd', 'one i32 index per row needed', [rows, indices]);
  }
  if (rows.dtype !== 'f32') refuse('scatterAdd', 'rows must be f32', [rows, indices]);
  const rest = rows.shape.slice(rank);
  return node({ kind: 'scatterAdd' }, [rows, indices], rows.dtype, [n, ...rest]);
}

/** One entry of the last axis per row: (…, n), i32 (…) → (…). */
export function pick(values: Tensor, indices: Tensor): Tensor {
  const isPerRow = sameShape(indices.shape, values.shape.slice(0, -1));
  if (indices.dtype !== 'i32' || values.shape.length === 0 || !isPerRow) {
    refuse('pick', 'one i32 index per row needed', [values, indices]);
  }
  return node({ kind: 'pick' }, [values, indices], values.dtype, indices.shape);
}

/** The transpose of `pick`: base (…, n) with values (…) added at one index i32 (…) per row. */
export function addPicked(base: Tensor, values: Tensor, indices: Tensor): Tensor {
  const operands = [base, values, indices];
  const rows = base.shape.slice(0, -1);
  if (!sameShape(rows, values.shape) || !sameShape(rows, indices.shape)) {
    refuse('addPicked', 'one value and one index per row needed', operands);
  }
  if (base.shape.length === 0 || base.dtype !== 'f32' || values.dtype !== 'f32') {
    refuse('addPicked', 'f32 rows and values needed', operands);
  }
  if (indices.dtype !== 'i32') refuse('addPicked', 'indices must be i32', operands);
  return node({ kind: 'addPicked' }, operands, 'f32', base.shape);
}

/** i32 (…) → f32 (…, depth). */
export function oneHot(indices: Tensor, depth: Dimension): Tensor {
  if (indices.dtype !== 'i32') refuse('oneHot', 'indices must be i32', [indices]);
  return node({ kind: 'oneHot' }, [indices], 'f32', [...indices.shape, depth]);
}

/** 0, 1, …, size − 1 as i32 (size). */
export function range(size: Dimension): Tensor {
  return node({ kind: 'range' }, [], 'i32', [size]);
}

/** The size of a dimension as an i32 scalar (). */
export function sizeOf(dimension: Dimension): Tensor {
  return node({ kind: 'size', of: dimension }, [], 'i32', []);
}

/** The same value; no gradient passes. */
export function stopGradient(x: Tensor): Tensor {
  return node({ kind: 'stopGradient' }, [x], x.dtype, x.shape);
}

/**
 * The values of `x`, in a tensor that is computed only when one entry of `signal` is known. It
 * tells two computations of the same values apart, which a runtime would otherwise merge.
 * @throws AttuneError graph-shape
 */
export function after(x: Tensor, signal: Tensor): Tensor {
  if (x.dtype !== 'f32' || signal.dtype !== 'f32') refuse('after', 'both must be f32', [x, signal]);
  return node({ kind: 'after' }, [x, signal], 'f32', x.shape);
}
