import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstKeptTurn, KEEP_SHARE } from '../../src/conversation/window.ts';

const budget = { windowTokens: 100, replyTokens: 20, fixedTokens: 10 };
const room = 70;

describe('the window rule', () => {
  it('keeps everything that fits', () => {
    expect(firstKeptTurn([30, 40], budget)).toBe(0);
    expect(firstKeptTurn([], budget)).toBe(0);
  });

  it('drops whole turns, oldest first, until a good part is free', () => {
    expect(firstKeptTurn([30, 30, 30], budget)).toBe(2);
    expect(firstKeptTurn([10, 10, 10, 10, 10, 10, 11], budget)).toBe(2);
  });

  it('never drops the last turn', () => {
    expect(firstKeptTurn([10, 500], budget)).toBe(1);
    expect(firstKeptTurn([500], budget)).toBe(0);
  });

  it('keeps what fits, never moves back, and rests for some turns after each cut', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 60 }), (turns) => {
        let before = 0;
        for (let length = 1; length <= turns.length; length++) {
          const prefix = turns.slice(0, length);
          const first = firstKeptTurn(prefix, budget);
          const kept = prefix.slice(first).reduce((sum, tokens) => sum + tokens, 0);
          expect(first).toBeGreaterThanOrEqual(before);
          expect(kept).toBeLessThanOrEqual(room);
          if (first > before && length - first > 1)
            expect(kept).toBeLessThanOrEqual(room * KEEP_SHARE);
          before = first;
        }
      }),
    );
  });
});
