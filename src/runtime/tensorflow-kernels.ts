// What each operation of the graph is on TensorFlow.js; it knows neither files nor who owns what.
import * as tf from '@tensorflow/tfjs-core';
import { at } from '../base/at.ts';
import { AttuneError } from '../base/errors.ts';
import type { Dimension } from '../graph/dimension.ts';
import type {
  BinaryFunction,
  CompareFunction,
  DataType,
  FusedOperation,
  Operation,
  Tensor,
  UnaryFunction,
} from '../graph/tensor.ts';

/** Names of our types there. */
export const TF_TYPES = { f32: 'float32', i32: 'int32', bool: 'bool' } as const satisfies Record<
  DataType,
  tf.DataType
>;

const UNARY: Record<UnaryFunction, (x: tf.Tensor) => tf.Tensor> = {
  negate: tf.neg,
  exp: tf.exp,
  log: tf.log,
  sqrt: tf.sqrt,
  reciprocal: tf.reciprocal,
  abs: tf.abs,
  sign: tf.sign,
  sin: tf.sin,
  cos: tf.cos,
  sigmoid: tf.sigmoid,
  tanh: tf.tanh,
  not: tf.logicalNot,
  floor: tf.floor,
};

const BINARY: Record<BinaryFunction, (a: tf.Tensor, b: tf.Tensor) => tf.Tensor> = {
  add: tf.add,
  subtract: tf.sub,
  multiply: tf.mul,
  divide: (a, b) => (a.dtype === 'int32' ? divideTruncating(a, b) : tf.div(a, b)),
  maximum: tf.maximum,
  minimum: tf.minimum,
};

const COMPARE: Record<CompareFunction, (a: tf.Tensor, b: tf.Tensor) => tf.Tensor> = {
  less: tf.less,
  lessOrEqual: tf.lessEqual,
  equal: tf.equal,
  and: tf.logicalAnd,
  or: tf.logicalOr,
};

/** What a kernel is given beside the node itself. */
export interface KernelContext {
  /** Operands in the node's order; the kernel does not dispose them. */
  readonly operands: readonly tf.Tensor[];
  /** The node's type, and its shape in this run. */
  readonly dtype: DataType;
  readonly shape: number[];
  readonly sizeOf: (dimension: Dimension) => number;
}

type KernelOf<Kind extends Operation['kind']> = (
  operation: Extract<Operation, { kind: Kind }>,
  context: KernelContext,
) => tf.Tensor;

/** Kinds that the program itself supplies, and fused ones that have no kernel here. */
type WithoutKernel = 'input' | 'constant' | FusedOperation['kind'] | 'result';
type KernelTable = { [Kind in Exclude<Operation['kind'], WithoutKernel>]: KernelOf<Kind> };

