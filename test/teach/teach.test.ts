import { describe, expect, it } from 'vitest';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { hold, NOT_TAUGHT, placeboLessons, teach } from '../../src/teach/teach.ts';
import { asLesson, lastMessage, placeboSentence } from '../../src/teach/teacher.ts';

const DIRECTION = 'Not the blue tent, please. Let it be the hammock.';

const scene = (changes: Partial<Scenario> = {}): Scenario => ({
  ...parseScenario({
    id: 'moment',
    kind: 'listen',
    messages: [
      { role: 'user', content: 'We leave on Friday. Where should the two of us sleep?' },
      { role: 'assistant', content: 'The blue tent would be ideal.' },
      { role: 'user', content: DIRECTION },
      { role: 'assistant', content: 'All right.' },
      { role: 'user', content: 'My sister lent me her car.' },
      { role: 'assistant', content: 'How kind of her.' },
      { role: 'user', content: 'What do I pack first?' },
    ],
    spans: [
      { feature: 'own-idea', message: 1, quote: 'The blue tent' },
      { feature: 'direction', message: 2, start: 0, end: DIRECTION.length },
    ],
    chosen: '…',
    source: { origin: 'flag', cluster: 'talk', domain: 'talk' },
  }),
  ...changes,
});

const LISTENS = 'Start with the hammock and its two ropes.';
const DRIFTS = 'Start with the blue tent and its pegs.';

/** A model that listens when its last message has these words. */
function model(hears: (last: string) => boolean) {
  const asked: string[] = [];
  return {
    asked,
    options: {
      async say(messages: Scenario['messages']): Promise<string> {
        const last = messages.at(-1)?.content ?? '';
        asked.push(last);
        return hears(last) ? LISTENS : DRIFTS;
      },
    },
  };
}

const told = (last: string): boolean => last.includes('hammock');

describe('a teacher', () => {
  it('is the model to which the direction is restated, where that carries it out', async () => {
    const { options } = model(told);
    const found = await teach({ scenario: scene(), said: DRIFTS }, options);
    expect(found).toMatchObject({
      lesson: {
        chosen: LISTENS,
        rejected: DRIFTS,
        teacher: { way: 'restated', last: `As I said: "${DIRECTION}" What do I pack first?` },
        placebo: { reply: DRIFTS },
      },
    });
  });

  it('is a hint with the person’s reason, where restating does not do', async () => {
    const reason = 'You never let go of your tent.';
    const { options, asked } = model((last) => last.includes(reason));
    const found = await teach({ scenario: scene(), said: DRIFTS, reason }, options);
    expect(found).toMatchObject({ lesson: { chosen: LISTENS, teacher: { way: 'hint' } } });
    expect(asked.at(-2)).toContain('Not this: "The blue tent"');
  });

  it('draws other replies where its likeliest misses the direction', async () => {
    const options = {
      say: async (_: Scenario['messages'], __: Scenario['rendering'], draw = 0) =>
        draw === 2 ? LISTENS : DRIFTS,
    };
    const found = await teach({ scenario: scene(), said: 'Hm.' }, options);
    expect(found).toMatchObject({ lesson: { chosen: LISTENS, teacher: { way: 'restated' } } });
  });

  it('is the person’s better words before anything else, and then asks the model nothing of it', async () => {
    const better = 'The hammock goes to the bottom of the bag.';
    const { options, asked } = model(told);
    const found = await teach({ scenario: scene(), better }, options);
    expect(found).toMatchObject({ lesson: { chosen: better, teacher: { way: 'better' } } });
    // Only the placebo's reply.
    expect(asked).toHaveLength(1);
  });

  it('is nobody where no way of telling carries it out', async () => {
    const { options } = model(() => false);
    const found = await teach({ scenario: scene(), said: 'Hm.' }, options);
    expect(found).toEqual({ why: NOT_TAUGHT.nobody, reply: DRIFTS });
  });

  it('is not needed where the untold model does it already', async () => {
    const { options } = model(() => true);
    const found = await teach({ scenario: scene() }, options);
    expect(found).toEqual({ why: NOT_TAUGHT.already, reply: LISTENS });
  });

  it('is not found for a moment that marks no direction', async () => {
    const found = await teach({ scenario: scene({ spans: [] }) }, model(told).options);
    expect(found).toMatchObject({ why: NOT_TAUGHT.undirected });
  });

  it('of words that somebody wrote is those words', () => {
    const lesson = asLesson(scene({ chosen: LISTENS }));
    expect(lesson.teacher?.last).toBe(lastMessage(scene(), 'better', { better: LISTENS }));
    expect(asLesson(lesson)).toBe(lesson);
  });
});

describe('the placebo’s teacher', () => {
  it('is told another sentence of the person, that directs nothing and is of something else', () => {
    expect(placeboSentence(scene())).toBe('Where should the two of us sleep?');
  });

  it('is told neither a directive nor anything of the direction or the own idea', () => {
    const messages = scene().messages.map((message, index) =>
      index === 0
        ? { ...message, content: 'Please help me. Is a hammock or a tent better?' }
        : message,
    );
    expect(placeboSentence(scene({ messages }))).toBe('My sister lent me her car.');
  });

  it('is nobody where nothing else was said', () => {
    const messages = scene().messages.slice(0, 3);
    const bare = [
      { ...messages[0], role: 'user' as const, content: 'Hello.' },
      ...messages.slice(1),
    ];
    expect(placeboSentence(scene({ messages: bare }))).toBeUndefined();
  });

  it('teaches the same contexts, its own reply to them', () => {
    const placebo = {
      last: 'As I said: "We leave on Friday." What do I pack first?',
      reply: DRIFTS,
    };
    const lesson = { ...asLesson(scene({ chosen: LISTENS })), placebo };
    const without = asLesson(scene({ chosen: LISTENS }));
    const [one, ...others] = placeboLessons([lesson, without]);
    expect(others).toEqual([]);
    expect(one).toMatchObject({ id: 'moment', chosen: DRIFTS, teacher: { last: placebo.last } });
    expect(one?.messages).toEqual(lesson.messages);
  });
});

describe('what is held', () => {
  it('is what the model says there, and no reply that loops', async () => {
    const { options } = model(told);
    expect(await hold({ scenario: scene() }, options)).toMatchObject({ chosen: DRIFTS });
    const loops = { say: async () => 'on and on and on and on and on and on and on and on' };
    expect(await hold({ scenario: scene() }, loops)).toBeUndefined();
  });
});
