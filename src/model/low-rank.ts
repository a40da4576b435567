// A matrix as a product of two thin ones: a truncated singular value decomposition in plain f64.
import { yieldToEventLoop } from '../base/clock.ts';
import { createRandom, type Random } from '../base/random.ts';
import type { LowRankDelta } from './delta.ts';

/** Row-major (rows, columns). */
export interface Matrix {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array;
}

/** `U diag(σ) Vᵀ`, largest σ first. The vectors of U (rows) and V (columns) are orthonormal. */
export interface SingularVectors {
  readonly shape: readonly [number, number];
  readonly left: readonly Float64Array[];
  readonly values: readonly number[];
  readonly right: readonly Float64Array[];
}

/** Source: Halko, Martinsson, Tropp, arXiv:0909.4061, section 5.4: 5 to 10 are enough. */
const OVERSAMPLING = 8;
const ITERATIONS = 3;
const SEED = 'low-rank';

/**
 * The first `rank` singular values and vectors, by randomised subspace iteration; the same on each
 * call. What is left out is within a few parts in a thousand of the least that can be left out.
 * Source: Halko, Martinsson, Tropp, arXiv:0909.4061, algorithm 4.4.
 */
export async function singularVectors(matrix: Matrix, rank: number): Promise<SingularVectors> {
  const [rows, columns] = matrix.shape as [number, number];
  const wide = Math.min(rank + OVERSAMPLING, rows, columns);
  const random = createRandom(SEED);
  let right = Array.from({ length: wide }, () => gaussian(columns, random));
  let left: Float64Array[] = [];
  for (let i = 0; ; i++) {
    left = orthonormal(await times(matrix, right));
    right = await transposedTimes(matrix, left);
    if (i === ITERATIONS) break;
    right = orthonormal(right);
  }
  // matrix ≈ left · rightᵀ, and the small Gram matrix of `right` turns both.
  const { values, vectors } = symmetricEigen(right.map((a) => right.map((b) => dot(a, b))));
  const order = values
    .map((_, i) => i)
    .sort((a, b) => (values[b] as number) - (values[a] as number));
  const kept = order.slice(0, Math.min(rank, wide));
  const sigma = kept.map((i) => Math.sqrt(Math.max(0, values[i] as number)));
  return {
    shape: [rows, columns],
    values: sigma,
    left: kept.map((i) => combined(left, vectors[i] as Float64Array, 1)),
    right: kept.map((i, at) => combined(right, vectors[i] as Float64Array, sigma[at] || 1)),
  };
}

/** The best product of that rank, each factor with the root of the singular values. */
export function factorsOf(
  { shape, left, values, right }: SingularVectors,
  rank: number,
): LowRankDelta {
  const [out, width] = shape;
  const loraA = new Float32Array(rank * width);
  const loraB = new Float32Array(out * rank);
  for (let r = 0; r < Math.min(rank, values.length); r++) {
    const root = Math.sqrt(values[r] as number);
    for (let i = 0; i < width; i++)
      loraA[r * width + i] = root * ((right[r] as Float64Array)[i] as number);
    for (let i = 0; i < out; i++)
      loraB[i * rank + r] = root * ((left[r] as Float64Array)[i] as number);
  }
  return { shape, loraA, loraB };
}

/** Where factors of a matrix take as many bytes as the matrix. */
export function denseRank([out = 0, width = 0]: readonly number[]): number {
  return Math.ceil((out * width) / (out + width));
}

function gaussian(length: number, random: Random): Float64Array {
  return Float64Array.from({ length }, () => random.gaussian());
}

/** M·x of each vector: (rows). */
async function times({ shape, data }: Matrix, vectors: readonly Float64Array[]) {
  const [rows = 0, columns = 0] = shape;
  const result: Float64Array[] = [];
  for (const vector of vectors) {
    const product = new Float64Array(rows);
    for (let row = 0; row < rows; row++) {
      const from = row * columns;
      let [a, b, c, d] = [0, 0, 0, 0];
      let i = 0;
      // Four sums, so that no addition waits for the one before.
      for (; i + 3 < columns; i += 4) {
        a += (data[from + i] as number) * (vector[i] as number);
        b += (data[from + i + 1] as number) * (vector[i + 1] as number);
        c += (data[from + i + 2] as number) * (vector[i + 2] as number);
        d += (data[from + i + 3] as number) * (vector[i + 3] as number);
      }
      for (; i < columns; i++) a += (data[from + i] as number) * (vector[i] as number);
      product[row] = a + b + c + d;
    }
    result.push(product);
    await yieldToEventLoop();
  }
  return result;
}

