// ONNX lowering: one rule per operation of the graph, and which ONNX operators it becomes.
import { at } from '../../base/at.ts';
import { product } from '../dimension.ts';
import type { Operation, Tensor, UnaryFunction } from '../tensor.ts';
import { gatherBlocks, multiplyBlocks, refuseBlocks } from './blocks-lowering.ts';
import type { Emitter } from './emitter.ts';
import { ELEMENT_TYPE, MICROSOFT_DOMAIN } from './messages.ts';
import * as shapes from './shape-lowering.ts';

/** Where the model will run; WebGPU lacks some operators, which are then composed. */
export type Target = 'cpu' | 'cuda' | 'webgpu';

export interface Node<Kind extends Operation['kind']> {
  readonly tensor: Tensor;
  readonly operation: Extract<Operation, { kind: Kind }>;
  /** Names of the operands' values. */
  readonly inputs: readonly string[];
  readonly target: Target;
}

type Rule<Kind extends Operation['kind']> = (
  node: Node<Kind>,
  to: Emitter,
) => string | readonly string[];

/** Inputs, constants and further results are named by the encoder itself. */
export type LoweredKind = Exclude<Operation['kind'], 'input' | 'constant' | 'result'>;

const BINARY = {
  add: 'Add',
  subtract: 'Sub',
  multiply: 'Mul',
  divide: 'Div',
  maximum: 'Max',
  minimum: 'Min',
} as const;

const COMPARE = { less: 'Less', lessOrEqual: 'LessOrEqual', equal: 'Equal', and: 'And' } as const;

const operand = (tensor: Tensor, index: number): Tensor => at(tensor.inputs, index);
const sizeAt = (tensor: Tensor, axis: number) => tensor.shape[axis] ?? 0;

const RULES: { readonly [Kind in LoweredKind]: Rule<Kind> } = {
  matMul,
  unary: ({ operation, inputs }, to) => unary(operation.fn, at(inputs, 0), to),
  binary: ({ operation, inputs }, to) => to.emit(BINARY[operation.fn], inputs),
  compare: ({ operation, inputs }, to) =>
    operation.fn === 'or' ? either(inputs, to) : to.emit(COMPARE[operation.fn], inputs),
  select,
  cast: ({ tensor, inputs }, to) => cast(at(inputs, 0), tensor.dtype, to),
  reduceSum: ({ operation, inputs }, to) =>
    to.emit('ReduceSum', [...inputs, to.integers('i64', operation.axes)], {
      attributes: { keepdims: 1 },
    }),
  softmax: ({ inputs }, to) => to.emit('Softmax', inputs, { attributes: { axis: -1 } }),
  logSoftmax,
  reshape: ({ tensor, inputs: [value] }, to) =>
    shapes.reshape(value as string, operand(tensor, 0).shape, tensor.shape, to),
  transpose: ({ tensor, operation, inputs }, to) =>
    shapes.throughIntegers(tensor.dtype, inputs, to, ([value]) =>
      shapes.transpose(value as string, operation.permutation, to),
    ),
  concat: ({ tensor, operation: { axis }, inputs }, to) =>
    shapes.throughIntegers(tensor.dtype, inputs, to, (values) =>
      to.emit('Concat', values, { attributes: { axis } }),
    ),
  slice: ({ tensor, operation: { axis, start }, inputs: [value] }, to) =>
    shapes.slice(
      value as string,
      operand(tensor, 0),
      { axis, start, size: sizeAt(tensor, axis) },
      to,
    ),
  pad: ({ tensor, operation: { axis, start }, inputs: [value] }, to) =>
    shapes.pad(
      value as string,
      operand(tensor, 0),
      { axis, start, size: sizeAt(tensor, axis) },
      to,
    ),
  broadcast: ({ tensor, inputs: [value] }, to) =>
    shapes.broadcast(value as string, operand(tensor, 0).shape, tensor.shape, to),
  gather: ({ tensor, inputs }, to) =>
    gatherBlocks(operand(tensor, 0), inputs[1] as string, tensor.shape, to) ??
    to.emit('Gather', inputs, { attributes: { axis: 0 } }),
  scatterAdd: ({ tensor, inputs: [rows, indices] }, to) =>
    shapes.scatterAdd(rows as string, indices as string, tensor.shape, to),
  pick: ({ inputs: [values, indices] }, to) => shapes.pick(values as string, indices as string, to),
  addPicked: ({ inputs: [base, values, indices] }, to) =>
    shapes.addPicked(base as string, values as string, indices as string, to),
  oneHot: ({ tensor, inputs: [indices] }, to) => {
    const all = to.range(0, sizeAt(tensor, tensor.shape.length - 1));
    const isHot = to.emit('Equal', [shapes.unsqueezeLast(indices as string, to), all]);
    return cast(isHot, 'f32', to);
  },
  range: ({ tensor }, to) => to.range(0, sizeAt(tensor, 0)),
  size: ({ operation }, to) => to.scalarSize(operation.of),
  stopGradient: ({ inputs }) => inputs,
  after,
  groupQueryAttention: ({ operation, inputs }, to) =>
    to.emitAll('GroupQueryAttention', inputs, {
      domain: MICROSOFT_DOMAIN,
      outputs: 3,
      attributes: {
        num_heads: operation.heads,
        kv_num_heads: operation.kvHeads,
        scale: { float: operation.scale },
        do_rotary: operation.isRotary ? 1 : 0,
      },
    }),
  rotaryEmbedding: ({ operation, inputs: [x, positions, ...tables] }, to) => {
    const wide = to.emit('Cast', [positions as string], { attributes: { to: ELEMENT_TYPE.i64 } });
    return to.emit('RotaryEmbedding', [x as string, wide, ...tables], {
      domain: MICROSOFT_DOMAIN,
      attributes: { num_heads: operation.heads },
    });
  },
  rmsNorm: ({ operation, inputs }, to) =>
    to.emit('SimplifiedLayerNormalization', inputs, {
      attributes: { axis: -1, epsilon: { float: operation.epsilon } },
    }),
};

