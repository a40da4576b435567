// What a differentiation rule is, and the small algebra that rules share.
import { at } from '../../base/at.ts';
import { type Dimension, sum } from '../dimension.ts';
import { broadcast, concat, pad, slice } from '../indexing.ts';
import {
  add,
  broadcastShape,
  matMul,
  multiply,
  reduceSum,
  reshape,
  sameShape,
  scalar,
} from '../operations.ts';
import type { Operation, Shape, Tensor } from '../tensor.ts';

/** One node on the way back: `cotangent` is the derivative of the loss by `result`, of its shape. */
export interface Backward<Kind extends Operation['kind'] = Operation['kind']> {
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
export type Partial = (() => Tensor) | undefined;

/** The derivatives by each operand, in order. */
export type Rule<Kind extends Operation['kind']> = (backward: Backward<Kind>) => readonly Partial[];

export const zeros = (shape: Shape): Tensor => broadcast(scalar(0), shape);

export function isZeros({ operation, inputs: [value] }: Tensor): boolean {
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
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const missing = x.shape.length - shape.length;
  const axes = x.shape.flatMap((dimension, axis) => {
    const own = shape[axis - missing];
    return own === undefined || (own === 1 && dimension !== 1) ? [axis] : [];
  });
  return reshape(reduceSum(x, axes, { keep: true }), shape);
}

/** `a * b`, reading an operand that was only repeated as it was before. */
export function times(a: Tensor, b: Tensor): Tensor {
  const [bareA, bareB] = [bare(a), bare(b)];
  const { shape } = multiply(a, b);
  const fits = (x: Tensor, y: Tensor): boolean =>
    sameShape(broadcastShape('multiply', [x, y]), shape);
  if (fits(bareA, b)) return multiply(bareA, b);
  return fits(a, bareB) ? multiply(a, bareB) : multiply(a, b);
}

/** `2 x`, before it is repeated where it only was repeated. */
export function twice(x: Tensor): Tensor {
  const two = scalar(2);
  return x === bare(x) ? multiply(x, two) : broadcast(multiply(bare(x), two), x.shape);
}

const bare = (x: Tensor): Tensor => (x.operation.kind === 'broadcast' ? at(x.inputs, 0) : x);

/**
 * `slice`, taken before a product where that gives the same: of what multiplies a past of
 * thousands of keys, only the columns that have a gradient are then computed.
 */
export function sliceEarly(x: Tensor, axis: number, start: Dimension, size: Dimension): Tensor {
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
