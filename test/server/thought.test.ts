// A model that thinks: its thoughts are streamed, stored and shown apart from what it says.
import OpenAI from 'openai';
import { afterEach, describe, expect, it } from 'vitest';
import { conversationOf } from '../../src/night/prepare.ts';
import type { Thoughts } from '../../src/tokenizer/thought.ts';
import { END_ID, fakeTokenizer, idsOf, textOfIds } from '../fakes/fake-tokenizer.ts';
import { openTestDaemon, type TestDaemon } from './open-test-daemon.ts';

let daemon: TestDaemon;
afterEach(() => daemon.end());

async function open(thoughts: Thoughts, tokenDelayMs = 0): Promise<TestDaemon> {
  daemon = await openTestDaemon({
    tokenizer: { ...fakeTokenizer, thoughts },
    reply: () => [...idsOf('<think>\nHm, well.\n</think>\n\nHello'), END_ID],
    tokenDelayMs,
  });
  return daemon;
}

const prompt = (): string => textOfIds(daemon.engine.requests.at(-1)?.ids ?? []);

describe('a thought', () => {
  it('is streamed, told and stored apart from the text', async () => {
    const client = await (await open('written')).connect();
    const { reply } = await client.say('a', 'a1', 'hi');
    expect(reply).toMatchObject({ text: 'Hello', thought: 'Hm, well.\n' });
    const streamed = client.all('thought-delta').map(({ text }) => text);
    expect(streamed.join('')).toBe('Hm, well.\n');
    expect(client.textOf(reply.id)).toBe('Hello');
    const entry = (await daemon.conversations.read('a')).entries.at(-1);
    expect(entry).toMatchObject({ text: 'Hello', thought: 'Hm, well.\n' });
  });

  it('reaches a client that joins while it is thought', async () => {
    const first = await (await open('written', 5)).connect();
    first.send({ type: 'message-say', conversationId: 'a', messageId: 'a1', text: 'hi' });
    await first.next('thought-delta');
    const second = await daemon.connect();
    second.send({ type: 'conversation-open', conversationId: 'a' });
    const { running } = await second.next('conversation-opened');
    await second.next('reply-end');
    const rest = second.all('thought-delta').map(({ text }) => text);
    expect(running?.thought + rest.join('')).toBe('Hm, well.\n');
  });

  it.each([
    ['written', '<assistant><think>\nHm, well.\n</think>\n\nHello<end>'],
    ['unwritten', '<assistant>Hello<end>'],
  ] as const)(
    'goes into later prompts only where the template knows of it (%s)',
    async (thoughts, said) => {
      const client = await (await open(thoughts)).connect();
      await client.say('a', 'a1', 'hi');
      await client.say('a', 'a2', 'again');
      expect(prompt()).toContain(said);
    },
  );

  it('is nothing that a night learns from, wherever it stands', async () => {
    const client = await (await open('written')).connect();
    await client.say('thinks', 'a1', 'hi');
    expect(
      conversationOf(await daemon.conversations.read('thinks'), { systemPrompt: '' }).messages[1]
        ?.content,
    ).toBe('Hello');
    await daemon.end();
    const before = await (await open('none')).connect();
    await before.say('thought', 'a1', 'hi');
    const state = await daemon.conversations.read('thought');
    expect(state.entries.at(-1)).toMatchObject({ text: expect.stringContaining('Hm, well.') });
    expect(conversationOf(state, { systemPrompt: '' }).messages[1]?.content).toBe('Hello');
  });
});

describe('the OpenAI route', () => {
  it('gives the thought as reasoning_content, whole and streamed', async () => {
    const { url } = await open('written');
    const client = new OpenAI({ apiKey: 'none', baseURL: `${url}/v1`, maxRetries: 0 });
    const request = { model: 'attune', messages: [{ role: 'user' as const, content: 'hi' }] };
    const whole = await client.chat.completions.create(request);
    expect(whole.choices[0]?.message).toMatchObject({
      content: 'Hello',
      reasoning_content: 'Hm, well.\n',
    });
    const parts = { content: '', reasoning_content: '' };
    for await (const { choices } of await client.chat.completions.create({
      ...request,
      stream: true,
    })) {
      const delta: { content?: string | null; reasoning_content?: string } =
        choices[0]?.delta ?? {};
      parts.content += delta.content ?? '';
      parts.reasoning_content += delta.reasoning_content ?? '';
    }
    expect(parts).toEqual({ content: 'Hello', reasoning_content: 'Hm, well.\n' });
  });
});
