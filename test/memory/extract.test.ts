import { describe, expect, it } from 'vitest';
import { createPace } from '../../src/base/pace.ts';
import {
  extractItems,
  type ItemKind,
  openQuestions,
  splitSentences,
} from '../../src/memory/extract.ts';

const found = (kind: ItemKind, text: string, before = '', role: 'user' | 'assistant' = 'user') =>
  extractItems({ role, text }, before).filter((item) => item.kind === kind);

describe('sentences', () => {
  it('end at stops, marks and line ends', () => {
    const text = ' One.  Two at 5 p.m. sharp!\nThree… four?';
    const sentences = ['One.', 'Two at 5 p.m. sharp!', 'Three…', 'four?'];
    expect(splitSentences(text)).toEqual(sentences);
  });

  it('do not end inside numbers, and are none in empty text', () => {
    expect(splitSentences('It is 3.5 or $7.25 for Dr. Lee.')).toHaveLength(1);
    expect(splitSentences(' \n ')).toEqual([]);
  });
});

describe('a long text', () => {
  it.each([
    ['dots', '.'.repeat(200_000)],
    ['newlines', `${'\n'.repeat(200_000)}x`],
    ['dots and brackets', `${'.")'.repeat(60_000)}x`],
    ['a promise that does not come', `i promise ${'if '.repeat(60_000)}`],
    ['a question that does not come', `${'would you '.repeat(40_000)}x`],
  ])('of %s is read in time that grows with its length', (_, text) => {
    expect(extractItems({ role: 'user', text }).length).toBeGreaterThanOrEqual(0);
    expect(splitSentences(text).length).toBeLessThan(text.length);
  });
});

describe('directions', () => {
  it.each([
    "No, I don't want that.",
    'Actually, make it seven.',
    'Can you find me something else?',
    'Please stop suggesting films.',
    'Not right now.',
    'I said Monday.',
    'Give me that one, nothing else.',
    "Don't book it yet.",
    'I’d rather walk.',
  ])('are clear in: %s', (text) => {
    expect(found('direction', text).map((item) => item.weight)).toContain(1);
  });

  it.each(['I would like a table for two.', 'Play some jazz.', 'Could you read it back to me?'])(
    'are weaker in: %s',
    (text) => {
      const [item] = found('direction', text);
      expect(item?.weight).toBeGreaterThan(0);
      expect(item?.weight).toBeLessThan(1);
    },
  );

  it.each([
    'Thanks!',
    'Yes.',
    "That's great.",
    'It rained all day.',
    'I stopped by the other day.',
    'No problem.',
  ])('are none in: %s', (text) => expect(found('direction', text)).toEqual([]));

  it('are in a bare no to an offer, and not in one to a question of fact', () => {
    expect(found('direction', 'No.', 'Shall I book it?')).toHaveLength(1);
    expect(found('direction', 'No.', 'Have you been to Rome before, by train?')).toEqual([]);
  });

  it('are weak in a farewell', () => {
    const [item] = found('direction', 'No, thank you, that is all.', 'Anything else?');
    expect(item?.weight).toBe(0.4);
  });

  it('are the person’s alone', () => {
    expect(found('direction', 'Please hold on.', '', 'assistant')).toEqual([]);
  });
});

describe('feelings', () => {
  it.each([
    'I am so sad today.',
    "I'm really worried about her.",
    'So tired.',
    'That makes me so angry.',
    'I miss him.',
  ])('are in: %s', (text) => expect(found('feeling', text)).toHaveLength(1));

  it.each([
    'I watched Home Alone last night.',
    'Showtimes for Fast and Furious, please.',
    'I am glad to help.',
    "I'm sure they're very proud of you.",
    'I can see why you miss it.',
    'The happy hour is at five.',
  ])('are none in: %s', (text) => expect(found('feeling', text)).toEqual([]));
});

describe('promises', () => {
  it.each(["I'll remind you tomorrow.", 'Let me check that for you.', 'I promise to come.'])(
    'are in: %s',
    (text) => expect(found('promise', text, '', 'assistant')).toHaveLength(1),
  );

  it.each([
    "I'll take the red one.",
    "We'll see.",
    'Maybe I will try.',
    "I'll be leaving on Monday.",
    'I will!',
    'Do you think I will like it?',
  ])('are none in: %s', (text) => expect(found('promise', text)).toEqual([]));
});

describe('open questions', () => {
  const talk = (...texts: string[]) =>
    texts.map((text, index) => ({
      role: index % 2 === 0 ? ('user' as const) : ('assistant' as const),
      text,
    }));

  const openIn = (...texts: string[]) => {
    const turns = talk(...texts);
    const items = turns.map((turn) => extractItems(turn));
    return openQuestions(turns, items, createPace());
  };

  it('are those that nobody answered', async () => {
    expect(await openIn('What time does the museum close?')).toHaveLength(1);
    expect(await openIn('What time does the museum close?', 'At six.')).toEqual([]);
    expect(await openIn('What time does the museum close?', 'Do you like jazz?')).toHaveLength(1);
    expect(await openIn('When does the museum close?', 'Which museum?')).toEqual([]);
  });
});

// Each takes minutes where a pass looks on from every character, and a part of a second otherwise.
describe('200,000 characters are read in one pass, of', () => {
  it.each([
    ['stops', '.', ''],
    ['quotes after stops', '."', ''],
    ['newlines', '\n', ''],
    ['conditions of a promise', 'if ', 'i promise '],
    ['refusals after an offer', 'No. ', ''],
    ['words of feeling', 'feel so ', ''],
    ['blanks', ' ', ''],
  ])('%s', (_, piece, beginning) => {
    const text = `${beginning}${piece.repeat(Math.ceil(200_000 / piece.length))}x`;
    const begunAt = performance.now();
    extractItems({ role: 'user', text }, `${text} would you`);
    expect(performance.now() - begunAt).toBeLessThan(5_000);
  });
});
