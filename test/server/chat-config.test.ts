import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ConfigPatch } from '../../src/config/schema.ts';
import { resolveSampling } from '../../src/protocol/sampling.ts';
import type { ChatTokenizer, RenderRequest } from '../../src/tokenizer/chat-tokenizer.ts';
import { fakeTokenizer, textOfIds } from '../fakes/fake-tokenizer.ts';
import { openTestDaemon, type TestDaemon } from './open-test-daemon.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let daemon: TestDaemon;

afterEach(() => daemon.end());

async function open(chat: ConfigPatch['chat'], windowTokens = 4096) {
  daemon = await openTestDaemon({ config: { chat }, windowTokens });
  return daemon.connect();
}

const asked = () => daemon.engine.requests.at(-1);

it('a template writes one date and the variables of its conversation, turn after turn', async () => {
  const asked: RenderRequest[] = [];
  const tokenizer: ChatTokenizer = {
    ...fakeTokenizer,
    renderChat(messages, request = {}) {
      asked.push(request);
      return fakeTokenizer.renderChat(messages, request);
    },
  };
  daemon = await openTestDaemon({ tokenizer });
  const client = await daemon.connect();
  const settings = { templateVariables: { enable_thinking: false } };
  client.send({ type: 'conversation-create', conversationId: 'a', settings });
  const { conversation } = await client.next('conversation-created');
  await client.say('a', 'a1', 'hello');
  await client.say('a', 'a2', 'again');
  const rendering = { at: conversation.createdAt, variables: settings.templateVariables };
  expect(asked).toMatchObject([rendering, rendering]);
  const body = {
    ...{ model: 'attune', messages: [{ role: 'user', content: 'hi' }] },
    chat_template_kwargs: { enable_thinking: true },
  };
  const request = { method: 'POST', body: JSON.stringify(body) };
  const headers = { 'content-type': 'application/json' };
  await fetch(`${daemon.url}/v1/chat/completions`, { ...request, headers });
  expect(asked.at(-1)?.variables).toEqual({ enable_thinking: true });
});

describe('what the configuration says of every talk', () => {
  it('systemPrompt: stands first in the prompt, unless the talk has its own', async () => {
    const client = await open({ systemPrompt: 'Be kind.' });
    await client.say('a', 'a1', 'hello');
    expect(textOfIds(asked()?.ids ?? [])).toMatch(/^<system>Be kind\.<end><user>hello/);
    const settings = { systemPrompt: 'Be brief.' };
    client.send({ type: 'conversation-configure', conversationId: 'a', settings });
    await client.next('conversation-updated');
    await client.say('a', 'a2', 'again');
    expect(textOfIds(asked()?.ids ?? [])).toMatch(/^<system>Be brief\.<end><user>hello/);
  });

  it('sampling and replyTokensMax: reach the engine, and a reply that long says so', async () => {
    const client = await open({ replyTokensMax: 5, sampling: { temperature: 1.5, topK: 3 } });
    const { reply } = await client.say('a', 'a1', 'hello');
    expect(asked()).toMatchObject({
      replyTokensMax: 5,
      sampling: { temperature: 1.5, topK: 3, topP: 0.95 },
    });
    expect([reply.text, reply.stopReason]).toEqual(['You s', 'length']);
  });

  it("sampling: the model's values hold under the talk's and the configuration's", async () => {
    const sampling = resolveSampling([{ temperature: 0.3, topK: 9, topP: 0.5 }, { topK: 8 }]);
    daemon = await openTestDaemon({ sampling });
    const client = await daemon.connect();
    const settings = { topP: 0.6 };
    client.send({ type: 'conversation-create', conversationId: 'a', settings });
    await client.next('conversation-created');
    await client.say('a', 'a1', 'hello');
    expect(asked()?.sampling).toMatchObject({
      ...{ temperature: 0.3, topK: 8, topP: 0.6 },
      ...{ minP: 0, repetitionPenalty: 1 },
    });
  });

  it('stopStrings: end every reply before them', async () => {
    const client = await open({ stopStrings: ['END'] });
    const { reply } = await client.say('a', 'a1', 'one END two');
    expect([reply.text, reply.stopReason]).toEqual(['You said: one ', 'stop']);
  });

  it('replyReserveTokens: old turns leave the window for a reply of that length', async () => {
    const turns = async (replyReserveTokens: number): Promise<number> => {
      const client = await open({ replyReserveTokens, replyTokensMax: 200 }, 300);
      await client.say('a', 'a1', 'x'.repeat(60));
      const { reply } = await client.say('a', 'a2', 'y'.repeat(40));
      return reply.window?.turnsDropped ?? -1;
    };
    expect(await turns(20)).toBe(0);
    await daemon.end();
    expect(await turns(140)).toBe(1);
  });
});
