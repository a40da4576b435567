// The rule of each operation: its derivatives on the way back.
import { at } from '../base/at.ts';
import { type Dimension, product, sum } from './dimension.ts';
import { addPicked, broadcast, concat, gather, pad, pick, scatterAdd, slice } from './indexing.ts';
import {
  add,
  broadcastShape,
  cos,
  divide,
  exp,
  less,
  matMul,
  multiply,
  negate,
  reduceSum,
  reshape,
  sameShape,
  scalar,
  select,
  sign,
  sin,
  subtract,
  transpose,
} from './operations.ts';
import type { BinaryFunction, Operation, Shape, Tensor, UnaryFunction } from './tensor.ts';

/** One node on the way back: `cotangent` is the derivative of the loss by `result`, of its shape. */
interface Backward<Kind extends Operation['kind'] = Operation['kind']> {
  readonly result: Tensor;
  readonly operation: Extract<Operation, { kind: Kind }>;
  readonly operands: readonly Tensor[];
  readonly cotangent: Tensor;
  /** Nodes of the forward graph that have a node as an operand. */
  readonly usersOf: (tensor: Tensor) => readonly Tensor[];
  /** True of a node by which the caller wants the derivative. */
  readonly isWanted: (tensor: Tensor) => boolean;
}

/** The derivative by one operand, built only if it is needed; none where no gradient passes. */
type Partial = (() => Tensor) | undefined;

/** The derivatives by each operand, in order. */
export type Rule<Kind extends Operation['kind']> = (backward: Backward<Kind>) => readonly Partial[];

export const zeros = (shape: Shape): Tensor => broadcast(scalar(0), shape);

function isZeros({ operation, inputs: [value] }: Tensor): boolean {
  if (operation.kind !== 'broadcast' || value?.operation.kind !== 'constant') return false;
  const { source } = value.operation;
  return source.from === 'inline' && source.data.every((each) => each === 0);
}

/**
 * The sum of a node's cotangents from its several users. Cotangents of neighbouring slices are
 * zeros around each part; they are joined instead of padded and added.
 */
export function accumulate(total: Tensor | undefined, term: Tensor): Tensor {
  if (total === undefined) return term;
  return neighbours(total, term) ?? neighbours(term, total) ?? add(total, term);
}

function neighbours(left: Tensor, right: Tensor): Tensor | undefined {
  const [a, b] = [left.operation, right.operation];
  if (a.kind !== 'pad' || b.kind !== 'pad' || a.axis !== b.axis) return undefined;
  const { axis } = a;
  const [first, second] = [at(left.inputs, 0), at(right.inputs, 0)];
  if (sum(a.start, first.shape[axis] ?? 0) !== b.start) return undefined;
  return pad(concat([first, second], axis), axis, a.start, left.shape[axis] ?? 0);
}

/** Sums over the axes along which a tensor of `shape` was repeated: the transpose of broadcast. */
function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const missing = x.shape.length - shape.length;
  const axes = x.shape.flatMap((dimension, axis) => {
    const own = shape[axis - missing];
    return own === undefined || (own === 1 && dimension !== 1) ? [axis] : [];
  });
  return reshape(reduceSum(x, axes, { keep: true }), shape);
}

/** `a * b`, reading an operand that was only repeated as it was before. */
function times(a: Tensor, b: Tensor): Tensor {
  const [bareA, bareB] = [bare(a), bare(b)];
  const { shape } = multiply(a, b);
  const fits = (x: Tensor, y: Tensor): boolean =>
    sameShape(broadcastShape('multiply', [x, y]), shape);
  if (fits(bareA, b)) return multiply(bareA, b);
  return fits(a, bareB) ? multiply(a, bareB) : multiply(a, b);
}

/** `2 x`, before it is repeated where it only was repeated. */
function twice(x: Tensor): Tensor {
  const two = scalar(2);
  return x === bare(x) ? multiply(x, two) : broadcast(multiply(bare(x), two), x.shape);
}

const bare = (x: Tensor): Tensor => (x.operation.kind === 'broadcast' ? at(x.inputs, 0) : x);

