// One small case for each operation of the graph, with the result worked out by hand in TypeScript.
import * as indexing from '../../src/graph/indexing.ts';
import * as op from '../../src/graph/operations.ts';
import type { DataType, Shape, Tensor } from '../../src/graph/tensor.ts';
import type { HostTensor } from '../../src/runtime/executor.ts';

export interface OperationCase {
  /** A sentence of behaviour. */
  readonly title: string;
  readonly output: Tensor;
  readonly feeds: Readonly<Record<string, HostTensor>>;
  readonly expected: HostTensor;
}

export const f32 = (shape: readonly number[], values: readonly number[]): HostTensor => ({
  dtype: 'f32',
  shape,
  data: Float32Array.from(values),
});
export const i32 = (shape: readonly number[], values: readonly number[]): HostTensor => ({
  dtype: 'i32',
  shape,
  data: Int32Array.from(values),
});
export const bool = (shape: readonly number[], values: readonly (0 | 1)[]): HostTensor => ({
  dtype: 'bool',
  shape,
  data: Uint8Array.from(values),
});

const inf = Number.POSITIVE_INFINITY;
/** 0, 1, … as values that are easy to tell apart. */
const counting = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const input = (name: string, dtype: DataType, ...shape: Shape): Tensor =>
  op.input(name, dtype, shape);

const softplus = (x: number): number => Math.log1p(Math.exp(x));

type Build = (inputs: Record<string, Tensor>) => Tensor;

/** Inputs take the shapes of the feeds, literal. */
function given(
  title: string,
  feeds: Record<string, HostTensor>,
  build: Build,
  expected: HostTensor,
): OperationCase {
  const inputs = Object.fromEntries(
    Object.entries(feeds).map(([name, fed]) => [name, input(name, fed.dtype, ...fed.shape)]),
  );
  return { title, output: build(inputs), feeds, expected };
}

/** Hand-made inputs, for symbolic shapes. */
function symbolic(
  title: string,
  output: Tensor,
  feeds: Record<string, HostTensor>,
  expected: HostTensor,
): OperationCase {
  return { title, output, feeds, expected };
}

const t = (inputs: Record<string, Tensor>, name: string): Tensor => inputs[name] as Tensor;

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
    'reduceMax can keep its axis',
    { x: f32([2, 2], [-5, -1, 4, 3]) },
    (x) => op.reduceMax(t(x, 'x'), [-1], { keep: true }),
    f32([2, 1], [-1, 4]),
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

export const OPERATION_CASES: readonly OperationCase[] = [
  ...MATMUL,
  ...UNARY,
  ...BINARY,
  ...ARITHMETIC,
  ...LOGIC,
  ...CASTS,
  ...REDUCTIONS,
  ...SHAPES,
  ...LOOKUPS,
  ...SYMBOLS,
];
