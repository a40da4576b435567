// A daemon whose upstream is another daemon: Attune's own OpenAI API is the server that runs here.
// The day of a person and of programs, and what happens when that server dies.
import { request } from 'node:http';
import OpenAI from 'openai';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  openTestDaemon,
  type TestDaemon,
  type TestDaemonOptions,
} from '../server/open-test-daemon.ts';
import { HeldEngine, HOLD } from '../web/held-engine.ts';

let engine: HeldEngine;
let server: TestDaemon;
let daemon: TestDaemon;

async function openServer(options: TestDaemonOptions = {}): Promise<TestDaemon> {
  engine = new HeldEngine();
  const config = { server: { shutdownTimeoutMs: 0, ...options.config?.server } };
  return openTestDaemon({ engine, ...options, config });
}

function openDaemon(): Promise<TestDaemon> {
  const upstream = { kind: 'openai', url: server.url, model: 'attune' } as const;
  return openTestDaemon({ config: { engine: { upstream } } });
}

beforeEach(async () => {
  server = await openServer();
  daemon = await openDaemon();
  await until(() => /^it is/.test(daemon.watch.view().upstream?.check ?? ''));
});

afterEach(async () => {
  await daemon.end();
  await server.end();
});

async function until(isSo: () => boolean): Promise<void> {
  for (let tries = 0; !isSo(); tries++) {
    if (tries > 400) throw new Error('it never came to be so');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const records = async (id: string) => [...(await daemon.conversations.read(id)).entries];
const openai = (own = daemon) =>
  new OpenAI({ apiKey: 'none', baseURL: `${own.url}/v1`, maxRetries: 0 });
const user = (content: string) => ({ role: 'user' as const, content });

describe('a daemon before a server', () => {
  it('says which server speaks, and that it is the file that trains', () => {
    const { upstream } = daemon.watch.view();
    expect(upstream).toMatchObject({ kind: 'openai', model: 'attune', status: 'ready' });
    expect(upstream?.check).toMatch(/^it is the file that trains: \d+ log-probabilities/);
  });

  it('answers a person by asking the server, word by word, and keeps who spoke', async () => {
    const client = await daemon.connect();
    engine.answer = 'The blue room.';
    const before = daemon.engine.requests.length;
    const { reply } = await client.say('c', 'm1', 'Which room?');
    expect(reply.text).toBe('The blue room.');
    expect(client.all('reply-delta').length).toBeGreaterThan(3);
    expect(daemon.engine.requests.length).toBe(before);
    expect(reply.versionRuns).toEqual([[0, 14, expect.stringMatching(/./)]]);
    expect((await records('c')).at(-1)).toMatchObject({
      making: { server: 'openai', modelId: 'attune' },
      usage: { replyTokens: 14 },
    });
  });

  it('answers a flagged message again, told, by asking the server', async () => {
    const client = await daemon.connect();
    client.send({ type: 'event-subscribe', topics: ['flags'] });
    engine.answer = 'How about the red room?';
    const { reply } = await client.say('c', 'm1', 'I want the blue room. What do you think?');
    client.send({ type: 'flag-add', flag: { id: 'f', conversationId: 'c', replyId: reply.id } });
    await client.next('flag-added');
    engine.answer = 'The blue room is yours.';
    client.send({ type: 'told-ask', flagId: 'f' });
    const { told } = await client.next('told-end');
    expect(told.text).toBe('The blue room is yours.');
    const prompt = String.fromCharCode(...(engine.requests.at(-1)?.ids ?? []));
    expect(prompt.match(/I want the blue room/g)?.length).toBeGreaterThan(1);
  });

  it('ends the work of the server when a person stops a reply', async () => {
    const client = await daemon.connect();
    engine.answer = `One ${HOLD} two`;
    client.send({ type: 'message-say', conversationId: 'c', messageId: 'm', text: 'Count.' });
    await until(() => daemon.chat.running('c')?.text === 'One ');
    client.send({ type: 'reply-stop', conversationId: 'c' });
    const { reply } = await client.next('reply-end');
    expect([reply.text.trim(), reply.stopReason]).toEqual(['One', 'aborted']);
    await until(() => server.chat.repliesRunning === 0);
  });

  it('ends the work of the server when a program goes away', async () => {
    engine.answer = `One ${HOLD} two`;
    const body = JSON.stringify({ model: 'attune', stream: true, messages: [user('Count.')] });
    const headers = { 'content-type': 'application/json' };
    const asking = request(`${daemon.url}/v1/chat/completions`, { method: 'POST', headers });
    asking.on('error', () => undefined).end(body);
    await until(() => server.chat.repliesRunning === 1);
    asking.destroy();
    await until(() => server.chat.repliesRunning === 0);
  });

  it('gives programs what the server gives, and keeps what was said', async () => {
    engine.answer = 'Certainly.';
    const messages = [user('Shall we?')];
    const answer = await openai().chat.completions.create({ model: 'attune', messages });
    expect(answer.choices[0]?.message.content).toBe('Certainly.');
    const [id] = daemon.store.conversations.ids().slice(-1);
    const entries = await records(id as string);
    expect(entries.map(({ text }) => text)).toEqual(['Shall we?', 'Certainly.']);
    expect(entries[1]).toMatchObject({ making: { server: 'openai' } });
    // The conversation goes on in its log.
    messages.push({ role: 'assistant', content: 'Certainly.' } as never, user('And then?'));
    await openai().chat.completions.create({ model: 'attune', messages });
    expect((await records(id as string)).length).toBe(4);
  });

  it('passes tools on, and calls of them back', async () => {
    engine.answer = '<tool_call>{"name": "look", "arguments": {"at": "sky"}}</tool_call>';
    const tools = [{ type: 'function' as const, function: { name: 'look', parameters: {} } }];
    const request = { model: 'attune', tools, messages: [user('What is up?')] };
    const answer = await openai().chat.completions.create(request);
    expect(answer.choices[0]?.message.tool_calls).toMatchObject([
      { function: { name: 'look', arguments: '{"at":"sky"}' } },
    ]);
    const streamed = openai().chat.completions.stream(request);
    expect((await streamed.finalChatCompletion()).choices[0]?.finish_reason).toBe('tool_calls');
  });

  it('serves the Responses API, and leaves out what programs ask for themselves', async () => {
    engine.answer = 'Indeed.';
    const before = daemon.store.conversations.size;
    const answer = await openai().responses.create({ model: 'attune', input: 'Is it?' });
    expect(answer.output_text).toBe('Indeed.');
    expect(daemon.store.conversations.size).toBe(before + 1);
    const task = '### Task:\nGenerate a concise, 3-5 word title of the chat.';
    await openai().chat.completions.create({ model: 'attune', messages: [user(task)] });
    await openai().chat.completions.create({
      model: 'attune',
      store: false,
      messages: [user('x')],
    });
    expect(daemon.store.conversations.size).toBe(before + 1);
  });

  it('gives the refusals of the server as they are', async () => {
    const asked = {
      model: 'attune',
      messages: [user('x')],
      response_format: { type: 'json_object' },
    };
    const init = (url: string) =>
      fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(asked),
      });
    const [direct, passed] = [await init(server.url), await init(daemon.url)];
    expect(passed.status).toBe(direct.status);
    expect(await passed.text()).toBe(await direct.text());
  });
});

