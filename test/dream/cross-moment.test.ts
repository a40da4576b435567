import { describe, expect, it } from 'vitest';
import type { Draft } from '../../src/dream/draft.ts';
import { crossMoment } from '../../src/dream/echo.ts';
import { listens, random } from './dreaming.ts';

const TALK = [
  ['user', 'I need a bus to Berlin for 14 people.'],
  ['assistant', 'There is one at 6:45 am. Shall I take that?'],
  ['user', 'No, I want to leave at 11:30 am, and 4 of us bring bikes.'],
] as const;

function moment(changes: Partial<Draft> = {}): Draft {
  const [, second, last] = TALK.map(([, content]) => content);
  return {
    id: 'dream-1',
    kind: 'listen',
    messages: TALK.map(([role, content]) => ({ role, content })),
    spans: [
      { feature: 'own-idea', message: 1, start: 0, end: second?.indexOf(' Shall') ?? 0 },
      { feature: 'direction', message: 2, start: 4, end: last?.length ?? 0 },
    ],
    chosen: 'A bus at 11:30 am, right?',
    rejected: 'I have booked it for 6:45 am.',
    seed: { origin: 'flag', id: 'f', cluster: 'conversation' },
    isDirected: true,
    angle: { domain: 'd', distance: 0, tone: 'plain' },
    prompt: { name: 'dream/guidance/listen', hash: 'h' },
    chosenFrom: 'person',
    rejectedFrom: 'said',
    sampledShare: 0,
    ...changes,
  };
}

describe('a flagged moment, crossed', () => {
  it('exchanges the time that was asked for with the one that was offered, throughout', () => {
    const [a, b] = crossMoment(moment(), random(1)) ?? [];
    expect(a?.messages).toEqual(moment().messages);
    expect(b?.messages.map(({ content }) => content)).toEqual([
      'I need a bus to Berlin for 14 people.',
      'There is one at 11:30 am. Shall I take that?',
      'No, I want to leave at 6:45 am, and 4 of us bring bikes.',
    ]);
    expect([a?.chosen, a?.rejected]).toEqual([
      'A bus at 11:30 am, right?',
      'A bus at 6:45 am, right?',
    ]);
    expect([b?.chosen, b?.rejected]).toEqual([a?.rejected, a?.chosen]);
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
      expect(listens(side)).toEqual([true, false]);
    }
  });

  it('takes no number out of another one', () => {
    const chosen = 'Noted, 4 bikes.';
    const crossed = crossMoment(moment({ chosen }), random(1));
    expect(crossed?.[1].messages[0]?.content).toBe('I need a bus to Berlin for 4 people.');
    expect(crossed?.[1].messages[2]?.content).toBe(
      'No, I want to leave at 11:30 am, and 14 of us bring bikes.',
    );
  });

  it('puts a month in the place of a month, no name', () => {
    const content = 'To Anna in Berlin, in March or else in June.';
    const marked = { feature: 'direction' as const, message: 0, start: 0, end: content.length };
    const [side] =
      crossMoment(
        moment({
          messages: [{ role: 'user', content }],
          spans: [marked],
          chosen: 'March, then.',
          rejected: 'Fine.',
        }),
        random(1),
      ) ?? [];
    expect(side?.rejected).toBe('June, then.');
  });

  it('is undefined where the reply takes up no value, or there is no other of its sort', () => {
    expect(crossMoment(moment({ chosen: 'All right, that one.' }), random(1))).toBeUndefined();
    expect(crossMoment(moment({ chosen: undefined }), random(1))).toBeUndefined();
    const messages = [{ role: 'user' as const, content: 'At 11:30 am, please.' }];
    const spans = [{ feature: 'direction' as const, message: 0, start: 0, end: 20 }];
    const alone = { messages, spans, rejected: 'Fine.' };
    const name = 'With Anna Berg.';
    expect(
      crossMoment(
        moment({ ...alone, messages: [{ role: 'user', content: name }], chosen: name }),
        random(1),
      ),
    ).toBeUndefined();
  });

  it('thinks of another hour, or other digits, where the conversation names none', () => {
    const said = (content: string, chosen: string) =>
      crossMoment(
        moment({
          messages: [{ role: 'user', content }],
          spans: [{ feature: 'direction', message: 0, start: 0, end: content.length }],
          chosen,
          rejected: 'Fine.',
        }),
        random(2),
      );
    const [hour] = said('At 11:30 am, please.', 'Booked for 11:30 am.') ?? [];
    expect(hour?.rejected).toMatch(/^Booked for \d{1,2}:(?:00|15|30|45) am\.$/);
    expect(hour?.rejected).not.toBe(hour?.chosen);
    const [amount] = said('Send $4,438.65 to Mum.', '$4,438.65 is sent.') ?? [];
    expect(amount?.rejected).toMatch(/^\$\d,\d{3}\.\d\d is sent\.$/);
    const [date] = said('Come on the 22nd, please.', 'The 22nd it is.') ?? [];
    expect(date?.rejected).toMatch(/^The (?:\d?1st|\d?2nd|\d?3rd|\d+th) it is\.$/);
    const [weekday] = said('Then on Friday, at noon.', 'Friday is noted.') ?? [];
    expect(weekday?.rejected).toMatch(/^(?!Friday)[A-Z][a-z]+day is noted\.$/);
  });
});
