import { describe, expect, it } from 'vitest';
import { thingOf } from '../../src/scenario/thing.ts';

/** The model put an idea, the person decided, another exchange followed, and the person asks. */
function thing(direction: string, isNamed?: (phrase: string) => boolean): string | undefined {
  const texts = ['What about lentil soup?', direction, 'Right.', 'What do I buy for the soup?'];
  return thingOf(
    {
      messages: texts.map((content) => ({ content })),
      spans: [
        { feature: 'own-idea', message: 0, start: 11, end: 22 },
        { feature: 'direction', message: 1, start: 0, end: direction.length },
      ],
    },
    isNamed,
  );
}

describe('what was decided for', () => {
  it.each([
    ['No, we take leek soup.', 'leek'],
    ['We settled on a mushroom pie.', 'mushroom pie'],
    ['I am going to Bergen, the tickets are bought.', 'Bergen'],
    ['Not pancakes, I decided on rice.', 'rice'],
    ['It will be green. We voted.', 'green'],
    ['I have decided to buy it.', undefined],
    ['Not lentils.', undefined],
  ])('is the longest run of words that only the direction has: %s', (direction, found) => {
    expect(thing(direction)).toBe(found);
  });

  it('is what counts of it', () => {
    expect(thing('We take the leek pie.', (phrase) => phrase !== 'leek pie')).toBe('leek');
    expect(thing('We take the leek pie.', () => false)).toBeUndefined();
  });

  it('is in the last message where that directs', () => {
    const messages = [{ content: 'I will take the train.' }];
    const spans = [{ feature: 'direction' as const, message: 0, start: 0, end: 22 }];
    expect(thingOf({ messages, spans })).toBe('train');
  });
});
