import { describe, expect, it } from 'vitest';
import { widenBfloat16, widenFloat16 } from '../../src/base/half-precision.ts';

describe('half-precision numbers', () => {
  it.each([
    ['zero', 0x0000, 0],
    ['minus zero', 0x8000, -0],
    ['one', 0x3c00, 1],
    ['the smallest subnormal', 0x0001, 2 ** -24],
    ['the largest subnormal, negative', 0x83ff, -1023 * 2 ** -24],
    ['the smallest normal', 0x0400, 2 ** -14],
    ['the largest', 0x7bff, 65504],
    ['infinity', 0x7c00, Number.POSITIVE_INFINITY],
    ['minus infinity', 0xfc00, Number.NEGATIVE_INFINITY],
    ['not a number', 0x7e00, Number.NaN],
    ['a third', 0x3555, 0.333251953125],
  ])('widen %s of binary16 exactly', (_, bits, value) => {
    expect(widenFloat16(Uint16Array.of(bits))[0]).toBe(value);
  });

  it('widen bfloat16 as the upper half of an f32', () => {
    const upper = Uint16Array.of(0x3f80, 0xc020, 0x8000, 0x0001, 0x7f80);
    const values = [1, -2.5, -0, 2 ** -133, Number.POSITIVE_INFINITY];
    expect([...widenBfloat16(upper)]).toEqual(values);
  });
});
