import { afterEach, describe, expect, it, vi } from 'vitest';
import { silentLogger } from '../../src/base/logger.ts';
import { CLOSE_CODE, PROTOCOL_VERSION } from '../../src/protocol/handshake.ts';
import { fc } from '../property.ts';
import { openTestDaemon, type TestDaemon, type TestDaemonOptions } from './open-test-daemon.ts';
import type { TestClient } from './test-client.ts';

// The daemon is kept busy on purpose.
vi.setConfig({ testTimeout: 60_000 });

let daemon: TestDaemon;

async function open(options: TestDaemonOptions = {}): Promise<TestDaemon> {
  daemon = await openTestDaemon(options);
  return daemon;
}

afterEach(() => daemon.end());

const id = fc.constantFrom('a', 'b', 'c');
const requestId = fc.option(fc.string({ maxLength: 70 }), { nil: undefined });
const text = fc.oneof(fc.constant('hello'), fc.string({ maxLength: 300 }));

const message = (type: string, fields: Record<string, fc.Arbitrary<unknown>>) =>
  fc.record({ type: fc.constant(type), requestId, ...fields });
const settings = fc.record({ temperature: fc.oneof(fc.constant(null), fc.double()) });

/** Messages that are nearly right, so that they get past the schema and meet in any order. */
const nearlyRight = fc.oneof(
  message('message-say', { conversationId: id, messageId: id, text }),
  message('reply-stop', { conversationId: id }),
  message('reply-regenerate', { conversationId: id, replyId: id }),
  message('conversation-open', { conversationId: id }),
  message('conversation-close', { conversationId: id }),
  message('conversation-create', { conversationId: id }),
  message('conversation-delete', { conversationId: id }),
  message('conversation-export', { conversationId: id }),
  message('conversation-search', { query: text }),
  message('conversation-configure', { conversationId: id, settings }),
  message('flag-add', { flag: fc.record({ id, conversationId: id, replyId: id }) }),
  message('flag-withdraw', { flagId: id }),
  fc.record({
    type: fc.constant('client-hello'),
    protocol: fc.constant(1),
    client: fc.constant('x'),
  }),
);

const anything = fc.oneof(
  { arbitrary: nearlyRight.map((value) => JSON.stringify(value)), weight: 6 },
  { arbitrary: fc.json({ maxDepth: 4 }), weight: 2 },
  { arbitrary: fc.string({ maxLength: 200, unit: 'binary' }), weight: 1 },
  { arbitrary: fc.constant('['.repeat(50_000)), weight: 1 },
);

describe('whatever a client does', () => {
  it('any JSON in any order gives answers or coded errors, and the daemon lives on', async () => {
    await open({ config: { server: { limits: { messagesPerMinuteMax: 1_000_000 } } } });
    await fc.assert(
      fc.asyncProperty(fc.array(anything, { maxLength: 30 }), async (messages) => {
        const client = await daemon.connect();
        for (const message of messages) client.socket.send(message);
        client.send({ type: 'event-subscribe', requestId: 'last', topics: [] });
        await client.next('event-subscribed', (answer) => answer.requestId === 'last');
        for (const { code } of client.all('error')) expect(code).not.toBe('internal-error');
        client.kill();
      }),
      { numRuns: 40 },
    );
    expect((await fetch(`${daemon.url}/readyz`)).status).toBe(200);
  }, 120_000);

  it('binary frames and messages before the hello are refused', async () => {
    await open();
    const client = await daemon.connect({ hello: false });
    client.send({ type: 'conversation-list' });
    expect((await client.next('error')).code).toBe('hello-expected');
    expect(await client.closed()).toBe(CLOSE_CODE['hello-expected']);
    const second = await daemon.connect();
    second.socket.send(Buffer.from([1, 2, 3]));
    expect((await second.next('error')).code).toBe('message-invalid');
    second.send({ type: 'client-hello', protocol: PROTOCOL_VERSION, client: 'again' });
    expect((await second.next('error')).code).toBe('hello-repeated');
  });

  // 1: flags named the nights that used them by their ids alone.
  it.each([1, 99])('a client of protocol %i is told to reload, and closed', async (protocol) => {
    const client = await (await open()).connect({ hello: false });
    client.send({ type: 'client-hello', protocol, client: 'of another time' });
    const { code, message } = await client.next('error');
    expect(code).toBe('protocol-mismatch');
    expect(message).toContain('Reload the page');
    expect(await client.closed()).toBe(CLOSE_CODE['protocol-mismatch']);
  });

  it('a client that vanishes in the middle of a reply finds it whole when it comes back', async () => {
    await open({ tokenDelayMs: 2 });
    const client = await daemon.connect();
    const words = 'word '.repeat(30);
    client.send({ type: 'message-say', conversationId: 'a', messageId: 'm', text: words });
    await client.next('reply-delta');
    client.kill();
    await expect.poll(() => daemon.chat.repliesRunning, { timeout: 5000 }).toBe(0);
    const back = await daemon.connect();
    back.send({ type: 'message-say', conversationId: 'a', messageId: 'm', text: words });
    expect((await back.next('message-stored')).isDuplicate).toBe(true);
    expect((await back.next('reply-end')).reply.text).toBe(`You said: ${words}`);
    expect(daemon.engine.requests).toHaveLength(1);
  });

  it('an engine killed in the middle of a reply interrupts it, keeps its words, and is back', async () => {
    await open({ tokenDelayMs: 5 });
    const client = await daemon.connect();
    client.send({ type: 'event-subscribe', topics: ['engine'] });
    client.send({
      type: 'message-say',
      conversationId: 'a',
      messageId: 'm',
      text: 'x'.repeat(100),
    });
    await client.next('reply-delta');
    daemon.engine.die();
    const { reply, error } = await client.next('reply-end');
    expect(reply.stopReason).toBe('interrupted');
    expect(reply.text.length).toBeGreaterThan(0);
    expect(error?.code).toBe('engine-failed');
    expect(daemon.watch.view().status).toBe('restarting');
    daemon.engine.revive();
    await client.next('engine-changed', ({ engine }) => engine.status === 'ready');
    client.send({ type: 'reply-regenerate', conversationId: 'a', replyId: 'second' });
    const second = await client.next('reply-end', (end) => end.reply.id === 'second');
    expect(second.reply.text).toBe(`You said: ${'x'.repeat(100)}`);
  });

  it('sixty-four replies stream at once, each to its own client', async () => {
    await open({ tokenDelayMs: 1 });
    const clients = await Promise.all(Array.from({ length: 64 }, () => daemon.connect()));
    const texts = await Promise.all(
      clients.map(async (client, at) => {
        const talk = `talk-${at}`;
        const { reply } = await client.say(talk, `m-${at}`, `I am number ${at}`);
        expect(client.textOf(reply.id)).toBe(reply.text);
        return reply.text;
      }),
    );
    expect(texts).toEqual(texts.map((_, at) => `You said: I am number ${at}`));
  }, 60_000);

  it('one talk open in many clients streams to all of them', async () => {
    await open({ tokenDelayMs: 1 });
    const clients = await Promise.all(Array.from({ length: 10 }, () => daemon.connect()));
    const [first] = clients;
    await first?.say('shared', 'm0', 'begin');
    for (const client of clients)
      client.send({ type: 'conversation-open', conversationId: 'shared' });
    await Promise.all(clients.map((client) => client.next('conversation-opened')));
    first?.send({
      type: 'message-say',
      conversationId: 'shared',
      messageId: 'm1',
      text: 'all of you',
    });
    for (const client of clients) {
      const { reply } = await client.next('reply-end', (end) => end.reply.messageId === 'm1');
      expect(client.textOf(reply.id)).toBe('You said: all of you');
    }
  });
});

