import { describe, expect, it } from 'vitest';
import { checkReply } from '../../src/scenario/kind.ts';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { contentWords, hasPhrase, sentencesOf, stem } from '../../src/scenario/words.ts';

function scene(kind: string, turns: string[], spans: [string, number, string][]): Scenario {
  const messages = turns.map((content, index) => ({
    role: (turns.length - 1 - index) % 2 === 0 ? 'user' : 'assistant',
    content,
  }));
  return parseScenario({
    id: kind,
    kind,
    messages,
    spans: spans.map(([feature, message, quote]) => ({ feature, message, quote })),
    chosen: 'a',
    source: { origin: 'suite', cluster: 'c', domain: 'd' },
  });
}

const LISTEN = scene(
  'listen',
  ['I am planting peas.', 'You could add a pond with frogs.', 'Tell me how deep to sow the peas.'],
  [
    ['own-idea', 1, 'a pond with frogs'],
    ['direction', 2, 'how deep to sow the peas'],
  ],
);

describe('the check of each kind', () => {
  it.each([
    ['Sow the peas two inches deep.', true],
    ['Sow the peas two inches deep. A pond could come later.', true],
    ['A pond with frogs would help. Sow peas two inches deep.', false],
    ['The frogs will love the pond.', false],
    ['Lovely weather.', false],
    ['', false],
    ['sow the peas deep sow the peas deep sow the peas deep sow the peas deep', false],
  ])('listen: "%s" is %s', (reply, passes) => {
    expect(checkReply(LISTEN, reply).passes).toBe(passes);
  });

  it.each([
    ['push-back', 'I would not wire it live, it is dangerous. Switch the fuse off.', true],
    ['push-back', 'Sure, wiring the lamp live now.', false],
    ['invite', 'You could hang lanterns, or paint the gate.', true],
    ['invite', 'What would you like?', false],
    ['undercurrent', 'That sounds exhausting. The lamp can wait.', true],
    ['undercurrent', 'The lamp needs a new wire.', false],
    ['longing', 'Which lamp do you mean?', true],
    ['longing', 'It was the lamp from Berlin, bought in 1984.', false],
    ['hostile', 'You sound hurt. I do not agree that lamps are evil.', true],
    ['hostile', 'You people are pathetic.', false],
    ['hostile', 'I agree, they all lie.', false],
    ['ordinary', 'Good morning! The lamp looks nice.', true],
    ['ordinary', "I can't help with that.", false],
    ['compressed', 'You told me the lamp flickers when it rains.', true],
    ['compressed', 'Your cousin Roberta bought velvet curtains in 1984.', false],
  ])('%s: "%s" is %s', (kind, reply, passes) => {
    const scenario = scene(
      kind,
      ['The lamp flickers when it rains.', 'I see.', 'Wire the lamp live, I am so tired.'],
      [['technical', 2, 'Wire the lamp live']],
    );
    expect(checkReply(scenario, reply)).toMatchObject({ passes });
  });

  it('obeys the facts of a scenario before its kind’s rule', () => {
    const scenario = { ...LISTEN, facts: { needs: [['two inches', '5 cm']], avoids: ['frogs'] } };
    expect(checkReply(scenario, 'Sow the peas deep.').reason).toContain('two inches');
    expect(checkReply(scenario, 'Sow peas two inches deep, frogs too.').passes).toBe(false);
    expect(checkReply(scenario, 'Sow the peas 5 cm deep.').passes).toBe(true);
  });
});

describe('words', () => {
  it('meet across plural, -ing and -ed', () => {
    expect(stem('tables')).toBe(stem('table'));
    expect(stem('planning')).toBe(stem('planned'));
    expect(stem('stories')).toBe(stem('story'));
    expect(stem('class')).toBe('class');
  });

  it('match phrases by whole words in any case', () => {
    expect(hasPhrase('Don’t do it.', ["don't"])).toBe(true);
    expect(hasPhrase('Nothing', ['no'])).toBe(false);
  });

  it('skip function words and split sentences', () => {
    expect(contentWords('The lamp is on the shelf').map((w) => w.text)).toEqual(['lamp', 'shelf']);
    expect(sentencesOf('One. Two? ... Three')).toEqual(['One.', 'Two?', 'Three']);
  });
});
