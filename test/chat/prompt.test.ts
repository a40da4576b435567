import { describe, expect, it } from 'vitest';
import { buildPrompt } from '../../src/chat/prompt.ts';
import { resolveSettings } from '../../src/chat/settings.ts';
import type { Entry } from '../../src/conversation/state.ts';
import { turnsOf } from '../../src/conversation/window.ts';
import type { ChatTokenizer } from '../../src/tokenizer/chat-tokenizer.ts';
import { fakeTokenizer, idsOf, textOfIds } from '../fakes/fake-tokenizer.ts';

function message(id: string, text: string): Entry {
  return { type: 'message', id, at: 1, text };
}

function reply(id: string, messageId: string, text: string, more: object = {}): Entry {
  const made = { usage: { promptTokens: 0, reusedTokens: 0, replyTokens: 0 }, making: null };
  const rest = { replaces: null, isCut: false, versionRuns: [], window: null, ids: idsOf(text) };
  const kind = { type: 'reply', at: 1, stopReason: 'stop', isSuperseded: false } as const;
  return { ...kind, ...made, ...rest, id, messageId, text, ...more };
}

/** Turns with one answer each, and a last question. */
function conversation(turns: number, answer: string): Entry[] {
  const entries = Array.from({ length: turns }, (_, turn) => [
    message(`u${turn}`, `question ${turn}`),
    reply(`r${turn}`, `u${turn}`, answer),
  ]).flat();
  return [...entries, message('last', 'and?')];
}

const RENDERING = { at: 1, variables: {} };
const PLAIN = { ...RENDERING, systemPrompt: '', reserveTokens: 10 };

const build = (entries: readonly Entry[], windowTokens = 1000, systemPrompt = '') =>
  buildPrompt(fakeTokenizer, { ...PLAIN, turns: turnsOf(entries), systemPrompt, windowTokens });

const textOf = async (entries: readonly Entry[]) => textOfIds((await build(entries)).ids);

describe('the prompt', () => {
  it('holds system prompt, turns and the start of the reply', async () => {
    const entries = [message('u1', 'hi'), reply('r1', 'u1', 'hello'), message('u2', 'bye')];
    const { ids, window } = await build(entries, 1000, 'Be kind.');
    expect(textOfIds(ids)).toBe(
      '<system>Be kind.<end><user>hi<end><assistant>hello<end><user>bye<end><assistant>',
    );
    expect(window).toEqual({ turnsDropped: 0, firstMessageId: 'u1' });
  });

  it('has what the model really said, token for token, unless a stop string cut it', async () => {
    const said = reply('r1', 'u1', 'hello', { ids: idsOf('HELLO') });
    expect(await textOf([message('u1', 'a'), said, message('u2', 'b')])).toContain('HELLO');
    const cut = { ...said, isCut: true } as Entry;
    expect(await textOf([message('u1', 'a'), cut, message('u2', 'b')])).toContain('hello');
  });

  it('leaves out superseded and empty replies, and joins messages that got no answer', async () => {
    const entries = [
      message('u1', 'first'),
      reply('r1', 'u1', 'old', { isSuperseded: true }),
      reply('r2', 'u1', ''),
      message('u2', 'second'),
    ];
    const { ids, window } = await build(entries);
    expect(textOfIds(ids)).toBe('<user>first\n\nsecond<end><assistant>');
    expect(window.firstMessageId).toBe('u1');
  });

  it('drops the oldest whole turns when the window is full, and then keeps its beginning', async () => {
    const entries: Entry[] = [];
    const firsts: string[] = [];
    for (let turn = 0; turn < 30; turn++) {
      entries.push(message(`u${turn}`, `question ${turn}`));
      const { ids, window } = await build(entries, 200);
      expect(ids.length).toBeLessThanOrEqual(190);
      expect(window.firstMessageId).toBe(`u${window.turnsDropped}`);
      firsts.push(window.firstMessageId);
      entries.push(reply(`r${turn}`, `u${turn}`, `answer ${turn}`));
    }
    // It moves on in leaps, so that most turns only add to what is cached.
    const moves = firsts.filter((first, at) => at > 0 && first !== firsts[at - 1]).length;
    expect(moves).toBeGreaterThan(2);
    expect(moves).toBeLessThan(15);
  });

  it('fills the window also where a token holds many characters', async () => {
    const dense: Pick<ChatTokenizer, 'renderChat'> = {
      renderChat(messages, request) {
        const short = messages.map(({ role, content }) => ({ role, content: content.slice(-2) }));
        return fakeTokenizer.renderChat(short, request);
      },
    };
    const request = { ...PLAIN, turns: turnsOf(conversation(60, 'a'.repeat(40))) };
    const { ids } = await buildPrompt(dense, { ...request, windowTokens: 200 });
    expect(ids.length).toBeLessThanOrEqual(190);
    expect(ids.length).toBeGreaterThan(190 * 0.6);
  });

  it('is rendered with the time at which the conversation began and its variables', async () => {
    const asked: unknown[] = [];
    const noting: Pick<ChatTokenizer, 'renderChat'> = {
      renderChat(messages, request) {
        asked.push(request);
        return fakeTokenizer.renderChat(messages, request);
      },
    };
    const rendering = { at: 5, variables: { enable_thinking: false } };
    await buildPrompt(noting, {
      ...{ ...PLAIN, ...rendering },
      ...{ turns: turnsOf([message('last', 'and?')]), windowTokens: 200 },
    });
    expect(asked).toEqual([{ ...rendering, addGenerationPrompt: true }]);
  });

  it('renders a short end of a long conversation only', async () => {
    let rendered = 0;
    const counting: Pick<ChatTokenizer, 'renderChat'> = {
      renderChat(messages, request) {
        rendered += messages.length;
        return fakeTokenizer.renderChat(messages, request);
      },
    };
    const request = { ...PLAIN, turns: turnsOf(conversation(2_000, 'answer')) };
    const { window } = await buildPrompt(counting, { ...request, windowTokens: 200 });
    expect(window.turnsDropped).toBeGreaterThan(1_950);
    expect(rendered).toBeLessThan(200);
  });

  it('keeps the last message whatever else must go, and refuses one that alone is too long', async () => {
    const entries = [
      message('u1', 'x'.repeat(50)),
      reply('r1', 'u1', 'y'),
      message('u2', 'z'.repeat(90)),
    ];
    const { window } = await build(entries, 100);
    expect(window).toEqual({ turnsDropped: 1, firstMessageId: 'u2' });
    await expect(build([message('u1', 'z'.repeat(200))], 100)).rejects.toMatchObject({
      code: 'window-overflow',
    });
  });
});