const KERNELS: KernelTable = {
  matMul: ({ transposeA, transposeB }, { operands, shape }) => {
    const [a, b] = operands as [tf.Tensor, tf.Tensor];
    const isSingle = a.shape.slice(0, -2).every((size) => size === 1);
    if (b.rank > 2 || isSingle) return tf.matMul(a, b, transposeA, transposeB);
    // A matrix shared by all: one product of (rows, k) instead of a broadcast.
    const upright = transposeA ? tf.transpose(a, swapLastTwo(a.rank)) : a;
    const rows = tf.reshape(upright, [-1, at(upright.shape, -1)]);
    return tf.reshape(tf.matMul(rows, b, false, transposeB), shape);
  },
  unary: ({ fn }, { operands }) => UNARY[fn](at(operands, 0)),
  binary: ({ fn }, { operands: [a, b] }) => BINARY[fn](a as tf.Tensor, b as tf.Tensor),
  compare: ({ fn }, { operands: [a, b] }) => COMPARE[fn](a as tf.Tensor, b as tf.Tensor),
  select: (_, { operands }) => {
    const [condition, a, b] = operands as [tf.Tensor, tf.Tensor, tf.Tensor];
    return tf.where(condition, a, b);
  },
  cast: (_, { operands, dtype }) => castTo(dtype, at(operands, 0)),
  reduceSum: ({ axes }, { operands: [x] }) => tf.sum(x as tf.Tensor, [...axes], true),
  softmax: (_, { operands }) => tf.softmax(at(operands, 0)),
  logSoftmax: (_, { operands }) => {
    const x = at(operands, 0);
    const shifted = tf.sub(x, tf.max(x, -1, true));
    return tf.sub(shifted, tf.log(tf.sum(tf.exp(shifted), -1, true)));
  },
  reshape: (_, { operands, shape }) => tf.reshape(at(operands, 0), shape),
  transpose: ({ permutation }, { operands }) => tf.transpose(at(operands, 0), [...permutation]),
  concat: ({ axis }, { operands }) => tf.concat([...operands], axis),
  slice: ({ axis, start }, { operands, shape, sizeOf }) => {
    const begin = shape.map((_, i) => (i === axis ? sizeOf(start) : 0));
    return tf.slice(at(operands, 0), begin, shape);
  },
  pad: ({ axis, start }, { operands: [x], shape, sizeOf }) => {
    const own = (x as tf.Tensor).shape;
    const before = sizeOf(start);
    const around = shape.map((size, i): [number, number] =>
      i === axis ? [before, size - before - at(own, i)] : [0, 0],
    );
    return tf.pad(x as tf.Tensor, around);
  },
  broadcast: (_, { operands, shape }) => tf.broadcastTo(at(operands, 0), shape),
  gather: (_, { operands: [table, indices], shape }) =>
    tf.reshape(tf.gather(table as tf.Tensor, tf.reshape(indices as tf.Tensor, [-1])), shape),
  scatterAdd: (_, { operands: [rows, indices], shape }) => {
    const flat = tf.reshape(indices as tf.Tensor, [-1, 1]); // (rows, 1)
    if (flat.size === 0) return tf.zeros(shape, (rows as tf.Tensor).dtype as 'float32');
    return tf.scatterND(flat, tf.reshape(rows as tf.Tensor, [flat.size, ...shape.slice(1)]), shape);
  },
  pick: (_, { operands: [values, indices], shape }) => {
    const flat = tf.reshape(values as tf.Tensor, [-1]); // (rows*n)
    const entries = flatEntries(values as tf.Tensor, indices as tf.Tensor);
    return tf.reshape(tf.gather(flat, entries), shape);
  },
  addPicked: (_, { operands, shape }) => {
    const [base, values, indices] = operands as [tf.Tensor, tf.Tensor, tf.Tensor];
    if (values.size === 0) return tf.clone(base);
    const entries = tf.reshape(flatEntries(base, indices), [-1, 1]); // (rows, 1)
    const added = tf.scatterND(entries, tf.reshape(values, [-1]), [base.size]);
    return tf.add(base, tf.reshape(added, shape));
  },
  // tf.oneHot refuses a depth of 1.
  oneHot: (_, { operands: [indices], shape }) =>
    tf.cast(tf.equal(tf.expandDims(indices as tf.Tensor, -1), count(at(shape, -1))), 'float32'),
  range: (_, { shape }) => count(at(shape, 0)),
  size: ({ of }, { sizeOf }) => tf.scalar(sizeOf(of), 'int32'),
  after: (_, { operands }) => tf.clone(at(operands, 0)), // operations run in order here
  stopGradient: (_, { operands }) => tf.clone(at(operands, 0)),
};

/** True when `runKernel` can compute this node. */
export function hasKernel(kind: Operation['kind']): boolean {
  return kind in KERNELS;
}

/**
 * Computes one node on the backend in use. The caller owns the result; nothing else stays behind.
 * @throws runtime-failed naming the operation and where it was built
 */
export function runKernel({ operation, scope }: Tensor, context: KernelContext): tf.Tensor {
  const kernel = KERNELS[operation.kind as keyof KernelTable] as KernelOf<Operation['kind']>;
  try {
    return tf.tidy(() => kernel(operation, context));
  } catch (error) {
    const given = context.operands.map((x) => `(${x.shape}) ${x.dtype}`).join(' and ');
    const message = `TensorFlow.js: ${operation.kind} at ${scope || 'the top level'} failed`;
    const why = error instanceof Error ? error.message : String(error);
    throw new AttuneError(
      'runtime-failed',
      `${message}: ${why}; given ${given}`,
      { operation: operation.kind, scope },
      { cause: error },
    );
  }
}

/** Numbers become true unless zero; f32 becomes i32 towards zero. */
function castTo(dtype: DataType, x: tf.Tensor): tf.Tensor {
  return dtype === 'bool' ? tf.notEqual(x, tf.zerosLike(x)) : tf.cast(x, TF_TYPES[dtype]);
}

/** i32 division towards zero, as ONNX and C have it; TensorFlow.js rounds down. */
function divideTruncating(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  const zero = tf.scalar(0, 'int32');
  const magnitude = tf.floorDiv(tf.maximum(a, tf.neg(a)), tf.maximum(b, tf.neg(b)));
  const isNegative = tf.logicalXor(tf.less(a, zero), tf.less(b, zero));
  return tf.where(isNegative, tf.neg(magnitude), magnitude);
}

/** Where in all of `values` (…, n) the entry `indices` i32 (…) of each row lies: i32 (rows). */
function flatEntries(values: tf.Tensor, indices: tf.Tensor): tf.Tensor {
  const columns = tf.reshape(indices, [-1]);
  const n = tf.scalar(at(values.shape, -1), 'int32');
  return tf.add(tf.mul(count(columns.size), n), columns);
}

/** 0 … size − 1 as i32 (size). */
function count(size: number): tf.Tensor {
  return tf.tensor1d(
    Int32Array.from({ length: size }, (_, i) => i),
    'int32',
  );
}

function swapLastTwo(rank: number): number[] {
  const axes = Array.from({ length: rank }, (_, axis) => axis);
  return [...axes.slice(0, -2), rank - 1, rank - 2];
}
