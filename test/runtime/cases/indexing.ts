// Cases of shapes, lookups, and sizes that are symbols.
import * as indexing from '../../../src/graph/indexing.ts';
import * as op from '../../../src/graph/operations.ts';
import {
  bool,
  counting,
  f32,
  given,
  i32,
  input,
  type OperationCase,
  symbolic,
  t,
} from './operation-case.ts';

const SHAPES: OperationCase[] = [
  given(
    'reshape keeps row-major order',
    { x: bool([2, 3], [1, 0, 1, 0, 0, 1]) },
    (x) => op.reshape(t(x, 'x'), [3, 2]),
    bool([3, 2], [1, 0, 1, 0, 0, 1]),
  ),
  given(
    'transpose moves axes of rank 4',
    { x: f32([1, 2, 3, 2], counting(12)) },
    (x) => op.transpose(t(x, 'x'), [0, 2, 1, 3]),
    f32([1, 3, 2, 2], [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]),
  ),
  given(
    'transpose moves axes of rank 6',
    { x: i32([1, 2, 1, 2, 1, 2], counting(8)) },
    (x) => op.transpose(t(x, 'x'), [5, 4, 3, 2, 1, 0]),
    i32([2, 1, 2, 1, 2, 1], [0, 4, 2, 6, 1, 5, 3, 7]),
  ),
  given(
    'transpose moves axes of bool',
    { x: bool([2, 2], [1, 1, 0, 0]) },
    (x) => op.transpose(t(x, 'x'), [1, 0]),
    bool([2, 2], [1, 0, 1, 0]),
  ),
  given(
    'concat joins f32 along an inner axis',
    { a: f32([2, 1, 2], [1, 2, 3, 4]), b: f32([2, 2, 2], counting(8)) },
    (x) => indexing.concat([t(x, 'a'), t(x, 'b')], 1),
    f32([2, 3, 2], [1, 2, 0, 1, 2, 3, 3, 4, 4, 5, 6, 7]),
  ),
  given(
    'concat joins bool',
    { a: bool([1, 2], [1, 0]), b: bool([1, 1], [1]) },
    (x) => indexing.concat([t(x, 'a'), t(x, 'b')], 1),
    bool([1, 3], [1, 0, 1]),
  ),
  given(
    'slice cuts one axis of rank 5',
    { x: f32([1, 2, 3, 1, 2], counting(12)) },
    (x) => indexing.slice(t(x, 'x'), 2, 1, 2),
    f32([1, 2, 2, 1, 2], [2, 3, 4, 5, 8, 9, 10, 11]),
  ),
  given(
    'slice cuts bool',
    { x: bool([2, 3], [1, 0, 1, 0, 1, 1]) },
    (x) => indexing.slice(t(x, 'x'), 1, 1, 2),
    bool([2, 2], [0, 1, 1, 1]),
  ),
  given(
    'pad puts zeros around one axis of rank 5',
    { x: f32([1, 2, 1, 1, 2], [1, 2, 3, 4]) },
    (x) => indexing.pad(t(x, 'x'), 2, 1, 3),
    f32([1, 2, 3, 1, 2], [0, 0, 1, 2, 0, 0, 0, 0, 3, 4, 0, 0]),
  ),
  given(
    'broadcast repeats bool along literal ones and new axes',
    { x: bool([2, 1], [1, 0]) },
    (x) => indexing.broadcast(t(x, 'x'), [2, 2, 3]),
    bool([2, 2, 3], [1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0]),
  ),
  given(
    'broadcast repeats f32 at rank 5, as grouped heads need it',
    { x: f32([1, 2, 1, 1, 2], counting(4)) },
    (x) => indexing.broadcast(t(x, 'x'), [1, 2, 2, 1, 2]),
    f32([1, 2, 2, 1, 2], [0, 1, 0, 1, 2, 3, 2, 3]),
  ),
];

