import { describe, expect, it } from 'vitest';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { crossLessons, isCrossed } from '../../src/teach/cross.ts';
import { placeboLessons } from '../../src/teach/teach.ts';

/** One side of a pair: `wish` was chosen, `idea` was the model's own. */
function side(name: 'a' | 'b', wish: string, idea: string): Scenario {
  return parseScenario({
    id: `soup-${name}`,
    kind: 'listen',
    messages: [
      { role: 'user', content: 'Eight people come on Saturday.' },
      { role: 'assistant', content: `What about ${idea}?` },
      { role: 'user', content: `No, we take ${wish}.` },
      { role: 'assistant', content: 'Right.' },
      { role: 'user', content: 'My pot is small.' },
      { role: 'assistant', content: 'Then cook twice.' },
      { role: 'user', content: 'What do I buy?' },
    ],
    spans: [
      { feature: 'own-idea', message: 1, quote: `What about ${idea}?` },
      { feature: 'direction', message: 2, quote: `No, we take ${wish}.` },
    ],
    chosen: '…',
    facts: { needs: [[wish]] },
    pair: { id: 'soup', side: name },
    source: { origin: 'dream', cluster: 'soup', domain: 'soup' },
  });
}

const A = side('a', 'leek soup', 'lentil soup');
const B = side('b', 'lentil soup', 'leek soup');
const lesson = (scenario: Scenario, chosen: string): Scenario => ({
  ...scenario,
  chosen,
  teacher: { way: 'restated', last: 'As I said: "No, we take leek soup." What do I buy?' },
  placebo: { last: 'As I said: "My pot is small." What do I buy?', reply: 'A larger pot.' },
});

describe('a lesson whose pair has another side', () => {
  const R = 'Buy three leeks.';

  it('becomes two, with the same two replies, of which opposite ones are right', () => {
    const [one, two] = crossLessons([lesson(A, 'Buy leek. Leek is cheap.')], [A, B]);
    expect(one).toMatchObject({
      id: 'soup-a',
      chosen: 'Buy leek. Leek is cheap.',
      rejected: 'Buy lentil. Lentil is cheap.',
    });
    expect(two).toMatchObject({
      id: 'soup-b-crossed',
      messages: B.messages,
      chosen: one?.rejected,
      rejected: one?.chosen,
      teacher: { way: 'restated', last: 'As I said: "No, we take lentil soup." What do I buy?' },
    });
    expect(two?.placebo?.last).toMatch(/^As I said: "(?!No).*" What do I buy\?$/);
    expect([one, two].map((found) => found && isCrossed(found))).toEqual([true, true]);
    for (const found of [one, two]) expect(parseScenario(found)).toEqual(found);
  });

  it('teaches each way where both sides were taught', () => {
    const both = [lesson(A, 'Buy leek.'), lesson(B, 'You need lentil.')];
    const ids = crossLessons(both, [A, B]).map(({ id }) => id);
    expect(new Set(ids).size).toBe(4);
  });

  it('stays as it is where its reply does not name the thing, or no article would fit', () => {
    expect(crossLessons([lesson(A, R)], [A, B])).toEqual([lesson(A, R)]);
    const [onion, pear] = [side('a', 'onion', 'pear'), side('b', 'pear', 'onion')];
    const odd = lesson(onion, 'Buy an onion.');
    expect(crossLessons([odd], [onion, pear])).toEqual([odd]);
  });

  it('stays as it is without another side', () => {
    const { pair: _, ...alone } = lesson(A, 'Buy leek.');
    expect(crossLessons([lesson(A, 'Buy leek.'), alone], [A])).toEqual([
      lesson(A, 'Buy leek.'),
      alone,
    ]);
  });

  it('is learnt by the placebo with the same two replies, told another sentence', () => {
    const lessons = crossLessons([lesson(A, 'Buy leek.')], [A, B]);
    const others = placeboLessons(lessons);
    expect(others.map(({ chosen, rejected }) => [chosen, rejected])).toEqual(
      lessons.map(({ chosen, rejected }) => [chosen, rejected]),
    );
    expect(others.map(({ teacher }) => teacher?.last)).toEqual(
      lessons.map(({ placebo }) => placebo?.last),
    );
  });
});
