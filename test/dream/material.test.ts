import { describe, expect, it } from 'vitest';
import {
  agreedThings,
  createMaterialWriter,
  isAside,
  isLine,
  type Material,
  thingsOf,
} from '../../src/dream/material.ts';
import { type Asked, createModel, prompts, random, scripted, writerOf } from './dreaming.ts';

const LINES = [3, 10] as const;

describe('a line', () => {
  it('is one sentence of plain words', () => {
    expect(isLine('I want to grow some beans.', LINES)).toBe(true);
    for (const bad of [
      'Beans.',
      '**Beans** are good to eat',
      'Eat beans! And more',
      'a\ufffd b c d',
    ]) {
      expect(isLine(bad, LINES), bad).toBe(false);
    }
  });

  it('does not go round in circles', () => {
    expect(isLine('I want to paint a beautiful painting.', LINES)).toBe(false);
    expect(isLine('I am so so glad today.', LINES)).toBe(false);
  });
});

describe('a list of things', () => {
  it('keeps those that are told apart by their words and are of one form', () => {
    const list = 'the pear, the apple, the pear, an orange, the green apple, and the plum.';
    expect(thingsOf(list, 'which fruit to take')).toEqual(['the pear', 'the apple', 'the plum']);
  });

  it('leaves out the sort itself, sentences and signs', () => {
    const list = 'a fruit, a pear, a thing that nobody would ever take along, a #3, a plum';
    expect(thingsOf(list, 'which fruit to take')).toEqual(['a pear', 'a plum']);
  });

  it('is what several lists agree on', () => {
    const lists = [['the pear', 'the plum', 'the car'], ['the plum', 'the pear'], ['the plum']];
    expect(agreedThings(lists)).toEqual(['the plum', 'the pear']);
    const mixed = [['tea', 'a punch', 'wine'], ['wine', 'tea', 'a punch'], ['tea']];
    expect(agreedThings(mixed)).toEqual(['tea', 'wine']);
  });
});

describe('an aside', () => {
  it('directs nothing, asks nothing and tells of no feeling', () => {
    expect(isAside('The bus was early today.')).toBe(true);
    for (const bad of ['Please call me back.', 'Is it raining?', 'I am so sad today.']) {
      expect(isAside(bad), bad).toBe(false);
    }
  });
});

describe('an exchange about something else', () => {
  it('is a line of the model and an acknowledgement of ours', async () => {
    const writer = writerOf(createModel(() => ' on time today.\n'));
    const material = createMaterialWriter({ writer, prompts, retries: 0 });
    const [said, answer] =
      (await material.aside({ random: random(1), key: 'k' }, 'The bus was')) ?? [];
    expect(said).toEqual({ text: 'The bus was on time today.', given: 'The bus was' });
    expect(answer?.text).toMatch(/\.$/);
    expect(answer?.given).toBe(answer?.text);
  });
});

describe('what else could have been chosen', () => {
  const others = (...lists: readonly string[]) => {
    const asked: Asked[] = [];
    const writer = writerOf(
      createModel((one) => {
        asked.push(one);
        return `${lists[asked.length - 1] ?? ''}\n`;
      }),
    );
    const material = createMaterialWriter({ writer, prompts, retries: 0 });
    const situation = 'We want a dog. Which breed would you take?';
    return material.others({ random: random(1), key: 'k' }, situation, 'poodle').then((found) => ({
      asked,
      found,
    }));
  };

  it('is what several lists of the model agree on, and never what was chosen', async () => {
    const lists = ['beagle, poodle, terrier', 'terrier, collie', 'beagle, terrier'];
    const { asked, found } = await others(...lists);
    expect(found).toEqual(['terrier', 'beagle']);
    expect(asked[0]?.prefix).toBe('Choices: poodle,');
  });

  it('is nothing where the lists agree on nothing', async () => {
    expect((await others('beagle', 'terrier', 'collie')).found).toEqual([]);
  });
});

const writeDomain = (reply: (asked: Asked) => string, seed = 1): Promise<Material | string> => {
  const writer = writerOf(createModel(reply));
  return createMaterialWriter({ writer, prompts, retries: 1 }).domain(
    { random: random(seed), key: 'k' },
    false,
  );
};
const instead =
  (label: string, text: string) =>
  (asked: Asked): string =>
    asked.prefix.startsWith(label) ? text : scripted(asked);

describe('material', () => {
  it('is an opening, a choice, things of one sort, and questions that name none of them', async () => {
    const material = await writeDomain(scripted);
    if (typeof material === 'string') throw new Error(material);
    const { opening, choice, things, questions } = material;
    expect(opening.text).toMatch(/ some \w+ for the evening\.$/);
    expect(opening.text.startsWith(opening.given)).toBe(true);
    expect(choice.text).toBe('which drink to serve');
    expect(things).toEqual(['the cider', 'the wine', 'the lemonade', 'the punch', 'the tea']);
    expect(questions.length).toBeGreaterThanOrEqual(2);
    for (const { text } of questions) expect(text).toMatch(/\bit\b.*\?$/);
  });

  it('is the same for the same seed', async () => {
    expect(await writeDomain(scripted, 5)).toEqual(await writeDomain(scripted, 5));
    const others = await Promise.all([1, 2, 3, 4, 5].map((seed) => writeDomain(scripted, seed)));
    expect(new Set(others.map((one) => JSON.stringify(one))).size).toBeGreaterThan(1);
  });

  it.each([
    ['an opening in circles', 'Situation', ' the cake cake cake.\n', 'no opening that makes sense'],
    ['a choice of nothing', 'To choose', ' way\n', 'no choice that makes sense'],
    ['a choice of several', 'To choose', ' drinks to serve\n', 'no choice that makes sense'],
    ['lists that agree on nothing', 'Choices', ' the wine\n', 'no list of things of one sort'],
    [
      'a list from an example',
      'Choices',
      ' oak, slate, cork, bamboo, laminate\n',
      'no list of things of one sort',
    ],
    [
      'an opening that has decided',
      'Choices',
      ' the wine, the evening, the tea, the punch\n',
      'no list of things of one sort',
    ],
    [
      'questions that name a thing',
      'They ask',
      ' it go with the wine?\n',
      'no questions that depend on the choice',
    ],
    [
      'questions about anything',
      'They ask',
      ' people are coming?\n',
      'no questions that depend on the choice',
    ],
  ])('is refused for %s', async (_, label, text, why) => {
    expect(await writeDomain(instead(label, text))).toBe(why);
  });
});
