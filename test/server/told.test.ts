import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { momentOf } from '../../src/night/gather.ts';
import { conversationOf } from '../../src/night/prepare.ts';
import type { FlagDraftInput } from '../../src/protocol/flag.ts';
import { textOfIds } from '../fakes/fake-tokenizer.ts';
import { HeldEngine, HOLD } from '../web/held-engine.ts';
import { openTestDaemon, type TestDaemon, type TestDaemonOptions } from './open-test-daemon.ts';
import type { TestClient } from './test-client.ts';

const SAID = 'I want the blue room. What do you think?';
const DRIFTED = 'How about the red room?';
const HEARD = 'The blue room is yours.';

/** Answers by turns: what it says first, second … */
class Scripted extends HeldEngine {
  answers = [DRIFTED, HEARD];
  override generate(...call: Parameters<HeldEngine['generate']>) {
    this.answer = this.answers.shift() ?? HEARD;
    return super.generate(...call);
  }
}

let daemon: TestDaemon;
let engine: Scripted;
let client: TestClient;

async function open(options: TestDaemonOptions = {}): Promise<void> {
  engine = new Scripted();
  daemon = await openTestDaemon({ engine, ...options });
  client = await daemon.connect();
  client.send({ type: 'event-subscribe', topics: ['flags'] });
}

beforeEach(() => open());
afterEach(() => daemon.end());

/** Says it, and flags the reply. */
async function flagged(flag: Partial<FlagDraftInput> = {}): Promise<string> {
  const { reply } = await client.say('c', 'm1', SAID);
  client.send({
    type: 'flag-add',
    flag: { id: 'f', conversationId: 'c', replyId: reply.id, ...flag },
  });
  await client.next('flag-added');
  return reply.id;
}

const ask = (): void => client.send({ type: 'told-ask', flagId: 'f' });

async function told(): Promise<string> {
  ask();
  return (await client.next('told-end')).told.replyId;
}

const prompt = (): string => textOfIds(engine.requests.at(-1)?.ids ?? []);

