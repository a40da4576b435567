import { describe, expect, it } from 'vitest';
import { type Conversation, type GatherInput, gather } from '../../src/night/gather.ts';
import type { Flag } from '../../src/protocol/flag.ts';
import { toExample } from '../../src/scenario/example.ts';
import { isDrawn } from '../../src/scenario/moment.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';
import { spanText } from '../../src/scenario/span.ts';
import { wordRenderer } from '../fakes/word-renderer.ts';

const conversation: Conversation = {
  id: 'talk-1',
  canLearn: true,
  rendering: { at: 1, variables: { enable_thinking: false } },
  messages: [
    { id: 'u1', role: 'user', content: 'Plan my evening.', at: 1 },
    { id: 'a1', role: 'assistant', content: 'How about the opera?', at: 2 },
    { id: 'u2', role: 'user', content: 'No. Book a table for two, please.', at: 3 },
    { id: 'a2', role: 'assistant', content: 'I booked the opera.', at: 4 },
  ],
  replaced: [],
};

function flag(change: Partial<Flag> = {}): Flag {
  return {
    id: 'f1',
    conversationId: 'talk-1',
    messageId: 'u2',
    replyId: 'a2',
    kind: 'missed',
    userSpan: { messageId: 'u2', span: { start: 4, end: 24, text: 'Book a table for two' } },
    replySpan: { start: 9, end: 18, text: 'the opera' },
    betterWords: 'A table for two is booked.',
    reason: null,
    strength: 2,
    createdAt: 5,
    updatedAt: 5,
    withdrawnAt: null,
    usedBy: [],
    ...change,
  };
}

function input(change: Partial<GatherInput> = {}): GatherInput {
  return {
    flags: [flag()],
    conversations: new Map([[conversation.id, conversation]]),
    heldBackFrom: 10,
    heldBackOneIn: 5,
    everydayMax: 10,
    everydayCharactersMax: 1_000_000,
    contextCharactersMax: 20_000,
    flaggedBytesMax: 1_000_000,
    seed: 1,
    ...change,
  };
}

