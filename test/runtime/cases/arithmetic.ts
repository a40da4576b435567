import * as op from '../../../src/graph/operations.ts';
import { counting, f32, given, i32, type OperationCase, t } from './operation-case.ts';

const MATMUL: OperationCase[] = [
  given(
    'matMul multiplies two matrices',
    { a: f32([2, 3], [1, 2, 3, 4, 5, 6]), b: f32([3, 2], [1, 0, 0, 1, 1, 1]) },
    (x) => op.matMul(t(x, 'a'), t(x, 'b')),
    f32([2, 2], [4, 5, 10, 11]),
  ),
  given(
    'matMul reads either operand transposed',
    { a: f32([3, 2], [1, 4, 2, 5, 3, 6]), b: f32([2, 3], [1, 0, 1, 0, 1, 1]) },
    (x) => op.matMul(t(x, 'a'), t(x, 'b'), { transposeA: true, transposeB: true }),
    f32([2, 2], [4, 5, 10, 11]),
  ),
  given(
    'matMul shares a plain matrix among all leading dimensions',
    { a: f32([2, 1, 2, 2], counting(8)), b: f32([3, 2], [1, 0, 0, 1, 1, 1]) },
    (x) => op.matMul(t(x, 'a'), t(x, 'b'), { transposeB: true }),
    f32([2, 1, 2, 3], [0, 1, 1, 2, 3, 5, 4, 5, 9, 6, 7, 13]),
  ),
  given(
    'matMul shares a plain matrix with a stack of one',
    { a: f32([1, 1, 2, 2], counting(4)), b: f32([3, 2], [1, 0, 0, 1, 1, 1]) },
    (x) => op.matMul(t(x, 'a'), t(x, 'b'), { transposeB: true }),
    f32([1, 1, 2, 3], [0, 1, 1, 2, 3, 5]),
  ),
  given(
    'matMul shares a plain matrix with a transposed stack',
    { a: f32([2, 2, 3], counting(12)), b: f32([2, 1], [1, 10]) },
    (x) => op.matMul(t(x, 'a'), t(x, 'b'), { transposeA: true }),
    f32([2, 3, 1], [30, 41, 52, 96, 107, 118]),
  ),
  given(
    'matMul multiplies stacks of rank 5 pairwise',
    { a: f32([1, 2, 1, 1, 2], [1, 2, 3, 4]), b: f32([1, 2, 1, 2, 1], [5, 6, 7, 8]) },
    (x) => op.matMul(t(x, 'a'), t(x, 'b')),
    f32([1, 2, 1, 1, 1], [17, 53]),
  ),
];

const UNARY: OperationCase[] = [
  [op.negate, 'negate', [-1, 0, 2], [1, -0, -2]] as const,
  [op.exp, 'exp', [-1, 0, 2], [-1, 0, 2].map(Math.exp)] as const,
  [op.log, 'log', [0.5, 1, 8], [0.5, 1, 8].map(Math.log)] as const,
  [op.sqrt, 'sqrt', [0, 4, 2], [0, 2, Math.SQRT2]] as const,
  [op.reciprocal, 'reciprocal', [-2, 0.5, 4], [-0.5, 2, 0.25]] as const,
  [op.abs, 'abs', [-2, 0, 4], [2, 0, 4]] as const,
  [op.sign, 'sign', [-2, 0, 4], [-1, 0, 1]] as const,
  [op.sin, 'sin', [-1, 0, 3000], [-1, 0, 3000].map(Math.sin)] as const,
  [op.cos, 'cos', [-1, 0, 3000], [-1, 0, 3000].map(Math.cos)] as const,
  [op.sigmoid, 'sigmoid', [-90, 0, 3], [-90, 0, 3].map((x) => 1 / (1 + Math.exp(-x)))] as const,
  [op.tanh, 'tanh', [-1, 0, 20], [-1, 0, 20].map(Math.tanh)] as const,
  [op.floor, 'floor', [-1.5, 0, 2.9], [-2, 0, 2]] as const,
].map(([build, name, values, expected]) =>
  given(
    `${name} works on each element`,
    { x: f32([3], values) },
    (x) => build(t(x, 'x')),
    f32([3], expected),
  ),
);

const BINARY: OperationCase[] = [
  [op.add, 'add', [4, -2, 1], [3, 3, 6]] as const,
  [op.subtract, 'subtract', [4, -2, 1], [-5, 7, 4]] as const,
  [op.multiply, 'multiply', [4, -2, 1], [-4, -10, 5]] as const,
  [op.maximum, 'maximum', [4, -2, 1], [4, 5, 5]] as const,
  [op.minimum, 'minimum', [4, -2, 1], [-1, -2, 1]] as const,
].flatMap(([build, name, b, expected]) => [
  given(
    `${name} works on f32`,
    { a: f32([3], [-1, 5, 5]), b: f32([3], b) },
    (x) => build(t(x, 'a'), t(x, 'b')),
    f32([3], expected),
  ),
  given(
    `${name} works on i32`,
    { a: i32([3], [-1, 5, 5]), b: i32([3], b) },
    (x) => build(t(x, 'a'), t(x, 'b')),
    i32([3], expected),
  ),
]);

const ARITHMETIC: OperationCase[] = [
  given(
    'divide divides f32',
    { a: f32([3], [1, -7, 0]), b: f32([3], [4, 2, 5]) },
    (x) => op.divide(t(x, 'a'), t(x, 'b')),
    f32([3], [0.25, -3.5, 0]),
  ),
  given(
    'divide of i32 goes towards zero',
    { a: i32([4], [7, -7, 7, -7]), b: i32([4], [2, 2, -2, -2]) },
    (x) => op.divide(t(x, 'a'), t(x, 'b')),
    i32([4], [3, -3, -3, 3]),
  ),
  given(
    'add keeps large i32 exact',
    { a: i32([1], [16_777_217]), b: i32([1], [2]) },
    (x) => op.add(t(x, 'a'), t(x, 'b')),
    i32([1], [16_777_219]),
  ),
  given(
    'operands grow along literal ones and missing axes on both sides',
    { a: f32([2, 1, 3], counting(6)), b: f32([2, 1], [10, 20]) },
    (x) => op.add(t(x, 'a'), t(x, 'b')),
    f32([2, 2, 3], [10, 11, 12, 20, 21, 22, 13, 14, 15, 23, 24, 25]),
  ),
  given(
    'a scalar grows to a tensor of rank 6',
    { a: f32([1, 2, 1, 1, 1, 2], counting(4)), b: f32([], [2]) },
    (x) => op.multiply(t(x, 'a'), t(x, 'b')),
    f32([1, 2, 1, 1, 1, 2], [0, 2, 4, 6]),
  ),
  given(
    'a tensor of rank 5 grows inside by a row',
    { a: f32([1, 2, 2, 1, 2], counting(8)), b: f32([1, 1, 1, 2, 2], [0, 10, 20, 30]) },
    (x) => op.add(t(x, 'a'), t(x, 'b')),
    f32([1, 2, 2, 2, 2], [0, 11, 20, 31, 2, 13, 22, 33, 4, 15, 24, 35, 6, 17, 26, 37]),
  ),
];

export const ARITHMETIC_CASES: readonly OperationCase[] = [
  ...MATMUL,
  ...UNARY,
  ...BINARY,
  ...ARITHMETIC,
];