describe('a reader that does not read', () => {
  /** Many long answers to small questions, while nothing is read. */
  async function flood(client: TestClient, rounds: number): Promise<void> {
    for (let at = 0; at < rounds; at++) {
      client.send({ type: 'conversation-export', conversationId: 'long' });
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }

  async function longTalk(): Promise<void> {
    const message = { role: 'user', text: 'x'.repeat(200_000), at: 1 };
    const response = await fetch(`${daemon.url}/api/conversations`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        id: 'long',
        title: 'long',
        origin: 'import',
        messages: [{ ...message, id: 'm1' }],
      }),
    });
    expect(response.status).toBe(201);
  }

  it('is closed when too much waits for it, and holds up nobody else', async () => {
    const limits = { sendQueueBytesMax: 65_536, sendQueueBytesClose: 1_048_576 };
    const warnings: string[] = [];
    await open({
      config: { server: { limits: { ...limits, messagesPerMinuteMax: 100_000 } } },
      logger: { ...silentLogger, warn: (_facts, message) => warnings.push(message) },
    });
    await longTalk();
    const slow = await daemon.connect();
    slow.socket.pause();
    const before = process.memoryUsage().rss;
    await flood(slow, 200);
    await expect
      .poll(() => warnings, { timeout: 20_000 })
      .toContain('a reader is too slow; its connection is closed');
    const other = await daemon.connect();
    expect((await other.say('b', 'm', 'hello')).reply.text).toBe('You said: hello');
    // 200 answers of 200 kB would be 40 MB: what waits is bounded.
    expect(process.memoryUsage().rss - before).toBeLessThan(120 * 2 ** 20);
    slow.socket.resume();
    expect(await slow.closed()).not.toBe(1000);
  }, 60_000);

  it('gets the words that came meanwhile as one delta', async () => {
    const limits = { sendQueueBytesMax: 4096, sendQueueBytesClose: 64 * 2 ** 20 };
    await open({
      config: {
        chat: { replyTokensMax: 3000 },
        server: { limits: { ...limits, messagesPerMinuteMax: 100_000 } },
      },
      windowTokens: 10_000,
    });
    await longTalk();
    const slow = await daemon.connect();
    slow.socket.pause();
    // Fills the pipe, so that the deltas have to wait behind it.
    await flood(slow, 40);
    const words = 'word '.repeat(400);
    slow.send({ type: 'message-say', conversationId: 'a', messageId: 'm', text: words });
    await expect.poll(() => daemon.store.conversations.has('a'), { timeout: 5000 }).toBe(true);
    await expect.poll(() => daemon.chat.repliesRunning, { timeout: 20_000 }).toBe(0);
    slow.socket.resume();
    const { reply } = await slow.next('reply-end', () => true, 20_000);
    expect(reply.text).toBe(`You said: ${words}`);
    const deltas = slow.all('reply-delta').filter(({ replyId }) => replyId === reply.id);
    // 2,010 tokens were decoded; far fewer messages were sent.
    expect(deltas.length).toBeLessThan(200);
    let end = 0;
    for (const { offset, text: piece } of deltas) {
      expect(offset).toBe(end);
      end += piece.length;
    }
  }, 60_000);
});