describe('gather', () => {
  it('turns a flag into a scenario with its direction and the own idea it lost to', () => {
    const [moment] = gather(input()).flagged;
    if (moment?.chosen === undefined) throw new Error('no moment');
    const scenario = parseScenario({ ...moment.context, chosen: moment.chosen });
    expect(scenario.messages).toHaveLength(3);
    expect(scenario.spans.map((span) => [span.feature, spanText(scenario, span)])).toEqual([
      ['direction', 'Book a table for two'],
      ['own-idea', 'the opera'],
    ]);
    expect(moment.rejected).toBe('I booked the opera.');
  });

  it('keeps how the chat rendered the conversation', () => {
    const { flagged, everyday } = gather(input({ flags: [flag({ replyId: 'gone' })] }));
    expect(flagged[0]?.context.rendering).toEqual(conversation.rendering);
    expect(everyday[0]?.rendering).toEqual(conversation.rendering);
  });

  it('takes the whole message for the direction where no words were marked', () => {
    const [moment] = gather(input({ flags: [flag({ userSpan: null })] })).flagged;
    expect(moment?.context.spans[0]).toMatchObject({ message: 2, start: 0, end: 33 });
  });

  it('takes a short message that directs as a whole, and of a long one the sentence', () => {
    const said = (content: string) => {
      const [first, second, asked, ...rest] = conversation.messages;
      const messages = [first, second, { ...asked, content }, ...rest] as Conversation['messages'];
      const conversations = new Map([[conversation.id, { ...conversation, messages }]]);
      const [moment] = gather(input({ conversations, flags: [flag({ userSpan: null })] })).flagged;
      return moment?.context.spans.map((span) => spanText(moment.context, span))[0];
    };
    expect(said("I'm taking the train. It is quieter.")).toBe(
      "I'm taking the train. It is quieter.",
    );
    expect(said(`${'It has rained all day. '.repeat(12)}I want soup.`)).toBe('I want soup.');
  });

  it('finds a decision that no word of deciding gives away, by where it stands', () => {
    const said = (...texts: string[]) => {
      const messages = texts.map((content, at): Conversation['messages'][number] => {
        const [first] = conversation.messages;
        if (first === undefined) throw new Error('no message');
        return { ...first, id: `m${at}`, role: at % 2 === 0 ? 'user' : 'assistant', content };
      });
      const conversations = new Map([[conversation.id, { ...conversation, messages }]]);
      const [asked = '', reply = ''] = [2, 1].map((back) => `m${messages.length - back}`);
      const flags = [flag({ userSpan: null, replySpan: null, messageId: asked, replyId: reply })];
      const [moment] = gather(input({ conversations, flags })).flagged;
      return moment?.context.spans.map((span) => spanText(moment.context, span))[0];
    };
    const boat = ['Which colour would you take?', 'White.', 'It will be green. We voted.', 'Nice.'];
    const later = ['The boat is seven metres long.', 'Oh.', 'How much paint do we need?', 'Four.'];
    expect(said(...boat, ...later)).toBe('It will be green. We voted.');
    expect(said('What should we plant?', 'An oak.', 'A pear tree. Is that wise?', 'Oak.')).toBe(
      'A pear tree.',
    );
    expect(said('The boat is green.', 'Nice.', 'How much paint do we need?', 'Four.')).toBe(
      'How much paint do we need?',
    );
  });

  it('leaves chosen open where the person gave no better words', () => {
    const [moment] = gather(input({ flags: [flag({ betterWords: null })] })).flagged;
    expect(moment?.chosen).toBeUndefined();
  });

  it('makes a good moment its own chosen reply', () => {
    const [moment] = gather(input({ flags: [flag({ kind: 'good', betterWords: null })] })).flagged;
    expect(moment?.chosen).toBe('I booked the opera.');
    expect(moment?.rejected).toBeUndefined();
  });

  it('shifts spans by the system prompt of the conversation', () => {
    const conversations = new Map([
      [conversation.id, { ...conversation, systemPrompt: 'Be kind.' }],
    ]);
    const [moment] = gather(input({ conversations })).flagged;
    expect(moment?.context.messages[0]).toEqual({ role: 'system', content: 'Be kind.' });
    expect(moment?.context.spans[0]?.message).toBe(3);
  });

  it('learns nothing from a conversation that is excluded, deleted or gone', () => {
    const excluded = new Map([[conversation.id, { ...conversation, canLearn: false }]]);
    expect(gather(input({ conversations: excluded }))).toEqual({ flagged: [], everyday: [] });
    expect(gather(input({ conversations: new Map() }))).toEqual({ flagged: [], everyday: [] });
    expect(gather(input({ flags: [flag({ messageId: 'gone' })] })).flagged).toEqual([]);
  });

  it('keeps a flagged reply whole when it was replaced, and holds nothing that replaced it', () => {
    const [first, second, third, said] = conversation.messages;
    const messages = [first, second, third, { ...said, id: 'a3', content: 'At your service.' }];
    const again = { ...conversation, messages: messages as Conversation['messages'] };
    const conversations = new Map([
      [conversation.id, { ...again, replaced: conversation.messages.slice(3) }],
    ]);
    const missed = gather(input({ conversations }));
    expect(missed.flagged[0]).toMatchObject({ rejected: 'I booked the opera.' });
    expect(missed.everyday.map(({ id }) => id)).toEqual(['log-talk-1-a1']);
    const good = gather(
      input({ conversations, flags: [flag({ kind: 'good', betterWords: null })] }),
    );
    expect(good.flagged[0]).toMatchObject({ chosen: 'I booked the opera.' });
    expect(good.everyday.map(({ id }) => id)).toEqual(['log-talk-1-a1']);
  });

  it('holds no copy of a missed turn as an everyday one', () => {
    const copy = { ...conversation, id: 'copy' };
    const { everyday } = gather(
      input({
        conversations: new Map([
          [conversation.id, conversation],
          ['copy', copy],
        ]),
      }),
    );
    expect(everyday.map(({ id }) => id).sort()).toEqual(['log-copy-a1', 'log-talk-1-a1']);
  });

  it('replays answered turns that nobody marked, up to the limit', () => {
    const { everyday } = gather(input());
    expect(everyday.map((scenario) => scenario.chosen)).toEqual(['How about the opera?']);
    expect(gather(input({ everydayMax: 0 })).everyday).toEqual([]);
  });

  it('replays no more characters than it may: a turn that does not fit is passed over', () => {
    const long = { id: 'u0', role: 'user' as const, content: 'x'.repeat(50), at: 0 };
    const [first, ...rest] = conversation.messages;
    if (first === undefined) throw new Error('no message');
    const conversations = new Map([
      [conversation.id, conversation],
      ['talk-2', { ...conversation, id: 'talk-2', messages: [long, { ...first, at: 1 }, ...rest] }],
    ]);
    const count = (everydayCharactersMax: number) =>
      gather(input({ conversations, flags: [], everydayCharactersMax })).everyday.length;
    expect(count(1_000)).toBe(4);
    expect(count(100)).toBe(2);
    expect(count(16)).toBe(1);
    expect(count(15)).toBe(0);
  });

  describe('in a very long conversation', () => {
    const TURNS = 400;
    const messages = Array.from({ length: TURNS }, (_, turn) => [
      { id: `u${turn}`, role: 'user' as const, content: `${turn} ${'ask '.repeat(50)}`, at: turn },
      { id: `a${turn}`, role: 'assistant' as const, content: 'tell '.repeat(50), at: turn },
    ]).flat();
    const conversations = new Map([[conversation.id, { ...conversation, messages }]]);
    const rest = { userSpan: null, replySpan: null } as const;
    const last = flag({ messageId: 'u399', replyId: 'a399', ...rest });
    /** A word is a token. */
    const exampleOf = (contextCharactersMax: number) => {
      const [moment] = gather(
        input({ conversations, flags: [last], contextCharactersMax }),
      ).flagged;
      const { context, chosen = '' } = moment ?? {};
      const scenario = parseScenario({ ...context, chosen });
      const limits = { windowTokens: 1_000, replyTokensMax: 100 };
      return { scenario, example: toExample(scenario, wordRenderer(1_000), limits) };
    };

    it('keeps what fills a window, and the example is the one of the whole conversation', () => {
      const whole = exampleOf(Number.POSITIVE_INFINITY);
      const cut = exampleOf(16_000);
      expect(whole.scenario.messages).toHaveLength(2 * TURNS - 1);
      expect(cut.scenario.messages.length).toBeLessThan(400);
      expect(cut.example.contextIds).toEqual(whole.example.contextIds);
    });

    it('keeps a direction however far back, and of many moments the newest that fit', () => {
      const text = 'ask';
      const far = { messageId: 'u3', span: { start: 2, end: 5, text } };
      const early = flag({ ...last, id: 'early', userSpan: far });
      const flags = [early, ...Array.from({ length: 9 }, (_, at) => ({ ...last, id: `f${at}` }))];
      const all = gather(input({ conversations, flags, flaggedBytesMax: 2 ** 24 })).flagged;
      const [moment] = all;
      expect(all).toHaveLength(10);
      const [span] = moment?.context.spans ?? [];
      expect(moment?.context.messages[span?.message ?? 0]?.content).toMatch(/^3 ask/);
      const few = gather(input({ conversations, flags, flaggedBytesMax: 150_000 })).flagged;
      expect(few.length).toBeLessThan(9);
      expect(few.at(-1)?.flagId).toBe('f8');
    });
  });

  it('holds back about one flag in five from the tenth on, always the same ones', () => {
    const flags = Array.from({ length: 400 }, (_, i) => flag({ id: `flag-${i}` }));
    const held = gather(input({ flags })).flagged.filter((moment) => moment.isHeldBack);
    expect(held.length).toBeGreaterThan(50);
    expect(held.length).toBeLessThan(110);
    expect(held.every((moment) => isDrawn(moment.flagId, 5))).toBe(true);
    const first = gather(input({ flags: flags.slice(0, 9) })).flagged;
    expect(first.some((moment) => moment.isHeldBack)).toBe(false);
  });
});
