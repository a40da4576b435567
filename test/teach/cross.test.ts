import { describe, expect, it } from 'vitest';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { crossLesson, isCrossed, withTwin } from '../../src/teach/cross.ts';
import { placeboLessons, teachSides } from '../../src/teach/teach.ts';

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

/** A moment of a conversation: nobody said what else could have been chosen. */
const alone = ({ facts: _, pair: __, ...rest }: Scenario): Scenario => rest;

const crossed = (lesson: Scenario, twin: Scenario) => crossLesson(lesson, twin) ?? [];

describe('a lesson whose pair has another side', () => {
  it('becomes two, with the same two replies, of which opposite ones are right', () => {
    const [one, two] = crossed(lesson(A, 'Buy leek. Leek is cheap.'), B);
    expect(one).toMatchObject({
      id: 'soup-a',
      chosen: 'Buy leek. Leek is cheap.',
      rejected: 'Buy lentil. Lentil is cheap.',
    });
    expect(two).toMatchObject({
      id: 'soup-b',
      messages: B.messages,
      chosen: one?.rejected,
      rejected: one?.chosen,
      teacher: { way: 'restated', last: 'As I said: "No, we take lentil soup." What do I buy?' },
    });
    expect(two?.placebo?.last).toMatch(/^As I said: "(?!No).*" What do I buy\?$/);
    expect([one, two].map((found) => found && isCrossed(found))).toEqual([true, true]);
    for (const found of [one, two]) expect(parseScenario(found)).toEqual(found);
  });

  it('is taught by the exchanged words where words of the person teach it', () => {
    const better = { ...lesson(A, 'Buy leek.'), teacher: { way: 'better' as const, last: '…' } };
    expect(crossed(better, B)[1]?.teacher?.last).toContain('hear: "Buy lentil."');
  });

  it('stays alone where its reply does not name the thing, or no article would fit', () => {
    expect(crossLesson(lesson(A, 'Buy three leeks.'), B)).toBeUndefined();
    const [onion, pear] = [side('a', 'onion', 'pear'), side('b', 'pear', 'onion')];
    expect(crossLesson(lesson(onion, 'Buy an onion.'), pear)).toBeUndefined();
    expect(crossed(lesson(onion, 'Buy onion and an egg.'), pear)).toHaveLength(2);
  });

  it('is learnt by the placebo with the same two replies, told another sentence', () => {
    const lessons = crossed(lesson(A, 'Buy leek.'), B);
    const others = placeboLessons(lessons);
    expect(others.map(({ chosen, rejected }) => [chosen, rejected])).toEqual(
      lessons.map(({ chosen, rejected }) => [chosen, rejected]),
    );
    expect(others.map(({ teacher }) => teacher?.last)).toEqual(
      lessons.map(({ placebo }) => placebo?.last),
    );
  });
});

describe('the teacher of a pair', () => {
  /** Says this when it is told again, and something else when it is not. */
  const options = (told: (last: string) => string) => ({
    asked: [] as string[],
    async say(messages: Scenario['messages']): Promise<string> {
      const last = messages.at(-1)?.content ?? '';
      this.asked.push(last);
      return last.startsWith('As I said: "No') ? told(last) : 'Let me think.';
    },
  });
  const sides = [{ scenario: A }, { scenario: B }];
  const idsOf = async (told: (last: string) => string): Promise<string[]> => {
    const taught = await teachSides(sides, options(told));
    return taught.map((one) => ('lesson' in one ? one.lesson.id : one.why));
  };

  it('is asked for one side, and the other one is not asked for', async () => {
    const asking = options(() => 'Buy leek.');
    const taught = await teachSides(sides, asking);
    expect(taught).toHaveLength(2);
    expect(asking.asked.filter((last) => last.includes('we take lentil'))).toEqual([]);
  });

  it('is the one of the second side where the first has none, or its words cannot be exchanged', async () => {
    const second = (first: string) => (last: string) =>
      last.includes('we take leek') ? first : 'Buy lentil.';
    expect(await idsOf(second('Pardon?'))).toEqual(['soup-b', 'soup-a']);
    expect(await idsOf(second('Buy three leeks.'))).toEqual(['soup-b', 'soup-a']);
  });

  it('teaches each side alone where no reply can be exchanged', async () => {
    const plural = (last: string) => (last.includes('we take leek') ? 'Leeks.' : 'Lentils.');
    expect(await idsOf(plural)).toEqual(['soup-a', 'soup-b']);
  });
});

describe('a moment alone', () => {
  const moment = alone(A);
  const options = (others: readonly string[]) => {
    const asked: string[] = [];
    return {
      asked,
      say: async (messages: Scenario['messages']) =>
        (messages.at(-1)?.content ?? '').includes('we take leek') ? 'Buy leek.' : 'Pardon?',
      others: async (_: Scenario, thing: string) => {
        asked.push(thing);
        return others;
      },
    };
  };

  it('gets another side, with something else of its sort that stands there', async () => {
    const asking = options(['leek', 'barley', 'lentil']);
    const taught = await teachSides([{ scenario: moment }], asking);
    expect(asking.asked).toEqual(['leek']);
    const lessons = taught.flatMap((one) => ('lesson' in one ? [one.lesson] : []));
    expect(lessons).toMatchObject([
      { id: 'soup-a', chosen: 'Buy leek.', rejected: 'Buy lentil.', pair: { side: 'a' } },
      { id: 'soup-a-twin', chosen: 'Buy lentil.', rejected: 'Buy leek.', pair: { side: 'b' } },
    ]);
    expect(lessons[1]?.messages[2]?.content).toBe('No, we take lentil soup.');
    expect(lessons[1]?.teacher?.last).toBe('As I said: "No, we take lentil soup." What do I buy?');
    expect(lessons.every(isCrossed)).toBe(true);
    for (const one of lessons) expect(parseScenario(one)).toEqual(one);
  });

  it('stays alone where the model knows nothing else that stands there, or only what the reply says too', async () => {
    for (const others of [[], ['leek'], ['barley']]) {
      const taught = await teachSides([{ scenario: moment }], options(others));
      expect(taught).toHaveLength(1);
    }
  });

  it('marks in its other side the same words, wherever they have gone', () => {
    const [, twin] = withTwin({ ...moment, chosen: 'Buy leek.' }, 'leek', 'Jerusalem artichoke');
    const [span] = twin.spans.filter(({ feature }) => feature === 'direction');
    const { content = '' } = twin.messages[span?.message ?? 0] ?? {};
    expect(content.slice(span?.start, span?.end)).toBe('No, we take Jerusalem artichoke soup.');
  });
});
