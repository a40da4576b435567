import { describe, expect, it } from 'vitest';
import { featuresOf, shapeOf } from '../../src/dream/dream.ts';
import type { FlaggedMoment } from '../../src/scenario/moment.ts';
import { flag } from './dreaming.ts';

/** Person and model in turns; the words in <…> are the direction. */
function moment(lines: readonly string[], rejected?: string): FlaggedMoment {
  const message = lines.findIndex((line) => line.includes('<'));
  const start = lines[message]?.indexOf('<') ?? 0;
  const end = (lines[message]?.indexOf('>') ?? 0) - 1;
  const { context, rejected: _, ...rest } = flag('a');
  return {
    ...rest,
    context: {
      ...context,
      messages: lines.map((line, at) => ({
        role: at % 2 === 0 ? ('user' as const) : ('assistant' as const),
        content: line.replace(/[<>]/g, ''),
      })),
      spans: message < 0 ? [] : [{ feature: 'direction', message, start, end }],
    },
    ...(rejected === undefined ? {} : { rejected }),
  };
}

describe('the shape of a moment', () => {
  it('counts the turns since the direction', () => {
    const one = ['Hello.', 'Yes?', '<I take tea.>', 'Fine.', 'It rains.', 'Pity.', 'And now?'];
    expect(shapeOf(moment(one)).turnsAgo).toBe(2);
    expect(shapeOf(moment(['Hello.', 'Yes?', '<I take tea.>'])).turnsAgo).toBe(0);
    expect(shapeOf(moment(['Hello.', 'Yes?', 'Tea?'])).turnsAgo).toBe(0);
  });

  it('tells a refusal from a choice', () => {
    expect(shapeOf(moment(['<No museum, please.>'])).form).toBe('refusal');
    expect(shapeOf(moment(['<I’d take the tram, not the bus.>'])).form).toBe('refusal');
    expect(shapeOf(moment(['<I’d take the tram.>'])).form).toBe('choice');
  });

  it('knows how often the model put its own idea, and whether it came back to it', () => {
    const ask = 'Where shall we eat?';
    const drifted = 'Then off to the harbour pub!';
    const idea = 'What about the harbour pub?';
    expect(shapeOf(moment([ask, 'Tell me more.', '<At home.>'], drifted)).idea).toBe('none');
    expect(shapeOf(moment([ask, idea, '<At home.>'], drifted)).idea).toBe('once');
    const pushed = [ask, idea, 'Hm.', 'The pub is so nice.', '<At home.>'];
    expect(shapeOf(moment(pushed, drifted)).idea).toBe('pushed');
    const after = [ask, 'Well?', '<At home.>', 'A pity about the pub.', 'What do I cook?'];
    expect(shapeOf(moment(after, drifted)).idea).toBe('after');
  });

  it('takes no word for an idea that the person said first', () => {
    const said = ['I like the harbour pub.', 'The harbour pub is good.', '<But at home now.>'];
    expect(shapeOf(moment(said, 'Then off to the harbour pub!')).idea).toBe('none');
  });
});

describe('the features of a moment', () => {
  it('are technical matters, feelings, and a conversation under way', () => {
    expect(featuresOf(moment(['<Write the function in Go.>']))).toEqual(['technical']);
    expect(featuresOf(moment(['I feel so sad today.', 'Oh.', '<Only listen.>']))).toEqual([
      'emotion',
    ]);
    const long = ['One.', 'A.', 'Two.', 'B.', 'Three.', 'C.', '<Take tea.>'];
    expect(featuresOf(moment(long))).toEqual(['momentum']);
    expect(featuresOf(moment(['<Take tea.>']))).toEqual([]);
  });
});
