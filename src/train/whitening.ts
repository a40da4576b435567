// Coordinates of a matrix in which a step of one length moves what is held by one KL, whatever its
// direction: the optimizer works in these. A step there is a natural-gradient step for the holds.
// Amari 1998, "Natural gradient works efficiently in learning"; damping as in arXiv:1503.05671.
import { yieldToEventLoop } from '../base/clock.ts';
import * as op from '../graph/operations.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { DenseDelta, LowRankDelta } from '../model/delta.ts';
import type { HostTensor } from '../runtime/executor.ts';
import { f32 } from '../runtime/host-tensor.ts';
import type { Curvature } from './curvature.ts';
import type { Optimizer } from './optimizer.ts';

/** `ΔW = leftᵀ Z right`: Z are the coordinates. All are lower triangular. */
export interface Whitening {
  /** (heads, headDim, headDim): inverses of the Cholesky factors of the damped output curvature. */
  readonly left: Float32Array;
  readonly headDim: number;
  /** (columns, columns): the same of the input curvature. */
  readonly right: Float32Array;
}

/** Added to each curvature, as a share of its mean eigenvalue: what is seldom seen is not free. */
const DAMPING = 0.1;

export async function whiteningOf(
  { input, output }: Curvature,
  [rows, columns]: readonly [number, number],
): Promise<Whitening> {
  // rows = heads · headDim, and output has heads · headDim².
  const headDim = output.length / rows;
  const left = new Float32Array(output.length);
  const size = headDim * headDim;
  const damping = dampingOf(output, headDim);
  for (let at = 0; at < left.length; at += size) {
    left.set(await inverseRoot(output.subarray(at, at + size), headDim, damping), at);
  }
  return { left, headDim, right: await inverseRoot(input, columns, dampingOf(input, columns)) };
}

/** Of square matrices of that size, one after the other. */
function dampingOf(matrices: Float64Array, size: number): number {
  let trace = 0;
  for (let at = 0; at < matrices.length; at += size * size) {
    for (let i = 0; i < size; i++) trace += matrices[at + i * (size + 1)] as number;
  }
  // Where nothing is held, any length will do.
  return trace > 0 ? (DAMPING * trace * size) / matrices.length : 1;
}

/** L⁻¹ with L Lᵀ = matrix + damping, row-major. */
async function inverseRoot(
  matrix: Float64Array,
  size: number,
  damping: number,
): Promise<Float32Array> {
  const factor = Float64Array.from(matrix);
  for (let i = 0; i < size; i++)
    factor[i * (size + 1)] = (factor[i * (size + 1)] as number) + damping;
  await choleskyInPlace(factor, size);
  return inverseOfLower(factor, size);
}

const ROWS_AT_ONCE = 64;

async function choleskyInPlace(a: Float64Array, size: number): Promise<void> {
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      const sum = (a[i * size + j] as number) - dotOfRows(a, i * size, j * size, j);
      a[i * size + j] = i === j ? Math.sqrt(sum) : sum / (a[j * size + j] as number);
    }
    a.fill(0, i * size + i + 1, (i + 1) * size);
    if (i % ROWS_AT_ONCE === 0) await yieldToEventLoop();
  }
}

/** Of the first `length` entries that begin at `a` and at `b`. */
function dotOfRows(values: Float64Array, a: number, b: number, length: number): number {
  let [one, two, three, four] = [0, 0, 0, 0];
  let i = 0;
  // Four sums, so that no addition waits for the one before.
  for (; i + 3 < length; i += 4) {
    one += (values[a + i] as number) * (values[b + i] as number);
    two += (values[a + i + 1] as number) * (values[b + i + 1] as number);
    three += (values[a + i + 2] as number) * (values[b + i + 2] as number);
    four += (values[a + i + 3] as number) * (values[b + i + 3] as number);
  }
  for (; i < length; i++) one += (values[a + i] as number) * (values[b + i] as number);
  return one + two + three + four;
}

async function inverseOfLower(lower: Float64Array, size: number): Promise<Float32Array> {
  const inverse = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    const row = inverse.subarray(i * size, (i + 1) * size);
    for (let k = 0; k < i; k++) {
      const factor = lower[i * size + k] as number;
      const from = k * size;
      for (let j = 0; j <= k; j++)
        row[j] = (row[j] as number) - factor * (inverse[from + j] as number);
    }
    const diagonal = lower[i * size + i] as number;
    for (let j = 0; j < i; j++) row[j] = (row[j] as number) / diagonal;
    row[i] = 1 / diagonal;
    if (i % ROWS_AT_ONCE === 0) await yieldToEventLoop();
  }
  return Float32Array.from(inverse);
}

/**
 * The optimizer in these coordinates: it sees the gradient of Z and moves Z, never W.
 * Feeds beside its own: `left` (heads, headDim, headDim) and `right` (columns, columns).
 * @param of the whitening of a matrix, asked for at each step
 */
