// Seeded random numbers, counter-based and splittable: the same seed and labels repeat everything.
import { createHash } from 'node:crypto';

/**
 * A stream of numbers. Streams split by different labels are independent, and splitting does not
 * move the parent: who draws how much elsewhere never changes what this stream gives.
 */
export interface Random {
  /** Whole number in [0, 2^32). */
  uint32(): number;
  /** [0, 1), 53 bits. */
  uniform(): number;
  /** Whole number in [0, below), without modulo bias; `below` in 1 … 2^32. */
  int(below: number): number;
  /** Standard normal (Box-Muller). */
  gaussian(): number;
  pick<T>(items: readonly T[]): T;
  /** A shuffled copy (Fisher-Yates). */
  shuffle<T>(items: readonly T[]): T[];
  /** An index drawn with probability weight / sum of weights. Weights ≥ 0, sum > 0. */
  weightedIndex(weights: ArrayLike<number>): number;
  /** Fills with standard normals times `scale`; returns the array. */
  fillGaussian(out: Float32Array, scale?: number): Float32Array;
  /** An independent stream. The same label always gives the same one. */
  split(label: string | number): Random;
  /** [0, 1) at a position of its own, apart from the stream: random access, no state. */
  uniformAt(counter: number): number;
}

const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const ROUNDS = 10;

/** High 32 bits of the unsigned product a * b. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  return aHigh * bHigh + Math.floor(middle / 65536) + (((middle & 0xffff) + aLow * bHigh) >>> 16);
}

/**
 * Philox4x32-10: four random words from a 128-bit counter under a 64-bit key.
 * Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 *
 * @param words counter in, random words out (4)
 */
export function philox(words: Uint32Array, key0: number, key1: number): void {
  let [c0 = 0, c1 = 0, c2 = 0, c3 = 0] = words;
  let k0 = key0 >>> 0;
  let k1 = key1 >>> 0;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

/** 53 bits of two words as [0, 1). */
function toUniform(high: number, low: number): number {
  return ((high >>> 5) * 67108864 + (low >>> 6)) / 9007199254740992;
}

function deriveKey(parent: string, label: string): string {
  return createHash('sha256').update(`${parent}\u0000${label}`, 'utf8').digest('hex');
}

function draws(uint32: () => number): Omit<Random, 'split' | 'uniformAt'> {
  const uniform = (): number => {
    const high = uint32();
    return toUniform(high, uint32());
  };
  const int = (below: number): number => {
    if (!Number.isInteger(below) || below < 1 || below > 2 ** 32) {
      throw new RangeError(`random: int(${below}) needs a whole number in 1 … 2^32`);
    }
    const limit = 2 ** 32 - (2 ** 32 % below);
    for (;;) {
      const word = uint32();
      if (word < limit) return word % below;
    }
  };
  // Both halves of a pair are used, but by the same stream, so the order of calls decides alone.
  let spare: number | undefined;
  const gaussian = (): number => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
  return {
    uint32,
    uniform,
    int,
    gaussian,
    pick(items) {
      if (items.length === 0) throw new RangeError('random: pick from an empty list');
      return items[int(items.length)] as (typeof items)[number];
    },
    shuffle(items) {
      const copy = items.slice();
      for (let i = copy.length - 1; i > 0; i--) {
        const j = int(i + 1);
        [copy[i], copy[j]] = [copy[j] as (typeof copy)[number], copy[i] as (typeof copy)[number]];
      }
      return copy;
    },
    weightedIndex(weights) {
      let total = 0;
      for (let i = 0; i < weights.length; i++) total += weights[i] as number;
      if (!(total > 0)) throw new RangeError('random: the weights have no positive sum');
      let rest = uniform() * total;
      let last = 0;
      for (let i = 0; i < weights.length; i++) {
        const weight = weights[i] as number;
        if (weight <= 0) continue;
        last = i;
        rest -= weight;
        if (rest < 0) return i;
      }
      return last;
    },
    fillGaussian(out, scale = 1) {
      for (let i = 0; i < out.length; i++) out[i] = gaussian() * scale;
      return out;
    },
  };
}

function fromKey(key: string): Random {
  const key0 = Number.parseInt(key.slice(0, 8), 16);
  const key1 = Number.parseInt(key.slice(8, 16), 16);
  const words = new Uint32Array(4);
  const atWords = new Uint32Array(4);
  let block = 0;
  let used = 4;
  const fill = (into: Uint32Array, counter: number, domain: number): void => {
    into[0] = counter >>> 0;
    into[1] = Math.floor(counter / 2 ** 32);
    into[2] = domain;
    into[3] = 0;
    philox(into, key0, key1);
  };
  const uint32 = (): number => {
    if (used === 4) {
      fill(words, block++, 0);
      used = 0;
    }
    return words[used++] as number;
  };
  return {
    ...draws(uint32),
    split: (label) => fromKey(deriveKey(key, `${typeof label}:${label}`)),
    uniformAt(counter) {
      if (!Number.isSafeInteger(counter) || counter < 0) {
        throw new RangeError(`random: uniformAt(${counter}) needs a whole number ≥ 0`);
      }
      fill(atWords, counter, 1);
      return toUniform(atWords[0] as number, atWords[1] as number);
    },
  };
}

/** The stream of a seed. Seeds 1 and '1' differ. */
export function createRandom(seed: number | string): Random {
  if (typeof seed === 'number' && !Number.isFinite(seed)) {
    throw new RangeError(`random: the seed must be finite, got ${seed}`);
  }
  return fromKey(deriveKey('attune', `${typeof seed}:${seed}`));
}
