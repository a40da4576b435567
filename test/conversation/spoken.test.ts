import { describe, expect, it } from 'vitest';
import { spoken } from '../../src/conversation/spoken.ts';

const details = (type: string, inside = '<summary>Thought</summary>\n&gt; SECRET') =>
  `<details type="${type}" done="true" duration="7">\n${inside}\n</details>\n`;

describe('what a reply says', () => {
  it.each([
    [`${details('reasoning')}Tuesday is free.`, 'Tuesday is free.'],
    [`${details('tool_calls')}${details('code_interpreter')}It rains.`, 'It rains.'],
    [
      `It rains.\n${details('reasoning', '<details>SECRET</details> SECRET')}Bye.`,
      'It rains.\n\nBye.',
    ],
    ['<think>\nSECRET\n</think>\n\nTuesday is free.', 'Tuesday is free.'],
    ['Well. <Thinking>SECRET</Thinking>Tuesday.', 'Well. Tuesday.'],
    ['SECRET\n</think>\nTuesday is free.', 'Tuesday is free.'],
    ['<|begin_of_thought|>SECRET<|end_of_thought|>Tuesday.', 'Tuesday.'],
    ['◁think▷SECRET◁/think▷Tuesday.', 'Tuesday.'],
    ['<reasoning>SECRET</reasoning>Tuesday.', 'Tuesday.'],
    ['<think>SECRET', ''],
    ['<details type="reasoning">SECRET', ''],
  ])('in %j is %j', (text, aloud) => {
    expect(spoken(text)).toBe(aloud);
  });

  it.each([
    ' Tuesday is free. ',
    '<details><summary>More</summary>Tuesday.</details>',
    'The <reason>rain</reason> is why.',
    'Use a <details> tag, a <b> tag & <thinker>.',
  ])('is all of %j', (text) => {
    expect(spoken(text)).toBe(text);
  });

  it('is found in time that grows with the text alone', () => {
    const times = 200_000;
    for (const tag of ['<details ', '<details type="a">', '<think>', '</think>', 'a <reason>']) {
      expect(spoken(`a${tag.repeat(times)}`).length).toBeLessThan(times * tag.length + 2);
    }
  });
});
