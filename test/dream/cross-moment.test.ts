import { describe, expect, it } from 'vitest';
import { crossMoment } from '../../src/dream/echo.ts';
import { listens, random } from './dreaming.ts';

type Moment = Parameters<typeof crossMoment>[0];

const TALK = [
  ['user', 'I need a bus to Berlin for 14 people.'],
  ['assistant', 'There is one at 6:45 am. Shall I take that?'],
  ['user', 'No, I want to leave at 11:30 am, and 4 of us bring bikes.'],
] as const;

function moment(changes: Partial<Moment['draft']> = {}, chosen = CHOSEN): Moment {
  const [, second, last] = TALK.map(([, content]) => content);
  const draft: Moment['draft'] = {
    id: 'dream-1',
    kind: 'listen',
    messages: TALK.map(([role, content]) => ({ role, content })),
    spans: [
      { feature: 'own-idea', message: 1, start: 0, end: second?.indexOf(' Shall') ?? 0 },
      { feature: 'direction', message: 2, start: 4, end: last?.length ?? 0 },
    ],
    seed: { origin: 'flag', id: 'f', cluster: 'conversation' },
    angle: { domain: 'd', distance: 0 },
    prompt: { name: 'dream/guidance/listen', hash: 'h' },
    sampledShare: 0,
    ...changes,
  };
  return { draft, chosen };
}

/** All that is said in one message, with its reply. */
function said(content: string, chosen: string): Moment {
  const span = { feature: 'direction' as const, message: 0, start: 0, end: content.length };
  return moment({ messages: [{ role: 'user', content }], spans: [span] }, chosen);
}

const CHOSEN = 'A bus at 11:30 am, right?';

describe('a moment, crossed', () => {
  it('exchanges the time that was asked for with the one that was offered, throughout', () => {
    const [a, b] = crossMoment(moment(), random(1)) ?? [];
    expect(a?.messages).toEqual(moment().draft.messages);
    expect(b?.messages.map(({ content }) => content)).toEqual([
      'I need a bus to Berlin for 14 people.',
      'There is one at 11:30 am. Shall I take that?',
      'No, I want to leave at 6:45 am, and 4 of us bring bikes.',
    ]);
    expect([a?.facts?.needs, b?.facts?.needs]).toEqual([[['11:30 am']], [['6:45 am']]]);
    expect([a?.pair, b?.pair]).toEqual([
      { id: 'dream-1', side: 'a' },
      { id: 'dream-1', side: 'b' },
    ]);
  });

  it('keeps its marks on the same words', () => {
    const [, b] = crossMoment(moment(), random(1)) ?? [];
    const marked = b?.spans.map((s) => b.messages[s.message]?.content.slice(s.start, s.end));
    expect(marked).toEqual([
      'There is one at 11:30 am.',
      'I want to leave at 6:45 am, and 4 of us bring bikes.',
    ]);
  });

  it('gives two sides that are admitted', () => {
    for (const side of crossMoment(moment(), random(1)) ?? []) {
      expect(listens(side, [CHOSEN, 'A bus at 6:45 am, right?'])).toBe(true);
    }
  });

  it('takes no number out of another one', () => {
    const chosen = 'Noted, 4 bikes.';
    const crossed = crossMoment(moment({}, chosen), random(1));
    expect(crossed?.[1].messages[0]?.content).toBe('I need a bus to Berlin for 4 people.');
    expect(crossed?.[1].messages[2]?.content).toBe(
      'No, I want to leave at 11:30 am, and 14 of us bring bikes.',
    );
  });

  it('puts a month in the place of a month, no name', () => {
    const one = said('To Anna in Berlin, in March or else in June.', 'March, then.');
    expect(crossMoment(one, random(1))?.[1].facts?.needs).toEqual([['June']]);
  });

  it('is undefined where the reply takes up no value, or there is no other of its sort', () => {
    expect(crossMoment(moment({}, 'All right, that one.'), random(1))).toBeUndefined();
    const name = 'With Anna Berg.';
    expect(crossMoment(said(name, name), random(1))).toBeUndefined();
  });

  it('thinks of another hour, or other digits, where the conversation names none', () => {
    const otherOf = (content: string, chosen: string): string =>
      crossMoment(said(content, chosen), random(2))?.[1].facts?.needs?.[0]?.[0] ?? '';
    const hour = otherOf('At 11:30 am, please.', 'Booked for 11:30 am.');
    expect(hour).toMatch(/^\d{1,2}:(?:00|15|30|45) am$/);
    expect(hour).not.toBe('11:30 am');
    expect(otherOf('Send $4,438.65 to Mum.', '$4,438.65 is sent.')).toMatch(/^\$\d,\d{3}\.\d\d$/);
    const date = otherOf('Come on the 22nd, please.', 'The 22nd it is.');
    expect(date).toMatch(/^(?:\d?1st|\d?2nd|\d?3rd|\d+th)$/);
    const weekday = otherOf('Then on Friday, at noon.', 'Friday is noted.');
    expect(weekday).toMatch(/^(?!Friday)[A-Z][a-z]+day$/);
  });
});