/**
 * `slice`, taken before a product where that gives the same: of what multiplies a past of
 * thousands of keys, only the columns that have a gradient are then computed.
 */
function sliceEarly(x: Tensor, axis: number, start: Dimension, size: Dimension): Tensor {
  const { operation, inputs } = x;
  const fromEnd = x.shape.length - axis;
  if (operation.kind !== 'matMul' || fromEnd > 2) return slice(x, axis, start, size);
  const [a, b] = inputs as [Tensor, Tensor];
  const { transposeA, transposeB } = operation;
  if (fromEnd === 2) {
    const rows = a.shape.length - (transposeA ? 1 : 2);
    return matMul(slice(a, rows, start, size), b, { transposeA, transposeB });
  }
  const columns = b.shape.length - (transposeB ? 2 : 1);
  return matMul(a, slice(b, columns, start, size), { transposeA, transposeB });
}

// Derivatives of operations that work on each element alone.

/** g = dL/dy, for y = f(x). */
type UnaryDerivative = (g: Tensor, x: Tensor, y: Tensor) => Tensor;

const UNARY: Readonly<Record<UnaryFunction, UnaryDerivative | undefined>> = {
  negate: (g) => negate(g),
  exp: (g, _, y) => times(g, y),
  log: (g, x) => divide(g, x),
  sqrt: (g, _, y) => divide(multiply(g, scalar(0.5)), y),
  reciprocal: (g, _, y) => negate(times(g, multiply(y, y))),
  abs: (g, x) => times(g, sign(x)),
  sin: (g, x) => times(g, cos(x)),
  cos: (g, x) => negate(times(g, sin(x))),
  sigmoid: (g, _, y) => times(g, multiply(y, subtract(scalar(1), y))),
  tanh: (g, _, y) => times(g, subtract(scalar(1), multiply(y, y))),
  // Flat wherever they have a derivative.
  sign: undefined,
  floor: undefined,
  not: undefined,
};

const unaryRule: Rule<'unary'> = ({ operation, operands: [x], cotangent, result }) => {
  const derivative = UNARY[operation.fn];
  return [derivative && (() => derivative(cotangent, x as Tensor, result))];
};

interface BinaryBackward {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly y: Tensor;
  readonly g: Tensor;
}

/** Derivatives before the sum over repeated axes. */
const BINARY: Readonly<
  Record<BinaryFunction, readonly [(node: BinaryBackward) => Tensor, (n: BinaryBackward) => Tensor]>
> = {
  add: [({ g }) => g, ({ g }) => g],
  subtract: [({ g }) => g, ({ g }) => negate(g)],
  multiply: [({ g, b }) => times(g, b), ({ g, a }) => times(g, a)],
  divide: [({ g, b }) => divide(g, b), ({ g, b, y }) => negate(times(g, divide(y, b)))],
  // At a tie the first operand has the gradient.
  maximum: [
    ({ g, a, b }) => select(less(a, b), scalar(0), g),
    ({ g, a, b }) => select(less(a, b), g, scalar(0)),
  ],
  minimum: [
    ({ g, a, b }) => select(less(b, a), scalar(0), g),
    ({ g, a, b }) => select(less(b, a), g, scalar(0)),
  ],
};

const binaryRule: Rule<'binary'> = (backward) => {
  const { operation, operands, cotangent, result } = backward;
  const [a, b] = operands as [Tensor, Tensor];
  if (operation.fn === 'multiply' && a === b) return [() => times(twice(cotangent), a), undefined];
  if (operation.fn === 'multiply' && isSigmoidOf(b, a) && !backward.isWanted(b)) {
    // SiLU, y = x σ(x): dy/dx = σ + y (1 − σ), in fewer passes than the product rule takes.
    const slope = (): Tensor => add(b, multiply(result, subtract(scalar(1), b)));
    return [() => times(cotangent, slope()), undefined];
  }
  const node = { a, b, y: result, g: cotangent };
  return BINARY[operation.fn].map((derivative, i): Partial => {
    const operand = at(operands, i);
    return () => sumTo(derivative(node), operand.shape);
  });
};

