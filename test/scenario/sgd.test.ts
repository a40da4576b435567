import { describe, expect, it } from 'vitest';
import { bothRight } from '../../src/reading/margin.ts';
import { featureText } from '../../src/scenario/scenario.ts';
import {
  crossedPairs,
  exchangeValues,
  isHeldBack,
  plainPairs,
  sgdKind,
} from '../../src/scenario/sgd.ts';

type Turn = [role: 'user' | 'assistant', text: string, ...acts: [string, string, string][]];
const dialogue = (id: string, turns: Turn[]) => ({
  id,
  services: ['Trips_1'],
  turns: turns.map(([role, text, ...acts]) => ({ role, text, acts })),
});

const DECLINED = dialogue('1_1', [
  ['user', 'Find me a room.', ['INFORM_INTENT', 'intent', 'Find']],
  ['assistant', 'The Elm is nice. Shall I book it?', ['OFFER_INTENT', 'intent', 'Book']],
  ['user', 'No thanks.', ['NEGATE_INTENT', '', '']],
  ['assistant', 'Anything else?', ['REQ_MORE', '', '']],
]);
const ACCEPTED = dialogue('1_2', [
  ['user', 'Find me a hut.', ['INFORM_INTENT', 'intent', 'Find']],
  ['assistant', 'Shall I book the hut?', ['OFFER_INTENT', 'intent', 'Book']],
  ['user', 'Yes please.', ['AFFIRM_INTENT', '', '']],
  ['assistant', 'For how many nights?', ['REQUEST', 'nights', '']],
]);
const CHANGED = dialogue('1_3', [
  ['user', 'A table at 5 pm.', ['INFORM', 'time', '5 pm']],
  ['assistant', 'You said 5 pm for a table?', ['CONFIRM', 'time', '5 pm']],
  ['user', 'Make it 7 pm.', ['NEGATE', '', ''], ['INFORM', 'time', '7 pm']],
  ['assistant', 'So 7 pm, right?', ['CONFIRM', 'time', '7 pm']],
]);
const MOMENT = {
  id: '1_3#2',
  kind: 'correct_confirm',
  changes: [['time', '5 pm', '7 pm'] as const],
  reply: 'So 7 pm, right?',
  foil: 'So 5 pm, right?',
};

describe('crossed pairs from dialogue acts', () => {
  const pairs = crossedPairs([MOMENT], [DECLINED, ACCEPTED, CHANGED]);

  it('put the same two candidates after a decline and after an accept', () => {
    const [declined, accepted] = pairs.filter((s) => sgdKind(s) === 'decline');
    expect(declined).toMatchObject({ chosen: 'Anything else?', rejected: 'For how many nights?' });
    expect(accepted).toMatchObject({ chosen: 'For how many nights?', rejected: 'Anything else?' });
    expect(accepted?.messages.at(-1)?.content).toBe('Yes please.');
    expect(declined && featureText(declined, 'own-idea')).toEqual(['Shall I book it?']);
    expect(accepted?.source.cluster).toBe('1_1');
  });

  it('exchange the two values throughout the context', () => {
    const [asWas, crossed] = pairs.filter((s) => sgdKind(s) === 'correct_confirm');
    expect(asWas?.messages[0]?.content).toBe('A table at 5 pm.');
    expect(crossed?.messages.map((m) => m.content)).toEqual([
      'A table at 7 pm.',
      'You said 7 pm for a table?',
      'Make it 5 pm.',
    ]);
    expect(crossed).toMatchObject({ chosen: 'So 5 pm, right?', rejected: 'So 7 pm, right?' });
    expect(crossed && featureText(crossed, 'own-idea')).toEqual(['You said 7 pm for a table?']);
  });

  it('give a preference that never reads the context nothing', () => {
    const blind = (text: string): number => text.length;
    const sides = pairs.map((s) => ({
      pair: s.pair?.id ?? '',
      side: s.pair?.side ?? 'a',
      margin: blind(s.chosen) - blind(s.rejected ?? ''),
    }));
    expect(bothRight(sides)).toEqual({ share: 0, pairs: 2 });
  });

  it('leave out foils with a raw value and values that contain each other', () => {
    const raw = { ...MOMENT, foil: 'So dontcare, right?' };
    expect(crossedPairs([raw], [CHANGED])).toEqual([]);
    expect(plainPairs([raw], [CHANGED])).toEqual([]);
    const nested = { ...MOMENT, changes: [['time', '7', '7 pm'] as const] };
    expect(crossedPairs([nested], [CHANGED])).toEqual([]);
  });

  it('leave out moments of dialogues that are not given, such as those of the pre-training', () => {
    expect(crossedPairs([MOMENT], [])).toEqual([]);
    expect(isHeldBack('1_00000')).toBe(false);
    expect([...Array(300).keys()].filter((i) => isHeldBack(`${i}`)).length).toBeGreaterThan(70);
  });

  it('exchange whole words only', () => {
    expect(exchangeValues('5 pm, not 15 pm, 7 PM', '5 pm', '7 pm')).toBe('7 pm, not 15 pm, 5 pm');
  });
});
