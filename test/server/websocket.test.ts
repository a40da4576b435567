import { afterEach, describe, expect, it } from 'vitest';
import { fakeTokenizer } from '../fakes/fake-tokenizer.ts';
import { openTestDaemon, type TestDaemon, type TestDaemonOptions } from './open-test-daemon.ts';

let daemon: TestDaemon;

async function open(options: TestDaemonOptions = {}): Promise<TestDaemon> {
  daemon = await openTestDaemon(options);
  return daemon;
}

afterEach(() => daemon.end());

it('a client is told what a person should know of the model', async () => {
  const notice = 'This model has no chat template.';
  const client = await (await open({ tokenizer: { ...fakeTokenizer, notices: [notice] } })).connect(
    { hello: false },
  );
  const { engine } = await client.hello();
  expect(engine.notices).toEqual([notice]);
});

describe('a talk over the WebSocket', () => {
  it('stores a message, streams the reply and ends it with usage and versions', async () => {
    const client = await (await open()).connect();
    client.send({
      type: 'message-say',
      requestId: 'r1',
      conversationId: 'talk',
      messageId: 'm1',
      text: 'good morning',
    });
    const stored = await client.next('message-stored');
    expect(stored).toMatchObject({ requestId: 'r1', isDuplicate: false });
    const start = await client.next('reply-start');
    expect(start).toMatchObject({ messageId: 'm1', replaces: null, window: { turnsDropped: 0 } });
    const { reply, error } = await client.next('reply-end');
    expect(error).toBeNull();
    expect(reply.text).toBe('You said: good morning');
    expect(client.textOf(start.replyId)).toBe(reply.text);
    expect(reply.stopReason).toBe('stop');
    expect(reply.versionRuns).toEqual([[0, reply.usage.replyTokens, 'v0']]);
  });

  it('is not brought back by what is said in it after it was deleted', async () => {
    const { folder } = await open();
    const client = await daemon.connect();
    await client.say('talk', 'm1', 'my secret is BRASSKEY');
    client.send({ type: 'conversation-delete', conversationId: 'talk' });
    await client.next('conversation-deleted');
    const say = {
      type: 'message-say',
      conversationId: 'talk',
      messageId: 'm2',
      text: 'more',
    } as const;
    for (const isNew of [undefined, true, false]) {
      client.send(isNew === undefined ? say : { ...say, isNew });
      expect((await client.next('error')).code).toBe('conversation-not-found');
    }
    await daemon.stop();
    await open({ folder });
    const later = await daemon.connect();
    later.send(say);
    expect((await later.next('error')).code).toBe('conversation-not-found');
    expect(daemon.store.conversations.size).toBe(0);
    later.send({ type: 'conversation-create', conversationId: 'talk', canLearn: false });
    await later.next('conversation-created');
    expect((await later.say('talk', 'm2', 'more')).reply.text).toBe('You said: more');
  });

  it('is not brought back by a message that was on its way beside the deletion', async () => {
    await open({ tokenDelayMs: 1 });
    const client = await daemon.connect();
    for (let round = 0; round < 10; round++) {
      const conversationId = `talk-${round}`;
      await client.say(conversationId, 'm1', 'hi');
      client.send({ type: 'conversation-delete', conversationId });
      client.send({ type: 'message-say', conversationId, messageId: 'm2', text: 'more' });
    }
    const deleted = () =>
      new Set(client.all('conversation-deleted').map((one) => one.conversationId));
    await expect.poll(() => deleted().size).toBe(10);
    await expect
      .poll(() => client.all('error').length + client.all('message-stored').length)
      .toBe(20);
    await daemon.chat.close(0);
    expect(daemon.store.conversations.size).toBe(0);
  });

  it('is begun only by a client that knows of none', async () => {
    const client = await (await open()).connect();
    const say = {
      type: 'message-say',
      conversationId: 'talk',
      messageId: 'm1',
      text: 'hi',
    } as const;
    client.send({ ...say, isNew: false });
    expect((await client.next('error')).code).toBe('conversation-not-found');
    client.send({ ...say, isNew: true });
    await client.next('reply-end');
    client.send({ ...say, messageId: 'm2', isNew: false });
    await client.next('reply-end');
  });

  it('prefills only the new tokens of a second turn', async () => {
    const client = await (await open()).connect();
    await client.say('talk', 'm1', 'one');
    const second = await client.say('talk', 'm2', 'two');
    expect(second.reply.usage.reusedTokens).toBe(19);
    expect(second.reply.usage.promptTokens - second.reply.usage.reusedTokens).toBeLessThan(8);
  });

  it('stores and answers a message once that is sent twice while its reply runs', async () => {
    const { engine } = await open({ tokenDelayMs: 5 });
    const client = await daemon.connect();
    const say = {
      type: 'message-say',
      conversationId: 'talk',
      messageId: 'm1',
      text: 'hi',
    } as const;
    client.send(say);
    await client.next('reply-delta');
    client.send(say);
    expect((await client.next('message-stored')).isDuplicate).toBe(true);
    await client.next('reply-end');
    client.send(say);
    expect((await client.next('message-stored')).isDuplicate).toBe(true);
    expect((await client.next('reply-end')).reply.text).toBe('You said: hi');
    expect(engine.requests).toHaveLength(1);
    client.send({ type: 'conversation-open', conversationId: 'talk' });
    expect((await client.next('conversation-opened')).conversation.history).toHaveLength(2);
  });

  it('gives a reconnecting client the rest of a running reply', async () => {
    await open({ tokenDelayMs: 5 });
    const first = await daemon.connect();
    first.send({
      type: 'message-say',
      conversationId: 'talk',
      messageId: 'm1',
      text: 'a message of some length',
    });
    await first.next('reply-delta');
    first.kill();
    const second = await daemon.connect();
    second.send({ type: 'conversation-open', conversationId: 'talk' });
    const { running } = await second.next('conversation-opened');
    expect(running?.messageId).toBe('m1');
    const { reply } = await second.next('reply-end');
    expect(reply.text).toBe('You said: a message of some length');
    const deltas = second.all('reply-delta').map(({ text }) => text);
    expect((running?.text ?? '') + deltas.join('')).toBe(reply.text);
  });

  it('keeps what was said so far when the reply is stopped', async () => {
    await open({ tokenDelayMs: 5 });
    const client = await daemon.connect();
    client.send({
      type: 'message-say',
      conversationId: 'talk',
      messageId: 'm1',
      text: 'x'.repeat(200),
    });
    await client.next('reply-delta');
    client.send({ type: 'reply-stop', conversationId: 'talk' });
    const { reply } = await client.next('reply-end');
    expect(reply.stopReason).toBe('aborted');
    expect(reply.text.length).toBeGreaterThan(0);
    expect(reply.text.length).toBeLessThan(200);
  });

  it('regenerates the last reply once for one reply id and keeps the old one as superseded', async () => {
    const { engine } = await open();
    const client = await daemon.connect();
    const first = await client.say('talk', 'm1', 'hello');
    const again = { type: 'reply-regenerate', conversationId: 'talk', replyId: 'again' } as const;
    client.send(again);
    expect((await client.next('reply-start')).replaces).toBe(first.reply.id);
    await client.next('reply-end');
    client.send(again);
    await client.next('reply-end');
    expect(engine.requests).toHaveLength(2);
    client.send({ type: 'conversation-open', conversationId: 'talk' });
    const { history } = (await client.next('conversation-opened')).conversation;
    expect(history.map((one) => [one.id, 'isSuperseded' in one && one.isSuperseded])).toEqual([
      ['m1', false],
      [first.reply.id, true],
      ['again', false],
    ]);
  });
});