describe('what cannot fit', () => {
  const none: Pick<ChatTokenizer, 'renderChat'> = {
    renderChat: () => Promise.reject(new Error('this was rendered')),
  };
  const buildUnrendered = (entries: readonly Entry[], systemPrompt = '') =>
    buildPrompt(none, { ...PLAIN, turns: turnsOf(entries), systemPrompt, windowTokens: 100 });

  it('is refused before it is rendered, and what is too long is named', async () => {
    const long = 'x '.repeat(900);
    await expect(buildUnrendered([message('u', long)])).rejects.toMatchObject({
      code: 'window-overflow',
      message: expect.stringContaining('This message is too long'),
    });
    await expect(buildUnrendered([message('u', 'hi')], long)).rejects.toMatchObject({
      code: 'window-overflow',
      message: expect.stringContaining('The system prompt is too long'),
    });
  });

  it('names the system prompt where that takes most of the window', async () => {
    await expect(build([message('u', 'hi')], 100, 'z'.repeat(120))).rejects.toMatchObject({
      message: expect.stringContaining('The system prompt takes 122 of 127 tokens'),
    });
  });

  it('is left out unrendered: a book among the older messages, and thousands of small ones', async () => {
    let rendered = 0;
    const counting: Pick<ChatTokenizer, 'renderChat'> = {
      renderChat(messages, request) {
        for (const { content } of messages) rendered += content.length + 10;
        return fakeTokenizer.renderChat(messages, request);
      },
    };
    const small = conversation(10_000, 'a');
    const entries = [message('book', 'b'.repeat(10_000_000)), reply('r', 'book', 'Yes.'), ...small];
    for (const all of [entries, entries.slice(0, 5)]) {
      rendered = 0;
      const { ids } = await buildPrompt(counting, {
        ...PLAIN,
        turns: turnsOf(all),
        windowTokens: 100,
      });
      expect(ids.length).toBeLessThanOrEqual(90);
      expect(rendered).toBeLessThan(2_000);
    }
  });
});

describe('settings of a reply', () => {
  const defaults = {
    systemPrompt: 'default',
    replyTokensMax: 100,
    stop: ['x'],
    sampling: { temperature: 0.7, topK: 40, topP: 0.9, minP: 0, repetitionPenalty: 1 },
  };

  it('come from the request, then the talk, then the configuration', () => {
    const talk = {
      ...{ temperature: 0.2, topK: 5, systemPrompt: 'talk' },
      templateVariables: { enable_thinking: true, tone: 'kind' },
    };
    const request = { temperature: 0.2, stop: [], templateVariables: { enable_thinking: false } };
    const resolved = resolveSettings(defaults, [talk, request], () => 7);
    expect(resolved).toEqual({
      systemPrompt: 'talk',
      replyTokensMax: 100,
      stop: [],
      templateVariables: { enable_thinking: false, tone: 'kind' },
      sampling: { temperature: 0.2, topK: 5, topP: 0.9, minP: 0, repetitionPenalty: 1, seed: 7 },
    });
  });

  it('keep a seed of zero', () => {
    expect(resolveSettings(defaults, [{ seed: 0 }], () => 7).sampling.seed).toBe(0);
  });
});