/** Mᵀ·x of each vector: (columns). */
async function transposedTimes({ shape, data }: Matrix, vectors: readonly Float64Array[]) {
  const [rows = 0, columns = 0] = shape;
  const result: Float64Array[] = [];
  for (const vector of vectors) {
    const product = new Float64Array(columns);
    for (let row = 0; row < rows; row++) {
      const [from, by] = [row * columns, vector[row] as number];
      for (let i = 0; i < columns; i++) (product[i] as number) += by * (data[from + i] as number);
    }
    result.push(product);
    await yieldToEventLoop();
  }
  return result;
}

function dot(a: Float64Array, b: Float64Array): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += (a[i] as number) * (b[i] as number);
  return total;
}

/** Gram-Schmidt, twice over; what depends on the vectors before becomes zeros. */
function orthonormal(vectors: readonly Float64Array[]): Float64Array[] {
  const basis: Float64Array[] = [];
  for (const vector of vectors) {
    const before = Math.sqrt(dot(vector, vector));
    for (const other of [...basis, ...basis]) subtract(vector, other, dot(vector, other));
    const norm = Math.sqrt(dot(vector, vector));
    const scale = norm > before * 1e-12 ? 1 / norm : 0;
    for (let i = 0; i < vector.length; i++) (vector[i] as number) *= scale;
    basis.push(vector);
  }
  return basis;
}

function subtract(from: Float64Array, other: Float64Array, by: number): void {
  for (let i = 0; i < from.length; i++) (from[i] as number) -= by * (other[i] as number);
}

/** Σ weight_i · vector_i ÷ by. */
function combined(
  vectors: readonly Float64Array[],
  weights: Float64Array,
  by: number,
): Float64Array {
  const sum = new Float64Array(vectors[0]?.length ?? 0);
  for (const [i, vector] of vectors.entries()) subtract(sum, vector, -(weights[i] as number) / by);
  return sum;
}

const SWEEPS_MAX = 30;
const CONVERGED = 1e-14;

/**
 * Eigenvalues and orthonormal eigenvectors of a small symmetric matrix, by Jacobi rotations.
 * Source: Golub, Van Loan, Matrix Computations, 4th edition, section 8.5.
 */
function symmetricEigen(rows: readonly (readonly number[])[]): {
  values: number[];
  vectors: Float64Array[];
} {
  const a = rows.map((row) => Float64Array.from(row));
  const vectors = rows.map((_, i) => Float64Array.from(rows, (__, j) => Number(i === j)));
  const size = rows.length;
  const scale = Math.sqrt(a.reduce((total, row) => total + dot(row, row), 0));
  for (let sweep = 0; sweep < SWEEPS_MAX; sweep++) {
    let off = 0;
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        const [rowP, rowQ] = [a[p] as Float64Array, a[q] as Float64Array];
        const apq = rowP[q] as number;
        off = Math.max(off, Math.abs(apq));
        if (Math.abs(apq) <= CONVERGED * scale) continue;
        const theta = ((rowQ[q] as number) - (rowP[p] as number)) / (2 * apq);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const cosine = 1 / Math.sqrt(t * t + 1);
        for (const row of a) rotate(row, p, q, cosine, t * cosine);
        rotateRows(rowP, rowQ, cosine, t * cosine);
        rotateRows(vectors[p] as Float64Array, vectors[q] as Float64Array, cosine, t * cosine);
      }
    }
    if (off <= CONVERGED * scale) break;
  }
  return { values: a.map((row, i) => row[i] as number), vectors };
}

/** Two entries of a row: a column rotation. */
function rotate(row: Float64Array, p: number, q: number, cosine: number, sine: number): void {
  const [x, y] = [row[p] as number, row[q] as number];
  row[p] = cosine * x - sine * y;
  row[q] = sine * x + cosine * y;
}

function rotateRows(one: Float64Array, other: Float64Array, cosine: number, sine: number): void {
  for (let i = 0; i < one.length; i++) {
    const [x, y] = [one[i] as number, other[i] as number];
    one[i] = cosine * x - sine * y;
    other[i] = sine * x + cosine * y;
  }
}
