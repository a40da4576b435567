import { describe, expect, it } from 'vitest';
import { createRandom, philox } from '../../src/base/random.ts';
import { fc } from '../property.ts';

describe('philox', () => {
  // Source: kat_vectors of the Random123 distribution, philox4x32 10.
  it.each([
    [
      '00000000 00000000 00000000 00000000',
      '00000000 00000000',
      '6627e8d5 e169c58d bc57ac4c 9b00dbd8',
    ],
    [
      'ffffffff ffffffff ffffffff ffffffff',
      'ffffffff ffffffff',
      '408f276d 41c83b0e a20bc7c6 6d5451fd',
    ],
    [
      '243f6a88 85a308d3 13198a2e 03707344',
      'a4093822 299f31d0',
      'd16cfe09 94fdcceb 5001e420 24126ea1',
    ],
  ])('gives the published words for %s', (counter, key, expected) => {
    const words = Uint32Array.from(counter.split(' '), (word) => Number.parseInt(word, 16));
    const [key0, key1] = key.split(' ').map((word) => Number.parseInt(word, 16)) as [
      number,
      number,
    ];
    philox(words, key0, key1);
    expect([...words].map((word) => word.toString(16).padStart(8, '0')).join(' ')).toBe(expected);
  });
});

describe('a stream', () => {
  it('repeats under the same seed and differs under another', () => {
    const take = (seed: number | string) => {
      const random = createRandom(seed);
      return Array.from({ length: 8 }, () => random.uint32());
    };
    expect(take(7)).toEqual(take(7));
    expect(take(7)).not.toEqual(take(8));
    expect(take(7)).not.toEqual(take('7'));
  });

  it('stays what it was for ever: nights on disk depend on it', () => {
    const random = createRandom(1);
    expect([random.uint32(), random.uint32(), random.uniform(), random.int(10)]).toEqual(GOLDEN);
  });

  it('splits into streams that do not depend on what was drawn', () => {
    const one = createRandom(1);
    const two = createRandom(1);
    two.uint32();
    two.gaussian();
    expect(one.split('dream').uint32()).toBe(two.split('dream').uint32());
    expect(one.split('dream').uint32()).not.toBe(one.split('night').uint32());
    expect(one.split(1).uint32()).not.toBe(one.split('1').uint32());
    expect(one.split('a').split('b').uint32()).not.toBe(one.split('b').split('a').uint32());
  });

  it('gives random access that neither moves nor meets the stream', () => {
    const random = createRandom(3);
    const at = [0, 1, 2, 2 ** 40].map((counter) => random.uniformAt(counter));
    expect(new Set(at).size).toBe(4);
    expect([0, 1, 2, 2 ** 40].map((counter) => random.uniformAt(counter))).toEqual(at);
    expect(random.uint32()).toBe(createRandom(3).uint32());
    expect(createRandom(3).uniform()).not.toBe(at[0]);
  });

  it('refuses bounds, counters and seeds that make no sense', () => {
    const random = createRandom(0);
    for (const below of [0, -1, 1.5, 2 ** 33, Number.NaN]) {
      expect(() => random.int(below)).toThrow(RangeError);
    }
    expect(() => random.uniformAt(-1)).toThrow(RangeError);
    expect(() => random.uniformAt(0.5)).toThrow(RangeError);
    expect(() => random.pick([])).toThrow(RangeError);
    expect(() => random.weightedIndex([0, 0])).toThrow(RangeError);
    expect(() => createRandom(Number.NaN)).toThrow(RangeError);
  });
});

describe('distributions', () => {
  const N = 200_000;

  it('spreads whole numbers evenly (chi-square, 99 degrees of freedom)', () => {
    const random = createRandom('even');
    const counts = new Float64Array(100);
    for (let i = 0; i < N; i++) {
      const bucket = random.int(100);
      counts[bucket] = (counts[bucket] as number) + 1;
    }
    const expected = N / 100;
    const chi = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    expect(chi).toBeGreaterThan(50);
    expect(chi).toBeLessThan(160);
  });

  it('draws normals with mean 0, variance 1, no skew and a kurtosis of 3', () => {
    const values = createRandom('normal').fillGaussian(new Float32Array(N));
    const moment = (power: number) => values.reduce((sum, value) => sum + value ** power, 0) / N;
    expect(moment(1)).toBeCloseTo(0, 1.9);
    expect(moment(2)).toBeCloseTo(1, 1.5);
    expect(Math.abs(moment(3))).toBeLessThan(0.03);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.1);
    let lagged = 0;
    for (let i = 1; i < N; i++) lagged += (values[i] as number) * (values[i - 1] as number);
    expect(Math.abs(lagged / N)).toBeLessThan(0.01);
  });

  it('draws by weight and never what weighs nothing', () => {
    const random = createRandom('weights');
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 40_000; i++) {
      const index = random.weightedIndex([1, 0, 3, 0]);
      counts[index] = (counts[index] as number) + 1;
    }
    expect(counts[1]).toBe(0);
    expect(counts[3]).toBe(0);
    expect((counts[2] as number) / 40_000).toBeCloseTo(0.75, 1.9);
  });

  it('shuffles every order about equally often', () => {
    const random = createRandom('shuffle');
    const counts = new Map<string, number>();
    for (let i = 0; i < 24_000; i++) {
      const order = random.shuffle(['a', 'b', 'c', 'd']).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  it('keeps every draw in its range', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 2 ** 32 }), (seed, below) => {
        const random = createRandom(seed);
        const uniform = random.uniform();
        const whole = random.int(below);
        return uniform >= 0 && uniform < 1 && whole >= 0 && whole < below;
      }),
    );
  });
});

const GOLDEN = [1818860554, 3512144059, 0.7944026461254652, 6];
