import * as op from '../../../src/graph/operations.ts';
import { bool, counting, f32, given, i32, inf, type OperationCase, t } from './operation-case.ts';

const softplus = (x: number): number => Math.log1p(Math.exp(x));

const LOGIC: OperationCase[] = [
  given(
    'less compares i32 with growth',
    { a: i32([2, 1], [1, 2]), b: i32([3], [1, 2, 3]) },
    (x) => op.less(t(x, 'a'), t(x, 'b')),
    bool([2, 3], [0, 1, 1, 0, 0, 1]),
  ),
  given(
    'lessOrEqual compares f32',
    { a: f32([3], [1, 2, inf]), b: f32([3], [1, 1.5, inf]) },
    (x) => op.lessOrEqual(t(x, 'a'), t(x, 'b')),
    bool([3], [1, 0, 1]),
  ),
  given(
    'equal tells large i32 apart that f32 would confuse',
    { a: i32([2], [16_777_217, 5]), b: i32([2], [16_777_216, 5]) },
    (x) => op.equal(t(x, 'a'), t(x, 'b')),
    bool([2], [0, 1]),
  ),
  given(
    'and, or and not work on bool with growth',
    { a: bool([2, 1], [0, 1]), b: bool([2], [0, 1]) },
    (x) => op.or(op.not(t(x, 'a')), op.and(t(x, 'a'), t(x, 'b'))),
    bool([2, 2], [1, 1, 0, 1]),
  ),
  given(
    'select grows its condition and its branches',
    { c: bool([2, 1], [1, 0]), a: f32([], [-inf]), b: f32([3], [1, 2, 3]) },
    (x) => op.select(t(x, 'c'), t(x, 'a'), t(x, 'b')),
    f32([2, 3], [-inf, -inf, -inf, 1, 2, 3]),
  ),
  given(
    'select chooses among i32',
    { c: bool([2], [1, 0]), a: i32([2], [16_777_217, 1]), b: i32([2], [2, -16_777_219]) },
    (x) => op.select(t(x, 'c'), t(x, 'a'), t(x, 'b')),
    i32([2], [16_777_217, -16_777_219]),
  ),
  given(
    'select chooses among bool',
    { c: bool([2], [1, 0]), a: bool([2], [1, 1]), b: bool([2], [0, 0]) },
    (x) => op.select(t(x, 'c'), t(x, 'a'), t(x, 'b')),
    bool([2], [1, 0]),
  ),
  given(
    'a branch of select that is not taken may hold NaN',
    { c: bool([2], [1, 0]), a: f32([2], [1, Number.NaN]), b: f32([2], [Number.NaN, 2]) },
    (x) => op.select(t(x, 'c'), t(x, 'a'), t(x, 'b')),
    f32([2], [1, 2]),
  ),
];

const CASTS: OperationCase[] = [
  given(
    'cast of f32 to i32 goes towards zero',
    { x: f32([4], [-1.9, -0.5, 0.5, 2.9]) },
    (x) => op.cast(t(x, 'x'), 'i32'),
    i32([4], [-1, 0, 0, 2]),
  ),
  given(
    'cast of f32 to bool is true unless zero',
    { x: f32([5], [0, 0.25, -3, 256, -0]) },
    (x) => op.cast(t(x, 'x'), 'bool'),
    bool([5], [0, 1, 1, 1, 0]),
  ),
  given(
    'cast of i32 to bool is true unless zero',
    { x: i32([3], [0, 256, -1]) },
    (x) => op.cast(t(x, 'x'), 'bool'),
    bool([3], [0, 1, 1]),
  ),
  given(
    'cast of bool to f32 gives zeros and ones',
    { x: bool([2], [0, 1]) },
    (x) => op.cast(t(x, 'x'), 'f32'),
    f32([2], [0, 1]),
  ),
  given(
    'cast of bool to i32 gives zeros and ones',
    { x: bool([2], [0, 1]) },
    (x) => op.cast(t(x, 'x'), 'i32'),
    i32([2], [0, 1]),
  ),
  given(
    'cast of i32 to f32 keeps the number',
    { x: i32([2], [-3, 70_000]) },
    (x) => op.cast(t(x, 'x'), 'f32'),
    f32([2], [-3, 70_000]),
  ),
];

const REDUCTIONS: OperationCase[] = [
  given(
    'reduceSum over inner and outer axes drops them',
    { x: f32([2, 2, 2], counting(8)) },
    (x) => op.reduceSum(t(x, 'x'), [0, 2]),
    f32([2], [10, 18]),
  ),
  given(
    'reduceSum can keep its axis',
    { x: f32([2, 2], [-5, -1, 4, 3]) },
    (x) => op.reduceSum(t(x, 'x'), [-1], { keep: true }),
    f32([2, 1], [-6, 7]),
  ),
  given(
    'reduceSum without axes gives a scalar',
    { x: f32([2, 2], [1, 2, 3, 4]) },
    (x) => op.reduceSum(t(x, 'x')),
    f32([], [10]),
  ),
  given(
    'reduceSum of a scalar is that scalar',
    { x: f32([], [7]) },
    (x) => op.reduceSum(t(x, 'x')),
    f32([], [7]),
  ),
  given(
    'reduceSum works at rank 6',
    { x: f32([1, 2, 1, 2, 1, 2], counting(8)) },
    (x) => op.reduceSum(t(x, 'x'), [1, 5]),
    f32([1, 1, 2, 1], [10, 18]),
  ),
  given(
    'softmax is over the last axis and gives masked entries nothing',
    { x: f32([2, 1, 2], [0, Math.log(3), 1000, -inf]) },
    (x) => op.softmax(t(x, 'x')),
    f32([2, 1, 2], [0.25, 0.75, 1, 0]),
  ),
  given(
    'logSoftmax stays finite for large logits',
    { x: f32([2, 2], [1000, 998, -4, -4]) },
    (x) => op.logSoftmax(t(x, 'x')),
    f32([2, 2], [-softplus(-2), -softplus(2), -Math.LN2, -Math.LN2]),
  ),
];

export const LOGIC_CASES: readonly OperationCase[] = [...LOGIC, ...CASTS, ...REDUCTIONS];
