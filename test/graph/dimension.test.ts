// Arithmetic of symbolic sizes: canonical text, equal exactly when equal for every size.
import { describe, expect, it } from 'vitest';
import {
  type Dimension,
  evaluate,
  product,
  sum,
  symbolsOf,
  termsOf,
} from '../../src/graph/dimension.ts';
import { fc } from '../property.ts';

const NAMES = ['batch', 'length', 'past', 'p2'];

type Sizes = ReadonlyMap<string, number>;

/** A dimension built by any sums and products, with the function that it should be. */
interface Built {
  readonly dimension: Dimension;
  at(sizes: Sizes): number;
}

const leaf: fc.Arbitrary<Built> = fc.oneof(
  fc.nat(9).map((value) => ({ dimension: value, at: () => value })),
  fc
    .constantFrom(...NAMES)
    .map((name) => ({ dimension: name, at: (sizes: Sizes) => sizes.get(name) as number })),
);

const built: fc.Arbitrary<Built> = fc.letrec<{ node: Built }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small' },
    leaf,
    fc.tuple(tie('node'), tie('node')).map(([a, b]) => ({
      dimension: sum(a.dimension, b.dimension),
      at: (sizes: Sizes) => a.at(sizes) + b.at(sizes),
    })),
    fc.tuple(tie('node'), tie('node')).map(([a, b]) => ({
      dimension: product(a.dimension, b.dimension),
      at: (sizes: Sizes) => a.at(sizes) * b.at(sizes),
    })),
  ),
})).node;

const sizes = fc
  .tuple(...NAMES.map(() => fc.nat(50)))
  .map((values) => new Map(NAMES.map((name, i) => [name, values[i] as number])));

describe('a dimension', () => {
  it('has the value of the sums and products that it was built by', () => {
    fc.assert(
      fc.property(built, sizes, ({ dimension, at }, bound) => {
        expect(evaluate(dimension, bound)).toBe(at(bound));
      }),
    );
  });

  it('is the same text in whatever order it was built', () => {
    fc.assert(
      fc.property(built, built, built, (a, b, c) => {
        const [x, y, z] = [a.dimension, b.dimension, c.dimension];
        expect(sum(x, y)).toBe(sum(y, x));
        expect(product(x, y)).toBe(product(y, x));
        expect(sum(sum(x, y), z)).toBe(sum(x, sum(y, z)));
        expect(product(product(x, y), z)).toBe(product(x, product(y, z)));
        expect(product(x, sum(y, z))).toBe(sum(product(x, y), product(x, z)));
      }),
    );
  });

  it('has one text for equal polynomials and different texts for different ones', () => {
    // Sizes far apart tell any two polynomials of this depth from each other.
    const apart = new Map(NAMES.map((name, i) => [name, 10_007 * 97 ** i]));
    fc.assert(
      fc.property(built, built, (a, b) => {
        fc.pre([a, b].every(({ at }) => Number.isSafeInteger(at(apart))));
        expect(a.dimension === b.dimension).toBe(a.at(apart) === b.at(apart));
      }),
    );
  });

  it('is read back from its own text', () => {
    fc.assert(
      fc.property(built, ({ dimension }) => {
        expect(sum(dimension)).toBe(dimension);
        const terms = termsOf(dimension).map(({ coefficient, symbols }) =>
          product(coefficient, ...symbols),
        );
        expect(sum(0, ...terms)).toBe(dimension);
      }),
    );
  });

  it('is a number as soon as no symbol is left in it', () => {
    expect(sum(2, 3)).toBe(5);
    expect(product('batch', 0)).toBe(0);
    expect(sum(product('batch', 0), 4)).toBe(4);
    expect(product()).toBe(1);
    expect(sum()).toBe(0);
  });

  it('is written biggest names first by the alphabet, the number last', () => {
    expect(sum(1, 'past', 'length')).toBe('length + past + 1');
    expect(sum(product('past', 2, 'batch'), 'batch')).toBe('batch + 2*batch*past');
    expect(sum('past + length')).toBe('length + past');
  });

  it('names its symbols once each', () => {
    expect(symbolsOf(product('a', sum('b', 'a'), 3)).sort()).toEqual(['a', 'b']);
    expect(symbolsOf(7)).toEqual([]);
  });

  it('has no value while a symbol has no size', () => {
    expect(() => evaluate('length + past', new Map([['length', 3]]))).toThrow(/"past"/);
  });
});
