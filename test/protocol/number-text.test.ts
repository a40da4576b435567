import { describe, expect, it } from 'vitest';
import { fixed, interval, percent, pText, range, signed } from '../../src/protocol/number-text.ts';

describe('a number as text', () => {
  it.each([
    [0.12, '0.120', '+0.120'],
    [-0.12, '−0.120', '−0.120'],
    [0, '0.000', '0.000'],
    [Number.MAX_VALUE, '∞', '+∞'],
    [-Number.MAX_VALUE, '−∞', '−∞'],
    [null, '–', '–'],
  ])(
    '%s has one minus sign, one for the infinite and one for the unknown',
    (value, plain, sign) => {
      expect(fixed(value)).toBe(plain);
      expect(signed(value)).toBe(sign);
    },
  );

  it('has as many digits as are asked for', () => {
    expect(fixed(1.23456, 1)).toBe('1.2');
    expect(signed(3, 0)).toBe('+3');
    expect([percent(0.424), percent(0.424, 1)]).toEqual(['42 %', '42.4 %']);
  });

  it('stands with its bounds, its p and the number of its sources', () => {
    const known = { mean: 0.05, low: -0.01, high: 0.12, p: 0.00123, clusters: 8 };
    expect(range(known)).toBe('−0.010 to 0.120');
    expect(interval(known)).toBe('0.050 [−0.010, 0.120], p 0.0012, 8 sources');
    const unknown = { mean: null, low: null, high: null, p: null, clusters: 0 };
    expect(interval(unknown)).toBe('– [–, –], p –, 0 sources');
    expect(pText(1)).toBe('p 1.0');
  });
});