const LOOKUPS: OperationCase[] = [
  given(
    'gather looks up rows of rank 3 by indices of rank 2',
    { table: f32([3, 1, 2], counting(6)), ids: i32([2, 2], [2, 0, 1, 2]) },
    (x) => indexing.gather(t(x, 'table'), t(x, 'ids')),
    f32([2, 2, 1, 2], [4, 5, 0, 1, 2, 3, 4, 5]),
  ),
  given(
    'gather with a scalar index gives one row',
    { table: f32([3, 2], counting(6)), id: i32([], [1]) },
    (x) => indexing.gather(t(x, 'table'), t(x, 'id')),
    f32([2], [2, 3]),
  ),
  given(
    'gather looks up bool entries of a vector',
    { table: bool([3], [1, 0, 1]), ids: i32([4], [1, 0, 2, 1]) },
    (x) => indexing.gather(t(x, 'table'), t(x, 'ids')),
    bool([4], [0, 1, 1, 0]),
  ),
  given(
    'scatterAdd adds up rows of the same index',
    { rows: f32([2, 2, 2], counting(8)), ids: i32([2, 2], [1, 1, 0, 1]) },
    (x) => indexing.scatterAdd(t(x, 'rows'), t(x, 'ids'), 3),
    f32([3, 2], [4, 5, 8, 11, 0, 0]),
  ),
  given(
    'pick takes one entry of the last axis per row',
    { values: f32([2, 2, 3], counting(12)), ids: i32([2, 2], [2, 0, 1, 1]) },
    (x) => indexing.pick(t(x, 'values'), t(x, 'ids')),
    f32([2, 2], [2, 3, 7, 10]),
  ),
  given(
    'pick takes from a single row by a scalar',
    { values: f32([3], [5, 6, 7]), id: i32([], [2]) },
    (x) => indexing.pick(t(x, 'values'), t(x, 'id')),
    f32([], [7]),
  ),
  given(
    'addPicked adds a value at one entry per row',
    { base: f32([2, 3], counting(6)), values: f32([2], [10, 20]), ids: i32([2], [2, 0]) },
    (x) => indexing.addPicked(t(x, 'base'), t(x, 'values'), t(x, 'ids')),
    f32([2, 3], [0, 1, 12, 23, 4, 5]),
  ),
  given(
    'oneHot marks each index',
    { ids: i32([2, 1], [2, 0]) },
    (x) => indexing.oneHot(t(x, 'ids'), 3),
    f32([2, 1, 3], [0, 0, 1, 1, 0, 0]),
  ),
  given(
    'oneHot allows a depth of one',
    { ids: i32([2], [0, 0]) },
    (x) => indexing.oneHot(t(x, 'ids'), 1),
    f32([2, 1], [1, 1]),
  ),
  given(
    'stopGradient passes the value on',
    { x: f32([2], [1, 2]) },
    (x) => indexing.stopGradient(t(x, 'x')),
    f32([2], [1, 2]),
  ),
  given(
    'after passes the value on, whatever the signal',
    { x: f32([2], [1, -2]), signal: f32([2, 1], [-7, 5]) },
    (x) => indexing.after(t(x, 'x'), t(x, 'signal')),
    f32([2], [1, -2]),
  ),
];

const past = input('past', 'f32', 'batch', 'past', 2);
const fresh = input('fresh', 'f32', 'batch', 'length', 2);
const joined = indexing.concat([past, fresh], 1);
const empty = f32([1, 0, 2], []);

const SYMBOLS: OperationCase[] = [
  symbolic(
    'concat of an empty past gives what is fresh',
    joined,
    { past: empty, fresh: f32([1, 2, 2], [1, 2, 3, 4]) },
    f32([1, 2, 2], [1, 2, 3, 4]),
  ),
  symbolic('concat of two empty tensors is empty', joined, { past: empty, fresh: empty }, empty),
  symbolic(
    'slice starts at a symbolic dimension',
    indexing.slice(joined, 1, 'past', 'length'),
    { past: f32([1, 1, 2], [9, 9]), fresh: f32([1, 2, 2], [1, 2, 3, 4]) },
    f32([1, 2, 2], [1, 2, 3, 4]),
  ),
  symbolic(
    'an empty tensor passes through arithmetic, matMul and softmax',
    op.softmax(op.matMul(op.multiply(past, op.scalar(2)), fresh, { transposeB: true })),
    { past: empty, fresh: f32([1, 2, 2], [1, 2, 3, 4]) },
    f32([1, 0, 2], []),
  ),
  symbolic(
    'pad puts fresh entries behind the place of the past',
    op.add(indexing.pad(fresh, 1, 'past', 'past + length'), op.multiply(joined, op.scalar(0))),
    { past: f32([1, 1, 2], [9, 9]), fresh: f32([1, 2, 2], [1, 2, 3, 4]) },
    f32([1, 3, 2], [0, 0, 1, 2, 3, 4]),
  ),
  symbolic(
    'pad of nothing gives zeros',
    indexing.pad(past, 1, 0, 2),
    { past: empty },
    f32([1, 2, 2], [0, 0, 0, 0]),
  ),
  symbolic(
    'the sum over an empty axis is zero',
    op.reduceSum(past, [1]),
    { past: empty },
    f32([1, 2], [0, 0]),
  ),
  symbolic(
    'scatterAdd of no rows gives zeros',
    indexing.scatterAdd(input('rows', 'f32', 'n', 2), input('ids', 'i32', 'n'), 2),
    { rows: f32([0, 2], []), ids: i32([0], []) },
    f32([2, 2], [0, 0, 0, 0]),
  ),
  symbolic(
    'gather of no rows is empty',
    indexing.gather(input('table', 'f32', 3, 2), input('ids', 'i32', 'n')),
    { table: f32([3, 2], counting(6)), ids: i32([0], []) },
    f32([0, 2], []),
  ),
  symbolic(
    'range counts to a sum of symbols and size gives a symbol as a number',
    op.add(
      op.multiply(op.cast(op.reduceSum(joined, [0, 2]), 'i32'), op.integer(0)),
      op.add(
        op.multiply(indexing.range('length + past'), indexing.sizeOf('batch')),
        indexing.sizeOf('length + past'),
      ),
    ),
    { past: f32([2, 1, 2], counting(4)), fresh: f32([2, 2, 2], counting(8)) },
    i32([3], [3, 5, 7]),
  ),
  symbolic(
    'reshape merges symbols into their product',
    op.reshape(fresh, ['batch*length', 2]),
    { fresh: f32([2, 2, 2], counting(8)) },
    f32([4, 2], counting(8)),
  ),
];

export const INDEXING_CASES: readonly OperationCase[] = [...SHAPES, ...LOOKUPS, ...SYMBOLS];