describe('a server that dies', () => {
  it('is a state with a message, keeps what was said, and is found again by itself', async () => {
    const client = await daemon.connect();
    engine.answer = `One ${HOLD} two`;
    client.send({ type: 'message-say', conversationId: 'c', messageId: 'm1', text: 'Count.' });
    await until(() => daemon.chat.running('c')?.text === 'One ');
    const { port } = server;
    const { folder } = server;
    await server.stop();
    const cut = await client.next('reply-end');
    expect(cut.reply.text.trim()).toBe('One');
    const failed = await client.say('c', 'm2', 'Still there?');
    expect(failed.error?.code).toBe('upstream-failed');
    expect(failed.error?.message).toMatch(/^No server answers at .*Is it running\?$/);
    const { upstream, status } = daemon.watch.view();
    expect([upstream?.status, status]).toEqual(['down', 'restarting']);
    expect(upstream?.message).toMatch(/No server answers/);
    server = await openServer({ folder, config: { server: { port } } });
    await until(() => daemon.watch.view().status === 'ready');
    engine.answer = 'Yes.';
    client.send({ type: 'reply-regenerate', conversationId: 'c', replyId: 'again' });
    const { reply } = await client.next('reply-end', (end) => end.reply.id === 'again');
    expect(reply.text).toBe('Yes.');
    expect((await records('c')).map(({ text }) => text.trim()).filter(Boolean)).toEqual([
      ...['Count.', 'One', 'Still there?', 'Yes.'],
    ]);
  });
});
