// Every readable type gives the reference's bits; every known type has the reference's size.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { READABLE_TYPES, typeNamed, typeOf } from '../../src/gguf/block-type.ts';

interface Fixture {
  readonly sizes: Readonly<Record<string, readonly [number, number, number]>>;
  readonly cases: Readonly<Record<string, { readonly blocks: string; readonly values: string }>>;
}

const fixture: Fixture = JSON.parse(
  readFileSync(new URL('../fixtures/gguf/blocks.json', import.meta.url), 'utf8'),
);

/** Bits of f32 values; all NaN are one. */
const bits = (values: Float32Array): number[] =>
  [...new Uint32Array(values.buffer)].map((bit, i) => (Number.isNaN(values[i]) ? -1 : bit));

it.each(Object.entries(fixture.cases))(
  'dequantizes random %s blocks bit for bit',
  (name, given) => {
    const blocks = Buffer.from(given.blocks, 'base64');
    const expected = new Float32Array(Uint8Array.from(Buffer.from(given.values, 'base64')).buffer);
    const values = new Float32Array(expected.length);
    typeNamed(name)?.dequantize?.(blocks, values);
    expect(bits(values)).toEqual(bits(expected));
  },
);

it('reads every type that the fixture has, and no other', () => {
  expect([...READABLE_TYPES].sort()).toEqual(Object.keys(fixture.cases).sort());
});

it('knows the size of every type of the reference', () => {
  for (const [name, [id, blockElements, blockBytes]] of Object.entries(fixture.sizes)) {
    expect(typeOf(id)).toMatchObject({ name, blockElements, blockBytes });
  }
});
