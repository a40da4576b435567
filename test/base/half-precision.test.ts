import { describe, expect, it } from 'vitest';
import { narrowFloat16, widenBfloat16, widenFloat16 } from '../../src/base/half-precision.ts';

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

  it('come back from f32 as they were, all of them', () => {
    const all = Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits);
    const back = narrowFloat16(widenFloat16(all));
    const isNotANumber = (bits: number): boolean => (bits & 0x7fff) > 0x7c00;
    const differ = all.filter(
      (bits) => !(isNotANumber(bits) && isNotANumber(back[bits] ?? 0)) && back[bits] !== bits,
    );
    expect([...differ]).toEqual([]);
  });

  it.each([
    ['a tie to the even neighbour below', 1 + 2 ** -11, 0x3c00],
    ['a tie to the even neighbour above', 1 + 3 * 2 ** -11, 0x3c02],
    ['more than a tie up', 1 + 2 ** -11 + 2 ** -20, 0x3c01],
    ['up into the next exponent', 2 - 2 ** -12, 0x4000],
    ['a subnormal, a tie to even', 1.5 * 2 ** -24, 0x0002],
    ['what is less than half of the smallest to zero, with its sign', -(2 ** -26), 0x8000],
    ['what is just below the largest but one step', 65519, 0x7bff],
    ['what is too large to infinity', 65520, 0x7c00],
  ])('are rounded from f32: %s', (_, value, bits) => {
    expect(narrowFloat16(Float32Array.of(value))[0]).toBe(bits);
  });
});
