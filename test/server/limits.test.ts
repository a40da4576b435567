import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ConfigPatch } from '../../src/config/schema.ts';
import { CLOSE_CODE } from '../../src/protocol/handshake.ts';
import { openTestDaemon, type TestDaemon, type TestDaemonOptions } from './open-test-daemon.ts';
import { TestClient } from './test-client.ts';

// Time limits are waited for.
vi.setConfig({ testTimeout: 60_000 });

let daemon: TestDaemon;

type Server = NonNullable<ConfigPatch['server']>;

async function open(
  limits: Server['limits'],
  more: Omit<Server, 'limits'> = {},
  options: TestDaemonOptions = {},
): Promise<TestDaemon> {
  daemon = await openTestDaemon({ ...options, config: { server: { ...more, limits } } });
  return daemon;
}

afterEach(() => daemon.end());

const say = (conversationId: string, messageId: string, text = 'hello') =>
  ({ type: 'message-say', conversationId, messageId, text }) as const;

describe('a passed limit of the WebSocket gives a coded error', () => {
  it('connectionsMax: one client too many is told and closed', async () => {
    await open({ connectionsMax: 2 });
    await daemon.connect();
    await daemon.connect();
    const third = await TestClient.open(daemon.port);
    expect((await third.next('error')).code).toBe('connections-limit');
    expect(await third.closed()).toBe(CLOSE_CODE['connections-limit']);
  });

  it('payloadBytesMax: a longer frame closes the connection with 1009', async () => {
    const client = await (await open({ payloadBytesMax: 4096 })).connect();
    client.send(say('talk', 'm', 'x'.repeat(5000)));
    expect(await client.closed()).toBe(CLOSE_CODE['payload-too-large']);
    expect(daemon.store.conversations.size).toBe(0);
  });

  it('an export that is too long for a frame is refused, and the connection stays', async () => {
    const client = await (await open({})).connect();
    const messages = Array.from({ length: 5 }, (_, at) => {
      return { id: `m${at}`, role: 'user', text: 'x'.repeat(1_000_000), at: 1 };
    });
    const body = JSON.stringify({ id: 'long', title: 'Long', origin: 'import', messages });
    const headers = { 'Content-Type': 'application/json' };
    await fetch(`${daemon.url}/api/conversations`, { method: 'POST', headers, body });
    client.send({ type: 'conversation-export', conversationId: 'long' });
    client.send(say('other', 'm'));
    const error = await client.next('error');
    expect(error.code).toBe('payload-too-large');
    expect(error.message).toContain('GET /api/conversations/ID/export');
    await client.next('message-stored', ({ message }) => message.id === 'm');
  });

  it('texts of a flag: a longer reason or longer better words are refused', async () => {
    const client = await (await open({})).connect();
    const { reply } = await client.say('a', 'm', 'hello');
    for (const long of [{ reason: 'x'.repeat(10_001) }, { betterWords: 'x'.repeat(100_001) }]) {
      client.send({
        type: 'flag-add',
        flag: { id: 'f', conversationId: 'a', replyId: reply.id, ...long },
      });
      expect((await client.next('error')).code).toBe('message-invalid');
    }
    expect(daemon.store.flags.list()).toEqual([]);
  });

  it('messageCharactersMax: a longer message is refused and not stored', async () => {
    const client = await (await open({ messageCharactersMax: 10 })).connect();
    client.send(say('talk', 'm', 'eleven char'));
    expect((await client.next('error')).code).toBe('message-too-long');
    expect(daemon.store.conversations.size).toBe(0);
  });

  it('messagesPerMinuteMax: says when to try again, and closes who will not listen', async () => {
    const client = await (await open({ messagesPerMinuteMax: 8 })).connect();
    for (let at = 0; at < 4; at++) client.send({ type: 'heartbeat-ping' });
    const error = await client.next('error');
    expect(error.code).toBe('rate-limit');
    expect(error.retryAfterMs).toBeGreaterThan(0);
    for (let at = 0; at < 200; at++) client.send({ type: 'heartbeat-ping' });
    expect(await client.closed()).toBe(CLOSE_CODE['rate-limit']);
  });

  it('repliesMax: one reply too many is refused with a time to try again', async () => {
    await open({ repliesMax: 2 }, {}, { tokenDelayMs: 20 });
    const client = await daemon.connect();
    for (const talk of ['a', 'b', 'c']) client.send(say(talk, `${talk}1`, 'x'.repeat(100)));
    const error = await client.next('error');
    expect(error).toMatchObject({ code: 'replies-limit', retryAfterMs: 1000 });
    expect(daemon.store.conversations.has('c')).toBe(false);
  });

  it('openConversationsMax: a connection follows no more talks than that', async () => {
    const client = await (await open({ openConversationsMax: 1 })).connect();
    await client.say('a', 'a1', 'hello');
    client.send({ ...say('b', 'b1'), requestId: 'second' });
    expect(await client.next('error')).toMatchObject({
      code: 'subscriptions-limit',
      requestId: 'second',
    });
    client.send({ type: 'conversation-close', conversationId: 'a' });
    await client.say('b', 'b1', 'hello');
  });

  it('conversationsMax, conversationMessagesMax and flagsMax hold for the store', async () => {
    await open({ conversationsMax: 1, conversationMessagesMax: 3, flagsMax: 1 });
    const client = await daemon.connect();
    await client.say('a', 'a1', 'hello');
    const { reply } = await client.say('a', 'a2', 'hello');
    client.send(say('a', 'a3'));
    expect((await client.next('error')).code).toBe('conversation-too-long');
    client.send(say('b', 'b1'));
    expect((await client.next('error')).code).toBe('conversations-limit');
    const flag = { conversationId: 'a', replyId: reply.id } as const;
    client.send({ type: 'flag-add', flag: { ...flag, id: 'f1' } });
    await client.next('flag-added');
    client.send({ type: 'flag-add', flag: { ...flag, id: 'f2' } });
    expect((await client.next('error')).code).toBe('flags-limit');
  });

  it('searchResultsMax and conversationPageMax bound what one answer holds', async () => {
    await open({ searchResultsMax: 1, conversationPageMax: 1 });
    const client = await daemon.connect();
    await client.say('a', 'a1', 'needle');
    await client.say('b', 'b1', 'needle');
    client.send({ type: 'conversation-search', query: 'needle', limit: 50 });
    const found = await client.next('conversation-found');
    expect(found.hits).toHaveLength(1);
    expect(found.isTruncated).toBe(true);
    client.send({ type: 'conversation-list', limit: 50 });
    const first = await client.next('conversation-listed');
    expect(first.conversations.map(({ id }) => id)).toEqual(['b']);
    client.send({ type: 'conversation-list', limit: 50, cursor: first.nextCursor ?? '' });
    const second = await client.next('conversation-listed');
    expect(second.conversations.map(({ id }) => id)).toEqual(['a']);
    expect(second.nextCursor).toBeNull();
  });

  it('historyPageMax and historyPageCharactersMax bound a page, and pages make up the talk', async () => {
    await open({ historyPageMax: 3, historyPageCharactersMax: 40 });
    const client = await daemon.connect();
    for (const at of [1, 2, 3]) await client.say('a', `m${at}`, `number ${at}`);
    await client.say('a', 'm4', 'x'.repeat(60));
    client.send({ type: 'conversation-open', conversationId: 'a', limit: 500 });
    const { conversation } = await client.next('conversation-opened');
    expect(conversation).toMatchObject({ messages: 8, messagesBefore: 7 });
    const pages = [conversation.history];
    for (let left = conversation.messagesBefore; left > 0; ) {
      const before = pages[0]?.[0]?.id as string;
      client.send({ type: 'history-list', conversationId: 'a', before, limit: 500 });
      const page = await client.next('history-listed');
      expect(page.messagesBefore).toBe(left - page.history.length);
      left = page.messagesBefore;
      pages.unshift(page.history);
    }
    expect(pages.map((page) => page.length)).toEqual([2, 2, 2, 1, 1]);
    const said = pages.flat().filter(({ role }) => role === 'user');
    expect(said.map(({ id }) => id)).toEqual(['m1', 'm2', 'm3', 'm4']);
    client.send({ type: 'history-list', conversationId: 'a', before: 'nobody' });
    expect((await client.next('error')).code).toBe('message-not-found');
  });

  it('openLogsMax: more talks than open files are served all the same', async () => {
    const client = await (await open({ openLogsMax: 2 })).connect();
    for (const round of [1, 2]) {
      for (const talk of ['a', 'b', 'c', 'd', 'e']) {
        await client.say(talk, `${talk}${round}`, `round ${round}`);
      }
    }
    client.send({ type: 'conversation-open', conversationId: 'a' });
    const { history } = (await client.next('conversation-opened')).conversation;
    expect(history).toHaveLength(4);
  });

  it('helloTimeoutMs: who says nothing is closed', async () => {
    await open({}, { helloTimeoutMs: 100 });
    const client = await daemon.connect({ hello: false });
    expect((await client.next('error')).code).toBe('hello-expected');
    expect(await client.closed()).toBe(CLOSE_CODE['hello-expected']);
  });

  it('heartbeatTimeoutMs: who answers no ping is closed', async () => {
    await open({}, { heartbeatIntervalMs: 1000, heartbeatTimeoutMs: 1000 });
    const client = await daemon.connect();
    // As if the machine at the other end were gone: nothing is read, so no pong is written.
    client.socket.pause();
    await new Promise((resolve) => setTimeout(resolve, 4500));
    client.socket.resume();
    expect(await client.closed()).toBe(CLOSE_CODE['heartbeat-missed']);
  }, 20_000);
});