/** Emits one node. @returns the names of its results. */
export function lower(node: Node<LoweredKind>, to: Emitter): readonly string[] {
  // The table is typed by kind; the index loses which one it is.
  const rule = RULES[node.operation.kind] as Rule<LoweredKind>;
  refuseBlocks(node.tensor);
  const result = rule(node, to);
  return typeof result === 'string' ? [result] : result;
}

/** A matrix shared by all rows becomes one product over flattened rows, read as it lies. */
function matMul({ tensor, operation, inputs, target }: Node<'matMul'>, to: Emitter): string {
  const { transposeA, transposeB } = operation;
  const [a, b] = [operand(tensor, 0), operand(tensor, 1)];
  let [left, right] = inputs as [string, string];
  const quantised = multiplyBlocks(left, a.shape, b, to);
  if (quantised !== undefined) return quantised;
  const rank = a.shape.length;
  const isHalved = operation.isRepeatable && target === 'cpu';
  if (rank === 2) return gemm([left, right], { transposeA, transposeB, isHalved }, to);
  if (transposeA) left = shapes.swapLastTwo(left, rank, to);
  if (b.shape.length > 2 && transposeB) right = shapes.swapLastTwo(right, rank, to);
  if (b.shape.length > 2) return to.emit('MatMul', [left, right]);
  if (!isHalved && !transposeB) return to.emit('MatMul', [left, right]);
  if (!isHalved && target !== 'webgpu' && to.floatType === 'f32') {
    return to.emit('FusedMatMul', [left, right], {
      domain: MICROSOFT_DOMAIN,
      attributes: { transB: 1 },
    });
  }
  const leading = tensor.shape.slice(0, -1);
  const [inner, width] = [sizeAt(b, transposeB ? 1 : 0), sizeAt(tensor, rank - 1)];
  const rows = product(...leading);
  const flat = shapes.reshape(left, [...leading, inner], [rows, inner], to);
  const result = gemm([flat, right], { transposeA: false, transposeB, isHalved }, to);
  return shapes.reshape(result, [rows, width], tensor.shape, to);
}

