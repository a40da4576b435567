import { describe, expect, it } from 'vitest';
import { firstKeptTurn, firstKeptTurnFromEnd, KEEP_SHARE } from '../../src/conversation/window.ts';
import { fc } from '../property.ts';

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

describe('the window rule, counted from the end of the talk', () => {
  function fromEnd(turns: readonly number[], room: number) {
    const asked = turns.map(() => 0);
    const count = (from: number, to: number) => {
      for (let turn = from; turn < to; turn++) asked[turn] = (asked[turn] ?? 0) + 1;
      return turns.slice(from, to);
    };
    const whole = { windowTokens: room, replyTokens: 0, fixedTokens: 0 };
    const first = firstKeptTurnFromEnd(turns.length, count, whole);
    return { first, expected: firstKeptTurn(turns, whole), asked };
  }

  it('keeps the same turns as the rule, whatever the talk and the room, and counts none twice', () => {
    const talkOf = (min: number, max: number) =>
      fc.array(fc.integer({ min, max }), { minLength: 1, maxLength: 700, size: 'max' });
    const talk = fc.oneof(talkOf(0, 400), talkOf(0, 12), talkOf(6, 8));
    fc.assert(
      fc.property(talk, fc.integer({ min: -5, max: 900 }), (turns, room) => {
        const { first, expected, asked } = fromEnd(turns, room);
        expect(first).toBe(expected);
        expect(Math.max(...asked)).toBe(1);
      }),
      { numRuns: 300 },
    );
  });

  it('counts a small part of a talk of thousands of turns', () => {
    const turns = Array.from({ length: 5000 }, (_, turn) => 10 + ((turn * turn * 31) % 97));
    const { first, expected, asked } = fromEnd(turns, 800);
    expect(first).toBe(expected);
    expect(asked.filter((times) => times > 0).length).toBeLessThanOrEqual(256);
  });

  it('counts all of it where the length of the talk decides: turns that are all alike', () => {
    for (let length = 990; length < 1000; length++) {
      const { first, expected } = fromEnd(Array(length).fill(10), 400);
      expect(first).toBe(expected);
    }
  });
});
