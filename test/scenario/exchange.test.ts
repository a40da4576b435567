import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { apart, exchange, mentions } from '../../src/scenario/exchange.ts';

describe('two words exchanged', () => {
  it('stand in the place of each other, with the capital of a sentence', () => {
    const { text } = exchange('Leek first, then lentil. Not leeks.', 'leek', 'lentil');
    expect(text).toBe('Lentil first, then leek. Not leeks.');
  });

  it('keep a name’s capital in the middle of a sentence', () => {
    expect(exchange('See Lisbon, not Ghent.', 'Lisbon', 'Ghent').text).toBe(
      'See Ghent, not Lisbon.',
    );
  });

  it('are back where they were when exchanged twice', () => {
    const words = fc.array(fc.constantFrom('leek', 'soup', 'lentil', 'and', '4'), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(words, (list) => {
        const text = list.join(' ');
        expect(exchange(exchange(text, 'leek', 'lentil').text, 'leek', 'lentil').text).toBe(text);
      }),
    );
  });

  it('are whole words: 4 is not in 14', () => {
    expect([mentions('at 4', '4'), mentions('at 14', '4'), mentions('at 4:30', '4')]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe('what sets two phrases apart', () => {
  it.each([
    ['leek soup', 'lentil soup', ['leek', 'lentil']],
    ['the cello', 'the flute', ['cello', 'flute']],
    ['red wool', 'cotton', ['red wool', 'cotton']],
    ['wool', 'red wool', undefined],
    ['wool', 'Wool', undefined],
  ])('%s, %s', (one, other, expected) => {
    expect(apart(one, other)).toEqual(expected);
  });
});
