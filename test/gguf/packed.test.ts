// Packed blocks hold the very values of the reference dequantiser.
import { describe, expect, it } from 'vitest';
import { type GgufType, typeNamed } from '../../src/gguf/block-type.ts';
import { type PackedForm, packBlocks, packedFormOf } from '../../src/gguf/packed.ts';
import { QUANTISED, randomBlocks } from './random-blocks.ts';

/** `scale · (code − 2^(bits − 1)) + minimum`, rounded to f32 once. */
function valuesOf(name: string, blocks: Uint8Array): Float32Array {
  const type = typeNamed(name) as GgufType;
  const { bits, groupElements, hasMinima } = packedFormOf(type) as PackedForm;
  const { codes, scales, minima } = packBlocks(type, blocks);
  return Float32Array.from({ length: scales.length * groupElements }, (_, i) => {
    const byte = codes[bits === 4 ? i >> 1 : i] as number;
    const code = bits === 4 ? (byte >> (4 * (i & 1))) & 15 : byte;
    const group = Math.floor(i / groupElements);
    const value = (scales[group] as number) * (code - 2 ** (bits - 1));
    return hasMinima ? value + (minima[group] as number) : value;
  });
}

describe.each(QUANTISED)('%s', (name) => {
  it('is packed without a bit of difference', () => {
    const blocks = randomBlocks(name, 4096);
    const wanted = new Float32Array(4096);
    typeNamed(name)?.dequantize?.(blocks, wanted);
    expect(new Set(wanted).size).toBeGreaterThan(100);
    expect(valuesOf(name, blocks)).toEqual(wanted);
  });
});

it('has no form for plain numbers', () => {
  expect(packedFormOf(typeNamed('BF16'))).toBeUndefined();
  expect(packedFormOf(undefined)).toBeUndefined();
});
