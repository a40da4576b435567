import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { canonicalJson, sha256, sha256File, sha256Json } from '../../src/base/hash.ts';
import { fc } from '../property.ts';

it('hashes text as the standard says', () => {
  // Source: FIPS 180-2, appendix B.1.
  expect(sha256('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});

it('hashes a file of several pieces like its bytes', async () => {
  const path = join(await mkdtemp(join(tmpdir(), 'attune-hash-')), 'file');
  const bytes = Buffer.alloc(2_500_000, 'attune');
  await writeFile(path, bytes);
  expect(await sha256File(path)).toBe(sha256(bytes));
});

it('gives values the same text whatever the order of their keys', () => {
  expect(canonicalJson({ b: [1, { d: null, c: 'x' }], a: undefined })).toBe(
    '{"b":[1,{"c":"x","d":null}]}',
  );
  expect(sha256Json({ a: 1, b: 2 })).toBe(sha256Json({ b: 2, a: 1 }));
  expect(sha256Json([1, 2])).not.toBe(sha256Json([2, 1]));
});

it('reads back as what it was', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});

it('refuses what JSON cannot hold', () => {
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  for (const value of [
    Number.NaN,
    Number.POSITIVE_INFINITY,
    () => 1,
    1n,
    { a: Symbol('s') },
    cycle,
  ]) {
    expect(() => canonicalJson(value)).toThrow(TypeError);
  }
  const twice = { a: 1 };
  expect(canonicalJson([twice, twice])).toBe('[{"a":1},{"a":1}]');
});