describe('a passed limit of HTTP gives a coded error', () => {
  const code = async (response: Response): Promise<string> =>
    ((await response.json()) as { error: { code: string } }).error.code;

  it('payloadBytesMax holds for bodies, importBytesMax for imported talks', async () => {
    await open({ payloadBytesMax: 2048, importBytesMax: 4096 });
    const send = (path: string, body: unknown): Promise<Response> =>
      fetch(daemon.url + path, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      });
    const long = { id: 'f', conversationId: 'a', replyId: 'r', reason: 'x'.repeat(3000) };
    const refused = await send('/api/flags', long);
    expect([refused.status, await code(refused)]).toEqual([413, 'payload-too-large']);
    const talk = (text: string) => ({
      id: 'a',
      title: 't',
      origin: 'import',
      messages: [{ id: 'm', role: 'user', text, at: 1 }],
    });
    expect((await send('/api/conversations', talk('x'.repeat(3000)))).status).toBe(201);
    const larger = await send('/api/conversations', talk('x'.repeat(5000)));
    expect(await code(larger)).toBe('payload-too-large');
  });

  it('requestsPerMinuteMax answers 429 with Retry-After', async () => {
    await open({ requestsPerMinuteMax: 4 });
    expect((await fetch(`${daemon.url}/api/flags`)).status).toBe(200);
    const second = await fetch(`${daemon.url}/api/flags`);
    expect(second.status).toBe(429);
    expect(Number(second.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await code(second)).toBe('rate-limit');
    expect((await fetch(`${daemon.url}/healthz`)).status).toBe(200);
  });

  it('httpRequestsMax answers 503 when so many are worked on', async () => {
    await open({ httpRequestsMax: 1 }, {}, { tokenDelayMs: 50 });
    const body = JSON.stringify({
      model: 'attune',
      messages: [{ role: 'user', content: 'x'.repeat(40) }],
    });
    const init = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body };
    const slow = fetch(`${daemon.url}/v1/chat/completions`, init);
    await expect.poll(() => daemon.engine.repliesInFlight).toBe(1);
    const refused = await fetch(`${daemon.url}/api/flags`);
    expect([refused.status, await code(refused)]).toEqual([503, 'connections-limit']);
    expect((await slow).status).toBe(200);
  });
});