export function whitened(
  optimizer: Optimizer,
  headDim: number,
  of: (name: string) => Whitening,
): Optimizer {
  /** The same tensors at each step, so that they go to a device once. */
  const fed = new WeakMap<Whitening, Readonly<Record<'left' | 'right', HostTensor>>>();
  return {
    init: (parameter) => optimizer.init(parameter),

    update(parameter, { weight, gradient }, scalars) {
      const { name, shape } = parameter;
      const [rows, columns] = shape;
      const heads = rows / headDim;
      const left = op.input(`left.${name}`, 'f32', [heads, headDim, headDim]);
      const right = op.input(`right.${name}`, 'f32', [columns, columns]);
      const times = (matrix: Tensor, transposeA: boolean): Tensor => {
        const byHead = op.reshape(matrix, [heads, headDim, columns]);
        return op.reshape(op.matMul(left, byHead, { transposeA }), shape);
      };
      const ofZ = op.matMul(times(gradient, false), right, { transposeB: true });
      const origin = { weight: op.scalar(0), gradient: ofZ };
      const { weight: moved, state } = optimizer.update(parameter, origin, scalars);
      return { weight: op.add(weight, op.matMul(times(moved, true), right)), state };
    },

    feeds(parameter, step) {
      const whitening = of(parameter.name);
      const [rows, columns] = parameter.shape;
      const known = fed.get(whitening) ?? {
        left: f32([rows / headDim, headDim, headDim], whitening.left),
        right: f32([columns, columns], whitening.right),
      };
      fed.set(whitening, known);
      return { ...optimizer.feeds(parameter, step), ...known };
    },
  };
}

/** Norm of the gradient of Z. @param gradient of W (rows, columns) */
export function normOfCoordinates(
  gradient: Float32Array,
  { left, headDim, right }: Whitening,
): number {
  const columns = Math.sqrt(right.length);
  let total = 0;
  const row = new Float64Array(columns);
  for (let i = 0; i < gradient.length / columns; i++) {
    row.fill(0);
    for (let k = i - (i % headDim); k <= i; k++) {
      const factor = left[i * headDim + (k % headDim)] as number;
      addScaled(row, factor, gradient.subarray(k * columns, (k + 1) * columns));
    }
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k <= j; k++) sum += (right[j * columns + k] as number) * (row[k] as number);
      total += sum * sum;
    }
  }
  return Math.sqrt(total);
}

/** Coordinates of which a unit is `factor` times as long. */
export const lengthened = (whitening: Whitening, factor: number): Whitening => ({
  ...whitening,
  left: whitening.left.map((value) => factor * value),
});

/** Z of a change of W: `leftᵀ Z right = ΔW`, by substitution. */
export async function coordinatesOf(
  { shape, data }: DenseDelta,
  { left, headDim, right }: Whitening,
): Promise<DenseDelta> {
  const [rows = 0, columns = 0] = shape;
  const z = Float64Array.from(data);
  const row = (i: number): Float64Array => z.subarray(i * columns, (i + 1) * columns);
  for (let i = rows - 1; i >= 0; i--) {
    // leftᵀ is upper triangular: each head from its last row up.
    const head = i - (i % headDim);
    const factor = (k: number): number => left[k * headDim + (i - head)] as number;
    for (let k = i + 1; k < head + headDim; k++) addScaled(row(i), -factor(k), row(k));
    const diagonal = factor(i);
    for (let j = 0; j < columns; j++) row(i)[j] = (row(i)[j] as number) / diagonal;
  }
  for (let i = 0; i < rows; i++) {
    // right is lower triangular: from the last column down.
    for (let j = columns - 1; j >= 0; j--) {
      const value = (row(i)[j] as number) / (right[j * columns + j] as number);
      addScaled(row(i).subarray(0, j), -value, right.subarray(j * columns, j * columns + j));
      row(i)[j] = value;
    }
    if (i % ROWS_AT_ONCE === 0) await yieldToEventLoop();
  }
  return { shape, data: z };
}

/** Factors of Z as factors of ΔW: of the same rank. */
export function factorsFrom(
  { shape, loraA, loraB }: LowRankDelta,
  { left, headDim, right }: Whitening,
): LowRankDelta {
  const [rows, columns] = shape;
  const rank = loraB.length / rows;
  const a = new Float64Array(loraA.length);
  const b = new Float64Array(loraB.length);
  for (let r = 0; r < rank; r++) {
    const of = a.subarray(r * columns, (r + 1) * columns);
    for (let j = 0; j < columns; j++) {
      const from = right.subarray(j * columns, j * columns + j + 1);
      addScaled(of.subarray(0, j + 1), loraA[r * columns + j] as number, from);
    }
  }
  for (let j = 0; j < rows; j++) {
    const from = loraB.subarray(j * rank, (j + 1) * rank);
    for (let k = j - (j % headDim); k <= j; k++) {
      const factor = left[j * headDim + (k % headDim)] as number;
      addScaled(b.subarray(k * rank, (k + 1) * rank), factor, from);
    }
  }
  return { shape, loraA: Float32Array.from(a), loraB: Float32Array.from(b) };
}

function addScaled(to: Float64Array, factor: number, from: Float64Array | Float32Array): void {
  for (let j = 0; j < to.length; j++) to[j] = (to[j] as number) + factor * (from[j] as number);
}