const isSigmoidOf = ({ operation, inputs }: Tensor, x: Tensor): boolean =>
  operation.kind === 'unary' && operation.fn === 'sigmoid' && inputs[0] === x;

const selectRule: Rule<'select'> = ({ operands, cotangent }) => {
  const [condition, a, b] = operands as [Tensor, Tensor, Tensor];
  return [
    undefined,
    () => sumTo(select(condition, cotangent, scalar(0)), a.shape),
    () => sumTo(select(condition, scalar(0), cotangent), b.shape),
  ];
};

// Derivatives of matrix products, sums and softmax.

/** For C = A B: dA = dC Bᵀ and dB = Aᵀ dC, each read as its operand lies. */
const matMulRule: Rule<'matMul'> = ({ operation, operands, cotangent }) => {
  const { transposeA, transposeB } = operation;
  const [a, b] = operands as [Tensor, Tensor];
  const isShared = a.shape.length > b.shape.length;
  const byRows = (): Tensor => matMul(cotangent, b, { transposeB: !transposeB });
  const byA = (): Tensor => {
    if (!transposeA) return byRows();
    if (isShared) return swapLastTwo(byRows());
    return matMul(b, cotangent, { transposeA: transposeB, transposeB: true });
  };
  const byB = (): Tensor => {
    // A shared matrix sums over all rows: one product of flattened rows.
    const left = isShared ? flatRows(transposeA ? swapLastTwo(a) : a) : a;
    const right = isShared ? flatRows(cotangent) : cotangent;
    const isTransposed = transposeA && !isShared;
    return transposeB
      ? matMul(right, left, { transposeA: true, transposeB: isTransposed })
      : matMul(left, right, { transposeA: !isTransposed });
  };
  return [byA, byB];
};

function swapLastTwo(x: Tensor): Tensor {
  const axes = x.shape.map((_, axis) => axis);
  const rank = axes.length;
  return transpose(x, [...axes.slice(0, -2), rank - 1, rank - 2]);
}

const flatRows = (x: Tensor): Tensor =>
  reshape(x, [product(...x.shape.slice(0, -1)), x.shape.at(-1) ?? 0]);

const reduceSumRule: Rule<'reduceSum'> = ({ operands: [x], cotangent }) => [
  () => broadcast(cotangent, (x as Tensor).shape),
];

/** For y = softmax(x): dx = y (dy − Σ y dy). */
const softmaxRule: Rule<'softmax'> = ({ cotangent, result, usersOf }) => [
  () => {
    const total =
      weighedTotal(result, cotangent, usersOf) ??
      reduceSum(times(result, cotangent), [result.shape.length - 1], { keep: true });
    return times(result, subtract(cotangent, total));
  },
];

/**
 * Σ y dy over the last axis, where y only weighs values, o = y V (perhaps after a reshape of the
 * rows): it is Σ o do over the much shorter rows of V, since dy = do Vᵀ.
 * Source: FlashAttention, Dao et al. 2022, arXiv 2205.14135, section 3.1.
 */
function weighedTotal(
  y: Tensor,
  dy: Tensor,
  usersOf: (tensor: Tensor) => readonly Tensor[],
): Tensor | undefined {
  const isFolded = usersOf(y)[0]?.operation.kind === 'reshape' && dy.operation.kind === 'reshape';
  const weights = isFolded ? at(usersOf(y), 0) : y;
  const dWeights = isFolded ? at(dy.inputs, 0) : dy;
  const [output] = usersOf(weights);
  if (weights.shape.at(-1) !== y.shape.at(-1)) return undefined;
  const isOnlyUse = usersOf(y).length === 1 && usersOf(weights).length === 1;
  if (!isOnlyUse || output === undefined || !isProductOf(weights, output)) return undefined;
  const [dOutput, values] = dWeights.inputs as [Tensor, Tensor];
  // A sole use makes this product the whole derivative: do Vᵀ, as the rule of matMul builds it.
  if (dWeights.operation.kind !== 'matMul' || values !== output.inputs[1]) return undefined;
  if (!sameShape(dOutput.shape, output.shape) || dWeights.operation.transposeA) return undefined;
  const axes = [output.shape.length - 1];
  const total = reduceSum(times(output, dOutput), axes, { keep: true });
  return reshape(total, [...y.shape.slice(0, -1), 1]);
}

