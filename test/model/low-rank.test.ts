import { expect, it } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import { denseRank, factorsOf, singularVectors } from '../../src/model/low-rank.ts';
import { denseOf } from './dense.ts';

const gaussian = (length: number, seed: string): Float32Array =>
  createRandom(seed).fillGaussian(new Float32Array(length));

/** A (rows, columns) matrix with these singular values: Hadamard's rows are orthogonal. */
function withValues(values: readonly number[], rows: number, columns: number) {
  const sign = (i: number, j: number): number => {
    let bits = i & j;
    let odd = 0;
    for (; bits > 0; bits >>= 1) odd ^= bits & 1;
    return odd === 0 ? 1 : -1;
  };
  const data = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const terms = values.map((value, k) => value * sign(i, k) * sign(j, k + 1));
      const total = terms.reduce((sum, term) => sum + term, 0);
      data[i * columns + j] = total / Math.sqrt(rows * columns);
    }
  }
  return { shape: [rows, columns], data };
}

const norm = (values: ArrayLike<number>): number =>
  Math.sqrt(Array.from(values, (v) => v * v).reduce((a, b) => a + b, 0));

it('finds the singular values of a matrix whose own are known, in order', async () => {
  const known = [9, 5, 4.9, 1, 0.1, 0.01];
  for (const [rows, columns] of [
    [64, 128],
    [128, 64],
  ] as const) {
    const { values } = await singularVectors(withValues(known, rows, columns), 6);
    for (const [i, value] of known.entries()) expect(values[i]).toBeCloseTo(value, 4);
  }
});

it('gives orthonormal vectors on both sides', async () => {
  const matrix = { shape: [40, 30], data: gaussian(1200, 'm') };
  const { left, right } = await singularVectors(matrix, 10);
  for (const side of [left, right]) {
    for (const [i, a] of side.entries()) {
      for (const [j, b] of side.entries()) {
        const product = a.reduce((sum, value, k) => sum + value * (b[k] as number), 0);
        expect(product).toBeCloseTo(Number(i === j), 9);
      }
    }
  }
});

it('cuts off hardly more than what has to be cut off, where no value stands out', async () => {
  const matrix = { shape: [60, 50], data: gaussian(3000, 'flat') };
  const all = (await singularVectors(matrix, 50)).values;
  expect(norm(all)).toBeCloseTo(norm(matrix.data), 3);
  const cut = await denseOf(factorsOf(await singularVectors(matrix, 12), 12));
  const rest = norm(matrix.data.map((value, i) => value - (cut[i] as number)));
  const least = norm(all.slice(12));
  expect(rest).toBeGreaterThan(0.999 * least);
  expect(rest).toBeLessThan(1.01 * least);
});

it('of its full rank is the matrix, and of a matrix of lower rank is that', async () => {
  const matrix = { shape: [12, 20], data: gaussian(240, 'whole') };
  const whole = await denseOf(factorsOf(await singularVectors(matrix, 12), 12));
  for (const [i, value] of matrix.data.entries()) expect(whole[i]).toBeCloseTo(value, 5);
  const thin = withValues([3, 2], 16, 16);
  const { values } = await singularVectors(thin, 8);
  expect(values.slice(2).every((value) => value < 1e-6)).toBe(true);
  const again = await denseOf(factorsOf(await singularVectors(thin, 8), 8));
  for (const [i, value] of thin.data.entries()) expect(again[i]).toBeCloseTo(value, 5);
});

it('repeats to the last bit, and keeps rows of zeros', async () => {
  const data = gaussian(600, 'rows').fill(0, 0, 200);
  const factors = async () => factorsOf(await singularVectors({ shape: [30, 20], data }, 4), 4);
  const once = await factors();
  expect(await factors()).toEqual(once);
  expect((await denseOf(once)).subarray(0, 200).every((value) => value === 0)).toBe(true);
});

it('of zeros is zeros', async () => {
  const zeros = { shape: [8, 8], data: new Float32Array(64) };
  const cut = await denseOf(factorsOf(await singularVectors(zeros, 3), 3));
  expect([...cut]).toEqual([...zeros.data]);
});

it('knows from which rank on factors take as many bytes as the matrix', () => {
  expect(denseRank([576, 576])).toBe(288);
  expect(denseRank([4096, 1024])).toBe(820);
});
