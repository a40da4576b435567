// Derivatives of matrix products, sums and softmax.
import { at } from '../../base/at.ts';
import { product } from '../dimension.ts';
import { addPicked, broadcast } from '../indexing.ts';
import {
  exp,
  matMul,
  negate,
  reduceSum,
  reshape,
  sameShape,
  subtract,
  transpose,
} from '../operations.ts';
import type { Tensor } from '../tensor.ts';
import { isZeros, type Rule, times } from './rule.ts';

/** For C = A B: dA = dC Bᵀ and dB = Aᵀ dC, each read as its operand lies. */
export const matMulRule: Rule<'matMul'> = ({ operation, operands, cotangent }) => {
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

export const reduceSumRule: Rule<'reduceSum'> = ({ operands: [x], cotangent }) => [
  () => broadcast(cotangent, (x as Tensor).shape),
];

/** For y = softmax(x): dx = y (dy − Σ y dy). */
export const softmaxRule: Rule<'softmax'> = ({ cotangent, result, usersOf }) => [
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
export const logSoftmaxRule: Rule<'logSoftmax'> = ({ cotangent, result }) => [
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