const isProductOf = (weights: Tensor, { operation, inputs }: Tensor): boolean =>
  operation.kind === 'matMul' && inputs[0] === weights && !operation.transposeA;

/** For y = log softmax(x): dx = dy − softmax(x) Σ dy. */
const logSoftmaxRule: Rule<'logSoftmax'> = ({ cotangent, result }) => [
  () => {
    const p = exp(result);
    const last = [p.shape.length - 1];
    const [base, values, indices] = cotangent.inputs as [Tensor, Tensor, Tensor];
    if (cotangent.operation.kind === 'addPicked' && isZeros(base)) {
      // One entry per row was picked: the row sum is that entry, and no row of zeros is made.
      const column = reshape(negate(values), [...values.shape, 1]);
      return addPicked(times(p, column), values, indices);
    }
    return subtract(cotangent, times(p, reduceSum(cotangent, last, { keep: true })));
  },
];

// Derivatives of operations that move, join, cut, repeat and look up elements.

const sizeAt = (x: Tensor, axis: number): Dimension => at(x.shape, axis);

const reshapeRule: Rule<'reshape'> = ({ operands: [x], cotangent }) => [
  () => reshape(cotangent, (x as Tensor).shape),
];

const transposeRule: Rule<'transpose'> = ({ operation: { permutation }, cotangent }) => [
  () =>
    transpose(
      cotangent,
      permutation.map((_, axis) => permutation.indexOf(axis)),
    ),
];

const concatRule: Rule<'concat'> = ({ operation: { axis }, operands, cotangent }) => {
  let start: Dimension = 0;
  return operands.map((part): Partial => {
    const [from, size] = [start, sizeAt(part, axis)];
    start = sum(start, size);
    return () => sliceEarly(cotangent, axis, from, size);
  });
};

const sliceRule: Rule<'slice'> = ({ operation, operands: [x], cotangent }) => {
  const { axis, start } = operation;
  return [() => pad(cotangent, axis, start, sizeAt(x as Tensor, axis))];
};

const padRule: Rule<'pad'> = ({ operation: { axis, start }, operands: [x], cotangent }) => [
  () => sliceEarly(cotangent, axis, start, sizeAt(x as Tensor, axis)),
];

const broadcastRule: Rule<'broadcast'> = ({ operands: [x], cotangent }) => [
  () => sumTo(cotangent, (x as Tensor).shape),
];

const gatherRule: Rule<'gather'> = ({ operands, cotangent }) => {
  const [table, indices] = operands as [Tensor, Tensor];
  return [() => scatterAdd(cotangent, indices, sizeAt(table, 0)), undefined];
};

const scatterAddRule: Rule<'scatterAdd'> = ({ operands: [, indices], cotangent }) => [
  () => gather(cotangent, indices as Tensor),
  undefined,
];

const pickRule: Rule<'pick'> = ({ operands, cotangent }) => {
  const [values, indices] = operands as [Tensor, Tensor];
  return [() => addPicked(zeros(values.shape), cotangent, indices), undefined];
};

const addPickedRule: Rule<'addPicked'> = ({ operands: [, , indices], cotangent }) => [
  () => cotangent,
  () => pick(cotangent, indices as Tensor),
  undefined,
];

/** Operations whose results are no f32 or do not depend on one have no rule and need none. */
export const RULES: { readonly [Kind in Operation['kind']]?: Rule<Kind> } = {
  matMul: matMulRule,
  unary: unaryRule,
  binary: binaryRule,
  select: selectRule,
  reduceSum: reduceSumRule,
  softmax: softmaxRule,
  logSoftmax: logSoftmaxRule,
  reshape: reshapeRule,
  transpose: transposeRule,
  concat: concatRule,
  slice: sliceRule,
  pad: padRule,
  broadcast: broadcastRule,
  gather: gatherRule,
  scatterAdd: scatterAddRule,
  pick: pickRule,
  addPicked: addPickedRule,
};
