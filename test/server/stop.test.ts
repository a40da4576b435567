import { EventEmitter, once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { AttuneError } from '../../src/base/errors.ts';
import { CLOSE_CODE } from '../../src/protocol/handshake.ts';
import { fakeTokenizer } from '../fakes/fake-tokenizer.ts';
import { openTestDaemon, type TestDaemon, type TestDaemonOptions } from './open-test-daemon.ts';

let daemon: TestDaemon;

async function open(options: TestDaemonOptions = {}): Promise<TestDaemon> {
  daemon = await openTestDaemon(options);
  return daemon;
}

afterEach(() => daemon.end());

describe('a daemon that stops', () => {
  it('lets a reply end that is nearly done, takes nothing new, and tells its clients', async () => {
    await open({ tokenDelayMs: 5 });
    const client = await daemon.connect();
    client.send({ type: 'message-say', conversationId: 'a', messageId: 'm', text: 'soon done' });
    await client.next('reply-delta');
    const closing = daemon.close();
    client.send({ type: 'message-say', conversationId: 'b', messageId: 'n', text: 'too late' });
    expect((await client.next('error')).code).toBe('shutting-down');
    const { reply } = await client.next('reply-end');
    expect([reply.stopReason, reply.text]).toEqual(['stop', 'You said: soon done']);
    await client.next('server-closing');
    expect(await client.closed()).toBe(CLOSE_CODE['shutting-down']);
    await closing;
  });

  it('interrupts a reply that takes too long, and keeps it', async () => {
    await open({ tokenDelayMs: 20, config: { server: { shutdownTimeoutMs: 100 } } });
    const client = await daemon.connect();
    const text400 = 'x'.repeat(400);
    client.send({ type: 'message-say', conversationId: 'a', messageId: 'm', text: text400 });
    await client.next('reply-delta');
    await daemon.close();
    const { folder } = daemon;
    daemon = await openTestDaemon({ folder });
    const state = await daemon.store.conversations.read('a');
    expect(state.entries.map((entry) => entry.type)).toEqual(['message', 'reply']);
    expect(state.entries[1]).toMatchObject({ stopReason: 'interrupted' });
  });

  it('does not wait for a prompt in the making; its message is refused and not stored', async () => {
    const tokenizer = new EventEmitter();
    const renderChat = async () => {
      tokenizer.emit('rendering');
      await once(tokenizer, 'closed');
      throw new AttuneError('shutting-down', 'The tokenizer was closed.');
    };
    const close = async () => void tokenizer.emit('closed');
    await open({ tokenizer: { ...fakeTokenizer, renderChat, close } });
    const client = await daemon.connect();
    const rendering = once(tokenizer, 'rendering');
    client.send({ type: 'message-say', conversationId: 'a', messageId: 'm', text: 'long' });
    await rendering;
    await daemon.close();
    expect((await client.next('error')).code).toBe('shutting-down');
    expect(daemon.store.conversations.has('a')).toBe(false);
  });

  it('holds its store alone', async () => {
    await open();
    await expect(openTestDaemon({ folder: daemon.folder })).rejects.toMatchObject({
      code: 'store-locked',
    });
  });

  it('answers a message on the next start that was stored and never answered', async () => {
    await open();
    const at = Date.now();
    const talk = { origin: 'live', title: '', settings: {}, canLearn: true } as const;
    await daemon.store.conversations.create(
      { type: 'conversation', schemaVersion: 1, id: 'a', at, ...talk },
      [{ type: 'message', id: 'm', at, text: 'are you there' }],
    );
    const client = await daemon.connect();
    expect((await client.say('a', 'm', 'are you there')).reply.text).toBe(
      'You said: are you there',
    );
    const state = await daemon.store.conversations.read('a');
    expect(state.entries).toHaveLength(2);
  });
});
