import { describe, expect, it } from 'vitest';
import { createStopFinder } from '../../src/chat/stop-strings.ts';
import { fc } from '../property.ts';

function run(pieces: readonly string[], stops: readonly string[]) {
  const finder = createStopFinder(stops);
  let text = '';
  for (const piece of pieces) {
    const found = finder.push(piece);
    text += found.text;
    if (found.isStopped) return { text, isStopped: true };
  }
  return { text: text + finder.end(), isStopped: false };
}

describe('stop strings', () => {
  it('end the text before the one that is complete first', () => {
    expect(run(['one two three'], ['three', 'two'])).toEqual({ text: 'one ', isStopped: true });
  });

  it('give what came before a short one that lies within a long one', () => {
    expect(run(['cab', 'a'], ['a', 'caba'])).toEqual({ text: 'c', isStopped: true });
    expect(run(['xcab'], ['b', 'cab'])).toEqual({ text: 'x', isStopped: true });
  });

  it('are found across pieces, and nothing of them is shown before', () => {
    const finder = createStopFinder(['\nUser:']);
    expect(finder.push('Hello\n')).toEqual({ text: 'Hello', isStopped: false });
    expect(finder.push('Us')).toEqual({ text: '', isStopped: false });
    expect(finder.push('er: hi')).toEqual({ text: '', isStopped: true });
    expect(finder.push('more')).toEqual({ text: '', isStopped: true });
  });

  it('that were only begun are shown in the end', () => {
    expect(run(['a\nUse'], ['\nUser:'])).toEqual({ text: 'a\nUse', isStopped: false });
  });

  it('say the same however the text is cut', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 30 });
    const stops = fc.array(
      fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 }),
      {
        maxLength: 3,
      },
    );
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 8 }), stops, (pieces, list) => {
        const whole = pieces.join('');
        expect(run(pieces, list)).toEqual(run([...whole], list));
        const isStopped = list.some((stop) => whole.includes(stop));
        expect(run([whole], list).isStopped).toBe(isStopped);
      }),
      {
        numRuns: 1000,
        examples: [
          [
            ['cab', 'a'],
            ['a', 'caba'],
          ],
        ],
      },
    );
  });
});
