import { describe, expect, it } from 'vitest';
import { firstKeptTurn, KEEP_SHARE } from '../../src/conversation/window.ts';
import { fc } from '../property.ts';

const budget = { windowTokens: 100, replyTokens: 20, fixedTokens: 10 };
const room = 70;
const sum = (turns: readonly number[]): number =>
  turns.reduce((total, tokens) => total + tokens, 0);

describe('the window rule', () => {
  it('keeps everything that fits', () => {
    expect(firstKeptTurn([30, 40], budget)).toBe(0);
    expect(firstKeptTurn([], budget)).toBe(0);
  });

  it('begins at the turn that a high power of two divides, where several would do', () => {
    const equal = (turns: number) => firstKeptTurn(new Array<number>(turns).fill(10), budget);
    // Seven turns fit; the window begins at one of the oldest three of them.
    expect([8, 9, 10, 11, 12, 13, 14].map(equal)).toEqual([2, 4, 4, 4, 6, 8, 8]);
    expect([15, 16, 17, 18, 19, 20].map(equal)).toEqual([8, 10, 12, 12, 12, 14]);
  });

  it('never drops the last turn', () => {
    expect(firstKeptTurn([10, 500], budget)).toBe(1);
    expect(firstKeptTurn([500], budget)).toBe(0);
  });

  const conversation = fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 60 });

  it('keeps what fits, never moves back, and lets no turn go that a short window needs', () => {
    fc.assert(
      fc.property(conversation, (turns) => {
        let before = 0;
        for (let length = 1; length <= turns.length; length++) {
          const prefix = turns.slice(0, length);
          const first = firstKeptTurn(prefix, budget);
          const kept = sum(prefix.slice(first));
          expect(first).toBeGreaterThanOrEqual(before);
          expect(kept).toBeLessThanOrEqual(room);
          const hasAllThatFit = first === 0 || kept + (prefix[first - 1] as number) > room;
          expect(hasAllThatFit || kept >= room * KEEP_SHARE).toBe(true);
          before = first;
        }
      }),
    );
  });

  it('needs to see no more turns than overflow the room', () => {
    fc.assert(
      fc.property(conversation, (turns) => {
        const whole = firstKeptTurn(turns, budget);
        for (let older = 1; sum(turns.slice(older)) > room; older++) {
          expect(firstKeptTurn(turns.slice(older), budget, older)).toBe(whole);
        }
      }),
    );
  });

  it('moves on at one turn of four or less where twenty fit', () => {
    let moves = 0;
    for (let turns = 101; turns <= 200; turns++) {
      const lengths = Array.from({ length: turns }, (_, turn) => 2 + ((turn * turn * 31) % 4));
      const [now, before] = [lengths, lengths.slice(0, -1)].map((l) => firstKeptTurn(l, budget));
      if (now !== before) moves++;
    }
    expect(moves).toBeGreaterThan(5);
    expect(moves).toBeLessThan(25);
  });
});
