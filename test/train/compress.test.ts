import { expect, it } from 'vitest';
import { isLowRank, rankOf } from '../../src/model/delta.ts';
import { compress } from '../../src/train/compress.ts';

const SIZE = 48;
/** A diagonal matrix has its entries for singular values. */
const diagonal = (values: readonly number[]) => {
  const data = new Float32Array(SIZE * SIZE);
  for (const [i, value] of values.entries()) data[i * (SIZE + 1)] = value;
  return { dtype: 'f32' as const, shape: [SIZE, SIZE], data };
};

/** In which coordinates are the matrix itself. */
const none = (() => {
  const identity = new Float32Array(SIZE * SIZE);
  for (let i = 0; i < SIZE; i++) identity[i * (SIZE + 1)] = 1;
  return () => ({ left: identity, headDim: SIZE, right: identity });
})();

type Tensors = Awaited<ReturnType<typeof compress>>['tensors'];
const rankIn = (tensors: Tensors): number => {
  const [tensor] = Object.values(tensors);
  return tensor !== undefined && isLowRank(tensor) ? rankOf(tensor) : Number.NaN;
};

const delta = { 'layers.0.qProj': diagonal(Array.from({ length: SIZE }, (_, i) => SIZE - i)) };

it.each([1, 2, 7, 15, 16, 17, 23])(
  'takes the smallest rank that loses little enough: %i',
  async (needed) => {
    const tried: number[] = [];
    const lost = async (tensors: Tensors): Promise<number> => {
      tried.push(rankIn(tensors));
      return rankIn(tensors) >= needed ? 0.0199 : 0.02;
    };
    const found = await compress(delta, lost, none);
    expect([found.rank, rankIn(found.tensors), found.lostShare]).toEqual([needed, needed, 0.0199]);
    expect(new Set(tried).size).toBe(tried.length);
  },
);

it('stays dense where factors would take as much room', async () => {
  const found = await compress(delta, async (some) => (rankIn(some) >= 24 ? 0 : 1), none);
  expect(found).toEqual({ tensors: delta, rank: null, lostShare: 0 });
});

it('gives every matrix the same rank', async () => {
  const two = { ...delta, 'layers.1.qProj': diagonal([5]) };
  const { tensors } = await compress(two, async (cut) => (rankIn(cut) >= 3 ? 0 : 1), none);
  expect(Object.values(tensors).map((one) => isLowRank(one) && rankOf(one))).toEqual([3, 3]);
});