/**
 * The CPU kernel for a single row rounds otherwise than the one for several, but for products that
 * are also scaled. Halved and doubled again, no bit changes and there is one kernel only. (So it is
 * for constants that were packed beforehand.)
 * Source: ONNX Runtime 1.30, onnxruntime/core/mlas/lib/sgemm.cpp, MlasSgemmOperation.
 */
function gemm(
  operands: readonly string[],
  options: Record<'transposeA' | 'transposeB' | 'isHalved', boolean>,
  to: Emitter,
): string {
  const transposed = { transA: Number(options.transposeA), transB: Number(options.transposeB) };
  if (!options.isHalved) return to.emit('Gemm', operands, { attributes: transposed });
  const attributes = { ...transposed, alpha: { float: 0.5 } };
  return to.emit('Mul', [to.emit('Gemm', operands, { attributes }), to.float(2)]);
}

/**
 * `value`, made to depend on `signal`: it is multiplied by min(max(signal[0], 1), 1). That is 1, so
 * no bit changes, but the runtime's optimizer cannot see it: it neither merges the product with an
 * equal value nor computes it before `signal` is known.
 */
function after({ inputs: [value, signal] }: Node<'after'>, to: Emitter): string {
  const flat = to.emit('Reshape', [signal as string, to.integers('i64', [-1])]);
  const bounds = [to.integers('i64', [0]), to.integers('i64', [1])];
  const first = to.emit('Slice', [flat, ...bounds, to.integers('i64', [0])]);
  const one = to.emit('Min', [to.emit('Max', [first, to.float(1)]), to.float(1)]);
  return to.emit('Mul', [value as string, one]);
}

const UNARY: Partial<Record<UnaryFunction, string>> = {
  negate: 'Neg',
  exp: 'Exp',
  log: 'Log',
  sqrt: 'Sqrt',
  reciprocal: 'Reciprocal',
  abs: 'Abs',
  sin: 'Sin',
  sigmoid: 'Sigmoid',
  tanh: 'Tanh',
  not: 'Not',
  floor: 'Floor',
};

function unary(fn: UnaryFunction, value: string, to: Emitter): string {
  if (fn === 'sign') {
    const zero = to.float(0);
    const positive = cast(to.emit('Less', [zero, value]), 'f32', to);
    return to.emit('Sub', [positive, cast(to.emit('Less', [value, zero]), 'f32', to)]);
  }
  if (fn === 'cos') {
    // ONNX Runtime has no f64 kernel of Cos.
    if (to.floatType === 'f32') return to.emit('Cos', [value]);
    return to.emit('Sin', [to.emit('Add', [value, to.float(Math.PI / 2)])]);
  }
  return to.emit(UNARY[fn] as string, [value]);
}

function cast(value: string, type: 'f32' | 'i32' | 'bool', to: Emitter): string {
  const element = type === 'f32' ? to.floatType : type;
  return to.emit('Cast', [value], { attributes: { to: ELEMENT_TYPE[element] } });
}

/** WebGPU has no Or: not (not a and not b). */
function either(inputs: readonly string[], to: Emitter): string {
  const negated = inputs.map((value) => to.emit('Not', [value]));
  return to.emit('Not', [to.emit('And', negated)]);
}

/** ONNX Runtime has no Where for bool: (c and a) or (not c and b). */
function select({ tensor, inputs }: Node<'select'>, to: Emitter): string {
  if (tensor.dtype !== 'bool') return to.emit('Where', inputs);
  const [condition, a, b] = inputs as [string, string, string];
  const whenTrue = to.emit('And', [condition, a]);
  return either([whenTrue, to.emit('And', [to.emit('Not', [condition]), b])], to);
}

function logSoftmax({ inputs, target }: Node<'logSoftmax'>, to: Emitter): string {
  const [value] = inputs as [string];
  if (target !== 'webgpu') return to.emit('LogSoftmax', inputs, { attributes: { axis: -1 } });
  const last = [to.integers('i64', [-1])];
  const attributes = { keepdims: 1 };
  const centred = to.emit('Sub', [value, to.emit('ReduceMax', [value, ...last], { attributes })]);
  const total = to.emit('ReduceSum', [to.emit('Exp', [centred]), ...last], { attributes });
  return to.emit('Sub', [centred, to.emit('Log', [total])]);
}