describe('hear me now', () => {
  it('answers again at once, told the last directive, and streams it', async () => {
    await flagged();
    ask();
    const start = await client.next('told-start');
    const end = await client.next('told-end');
    expect(prompt()).toContain(`<user>As I said: "I want the blue room." ${SAID}<end>`);
    expect(client.textOf(start.replyId)).toBe(HEARD);
    expect(end).toEqual({
      type: 'told-end',
      conversationId: 'c',
      told: { flagId: 'f', replyId: start.replyId, text: HEARD, isRunning: false, error: null },
    });
    expect(engine.requests.at(-1)?.sampling.temperature).toBe(0);
    // Nothing of it is stored.
    expect((await daemon.store.conversations.read('c')).entries).toHaveLength(2);
  });

  it('says again the words that were marked', async () => {
    const start = SAID.indexOf('What');
    const text = SAID.slice(start);
    const span = { start, end: SAID.length, text };
    await flagged({ userSpan: { messageId: 'm1', span } });
    await told();
    expect(prompt()).toContain(`As I said: "${text}"`);
  });

  it('is told more plainly, with the reason, where it did not do it', async () => {
    engine.answers = [DRIFTED, DRIFTED, HEARD];
    await flagged({ reason: 'Not red.' });
    ask();
    const first = await client.next('told-start');
    const second = await client.next('told-start');
    expect(second.replyId).not.toBe(first.replyId);
    const end = await client.next('told-end');
    expect(end.told).toMatchObject({ replyId: second.replyId, text: HEARD });
    expect(prompt()).toContain(`${SAID}\nNot red.<end>`);
    expect(client.all('told-end')).toHaveLength(1);
  });

  it('draws another of its replies at last, where its likeliest ones did not do it', async () => {
    engine.answers = [DRIFTED, DRIFTED, DRIFTED, HEARD];
    await flagged();
    await told();
    expect(prompt()).toContain('As I said: "I want the blue room."');
    expect(engine.requests.map(({ sampling }) => sampling.temperature).slice(1)).toEqual([
      0, 0, 0.8,
    ]);
    const [end] = client.all('told-end');
    expect(end?.told.text).toBe(HEARD);
  });

  it('becomes the reply, the better words and the teacher of the night when it is kept', async () => {
    await flagged();
    const replyId = await told();
    client.send({ type: 'told-keep', flagId: 'f', replyId });
    const end = await client.next('reply-end');
    expect(end.reply).toMatchObject({ id: replyId, messageId: 'm1', text: HEARD });
    expect(await client.next('told-kept')).toMatchObject({ isPlaced: true });
    const { conversations, flags } = daemon.store;
    expect(flags.get('f')).toMatchObject({ betterWords: HEARD, told: 'kept' });
    const state = await conversations.read('c');
    expect(state.entries.map((entry) => 'isSuperseded' in entry && entry.isSuperseded)).toEqual([
      false,
      true,
      false,
    ]);
    const bounds = { isHeldBack: false, contextCharactersMax: 10_000 };
    const moment = momentOf(flags.get('f'), conversationOf(state, { systemPrompt: '' }), bounds);
    expect(moment).toMatchObject({ chosen: HEARD, rejected: DRIFTED });
    client.send({ type: 'told-keep', flagId: 'f', replyId });
    expect((await client.next('error')).code).toBe('reply-not-found');
  });

  it('becomes the better words alone once the conversation has gone on', async () => {
    await flagged();
    const replyId = await told();
    await client.say('c', 'm2', 'And breakfast?');
    client.send({ type: 'told-keep', flagId: 'f', replyId });
    expect(await client.next('told-kept')).toMatchObject({ isPlaced: false });
    expect(daemon.store.flags.get('f')).toMatchObject({ betterWords: HEARD, told: 'kept' });
    expect((await daemon.store.conversations.read('c')).entries).toHaveLength(4);
  });

  it('runs beside a reply of its conversation, and is not kept before that has ended', async () => {
    const old = await flagged();
    engine.answers = [`Half${HOLD} a reply.`, HEARD];
    client.send({ type: 'reply-regenerate', conversationId: 'c', replyId: 'again' });
    await client.next('reply-delta', ({ text }) => text.endsWith('f'));
    const release = (): void => engine.release();
    const replyId = await told();
    client.send({ type: 'told-keep', flagId: 'f', replyId });
    expect((await client.next('error')).code).toBe('reply-running');
    expect(daemon.store.flags.get('f').betterWords).toBeNull();
    release();
    await client.next('reply-end');
    client.send({ type: 'told-keep', flagId: 'f', replyId });
    await client.next('told-kept');
    const { entries } = await daemon.store.conversations.read('c');
    const standing = entries.filter((entry) => 'isSuperseded' in entry && !entry.isSuperseded);
    expect(entries.map(({ id }) => id)).toEqual(['m1', old, 'again', replyId]);
    expect(standing.map(({ id }) => id)).toEqual([replyId]);
  });

  it('is made once when it is asked for twice, and goes on for who comes later', async () => {
    engine.answers = [DRIFTED, `The blue${HOLD} room is yours.`];
    await flagged();
    ask();
    ask();
    const { replyId } = await client.next('told-start');
    await client.next('told-asked');
    await client.next('told-asked');
    await expect.poll(() => client.textOf(replyId)).toBe('The blue');
    const later = await daemon.connect();
    later.send({ type: 'conversation-open', conversationId: 'c', limit: 10 });
    const opened = await later.next('conversation-opened');
    expect(opened.told).toMatchObject([{ flagId: 'f', text: 'The blue', isRunning: true }]);
    engine.release();
    expect((await later.next('told-end')).told.text).toBe(HEARD);
    expect(engine.requests.filter(({ ids }) => textOfIds(ids).includes('As I said'))).toHaveLength(
      // The held engine asks once for each part.
      2,
    );
    const last = await daemon.connect();
    last.send({ type: 'conversation-open', conversationId: 'c', limit: 10 });
    expect((await last.next('conversation-opened')).told).toMatchObject([
      { text: HEARD, isRunning: false },
    ]);
  });

  it.each([
    ['withdrawn', { type: 'flag-withdraw', flagId: 'f' }, 'flag-withdrawn'],
    ['changed', { type: 'flag-edit', flagId: 'f', patch: { told: 'missed' } }, 'reply-not-found'],
    ['deleted', { type: 'conversation-delete', conversationId: 'c' }, 'flag-not-found'],
  ] as const)('ends when its flag is %s', async (_, change, code) => {
    engine.answers = [DRIFTED, `The blue${HOLD} room is yours.`];
    await flagged();
    ask();
    const { replyId } = await client.next('told-start');
    await client.next('reply-delta', ({ text }) => text.endsWith('e'));
    client.send(change);
    await expect.poll(() => daemon.chat.repliesRunning).toBe(0);
    client.send({ type: 'told-keep', flagId: 'f', replyId });
    expect((await client.next('error')).code).toBe(code);
    expect(client.all('told-end')).toEqual([]);
    expect(daemon.conversations.told.of('c')).toEqual([]);
  });

  it('says when the model could not answer, and can be asked again', async () => {
    await flagged();
    engine.die();
    ask();
    const { told } = await client.next('told-end');
    expect(told).toMatchObject({ text: '', error: expect.stringContaining('engine') });
    client.send({ type: 'told-keep', flagId: 'f', replyId: told.replyId });
    expect((await client.next('error')).code).toBe('reply-not-found');
    engine.revive();
    ask();
    expect((await client.next('told-end')).told).toMatchObject({ text: HEARD, error: null });
  });

  it('also answers where nights do not learn from the conversation', async () => {
    await flagged();
    client.send({ type: 'conversation-configure', conversationId: 'c', canLearn: false });
    ask();
    expect((await client.next('told-end')).told.text).toBe(HEARD);
  });

  it.each([
    ['nothing is marked but why', { reason: 'It rambles.' }, 'flag-undirected'],
    ['the flag is not there', { id: 'other' }, 'flag-not-found'],
  ])('is refused where %s', async (_, flag, code) => {
    const { reply } = await client.say('c', 'm1', 'Good morning');
    const draft = { id: 'f', conversationId: 'c', replyId: reply.id, ...flag };
    client.send({ type: 'flag-add', flag: draft });
    await client.next('flag-added');
    ask();
    expect((await client.next('error')).code).toBe(code);
    expect(daemon.conversations.told.of('c')).toEqual([]);
  });

  it('is refused, and may be asked again, while as many replies run as may', async () => {
    await daemon.end();
    await open({ config: { server: { limits: { repliesMax: 1 } } } });
    await flagged();
    engine.answers = [`Half${HOLD}.`, HEARD];
    client.send({ type: 'message-say', conversationId: 'd', messageId: 'm', text: 'Hi' });
    await client.next('reply-start');
    ask();
    expect((await client.next('error')).code).toBe('replies-limit');
    await client.next('reply-delta', ({ text }) => text.endsWith('f'));
    engine.release();
    await client.next('reply-end');
    expect(await told()).not.toBe('');
  });

  it('is refused once a night has learnt from the flag', async () => {
    await flagged();
    const { flags, ledger } = daemon.store;
    await flags.markUsed(['f'], { night: 'n0001-2026-11-30', base: ledger.base });
    ask();
    expect((await client.next('error')).code).toBe('flag-used');
  });
});
