// Derivatives of operations that work on each element alone.
import { at } from '../../base/at.ts';
import {
  add,
  cos,
  divide,
  less,
  multiply,
  negate,
  scalar,
  select,
  sign,
  sin,
  subtract,
} from '../operations.ts';
import type { BinaryFunction, Tensor, UnaryFunction } from '../tensor.ts';
import { type Partial, type Rule, sumTo, times, twice } from './rule.ts';

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

export const unaryRule: Rule<'unary'> = ({ operation, operands: [x], cotangent, result }) => {
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

export const binaryRule: Rule<'binary'> = (backward) => {
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

export const selectRule: Rule<'select'> = ({ operands, cotangent }) => {
  const [condition, a, b] = operands as [Tensor, Tensor, Tensor];
  return [
    undefined,
    () => sumTo(select(condition, cotangent, scalar(0)), a.shape),
    () => sumTo(select(condition, scalar(0), cotangent), b.shape),
  ];
};
