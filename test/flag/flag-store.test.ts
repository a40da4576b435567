import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { foreignReply, type LogRecord } from '../../src/conversation/record.ts';
import { applyRecord, type ConversationState, emptyState } from '../../src/conversation/state.ts';
import { type FlagStore, openFlagStore } from '../../src/flag/flag-store.ts';
import { FlagDraft, type FlagDraftInput } from '../../src/protocol/flag.ts';
import { createFakeClock } from '../fakes/fake-clock.ts';

let folder: string;
let store: FlagStore;
const clock = createFakeClock(5000);

function talk(): ConversationState {
  const state = emptyState('c');
  const records: LogRecord[] = [
    { type: 'message', id: 'm1', at: 1, text: 'I would like tea 🍵, not coffee' },
    foreignReply({ id: 'r1', messageId: 'm1', at: 2, text: 'Coffee is coming.' }),
    { type: 'message', id: 'm2', at: 3, text: 'Tea!' },
    foreignReply({ id: 'r2', messageId: 'm2', at: 4, text: 'Yes, coffee.' }),
  ];
  for (const record of records) applyRecord(state, record);
  return state;
}

const draft = (more: Partial<FlagDraftInput> = {}) =>
  FlagDraft.parse({ id: 'f1', conversationId: 'c', replyId: 'r2', ...more });

const BASE = 'b'.repeat(64);
const open = () =>
  openFlagStore({ path: join(folder, 'flags.json'), clock, flagsMax: 3, baseOf: async () => BASE });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-flags-'));
  store = await open();
});

afterEach(() => rm(folder, { recursive: true }));

describe('a flag', () => {
  it('names the reply, the message it answers, and words of an older message', async () => {
    const flag = await store.add(
      draft({
        userSpan: { messageId: 'm1', span: { start: 13, end: 16, text: 'tea' } },
        replySpan: { start: 5, end: 11, text: 'coffee' },
        betterWords: 'Tea, then.',
        strength: 3,
      }),
      talk(),
    );
    expect(flag).toMatchObject({ messageId: 'm2', createdAt: 5000, usedBy: [], kind: 'missed' });
    store = await open();
    expect(store.get('f1')).toEqual(flag);
    expect((await stat(join(folder, 'flags.json'))).mode & 0o077).toBe(0);
  });

  it('counts offsets in UTF-16 units', async () => {
    const span = { start: 17, end: 19, text: '🍵' };
    await store.add(draft({ userSpan: { messageId: 'm1', span } }), talk());
  });

  it.each([
    ['an unknown reply', { replyId: 'none' }, 'reply-not-found'],
    ['a message as the reply', { replyId: 'm1' }, 'reply-not-found'],
    [
      'words that are elsewhere',
      { replySpan: { start: 0, end: 6, text: 'coffee' } },
      'span-mismatch',
    ],
    [
      'words beyond the end',
      { replySpan: { start: 90, end: 96, text: 'coffee' } },
      'span-mismatch',
    ],
    [
      'words of a message after the reply',
      { replyId: 'r1', userSpan: { messageId: 'm2', span: { start: 0, end: 3, text: 'Tea' } } },
      'message-not-found',
    ],
    [
      'words of a reply as the person’s',
      { userSpan: { messageId: 'r1', span: { start: 0, end: 6, text: 'Coffee' } } },
      'message-not-found',
    ],
  ])('is refused for %s', async (_what, more, code) => {
    await expect(store.add(draft(more), talk())).rejects.toMatchObject({ code });
    expect(store.list()).toEqual([]);
  });

  it('is added once for one id, and an id cannot mean two', async () => {
    await store.add(draft(), talk());
    await store.add(draft({ reason: 'again' }), talk());
    expect(store.list()).toHaveLength(1);
    await expect(store.add(draft({ replyId: 'r1' }), talk())).rejects.toMatchObject({
      code: 'flag-conflict',
    });
  });

  it('can be changed until a night has used it, and withdrawn at any time', async () => {
    await store.add(draft({ reason: 'first' }), talk());
    const edited = await store.edit('f1', { reason: null, strength: 1 }, talk());
    expect(edited).toMatchObject({ reason: null, strength: 1, betterWords: null });
    const wrong = { replySpan: { start: 0, end: 3, text: 'not' } };
    await expect(store.edit('f1', wrong, talk())).rejects.toMatchObject({ code: 'span-mismatch' });
    expect(store.get('f1').replySpan).toBeNull();
    const uses = [BASE, BASE, 'c'.repeat(64)].map((base) => ({ night: 'n0001-2026-11-20', base }));
    for (const use of uses) await store.markUsed(['f1'], use);
    // The night ids of two base models may be the same.
    expect(store.get('f1').usedBy).toEqual(uses.slice(1));
    await expect(store.edit('f1', { strength: 3 }, talk())).rejects.toMatchObject({
      code: 'flag-used',
    });
    expect((await store.withdraw('f1')).withdrawnAt).toBe(5000);
  });

  it('stays withdrawn once it was withdrawn', async () => {
    await store.add(draft(), talk());
    const { withdrawnAt } = await store.withdraw('f1');
    expect(withdrawnAt).toBe(5000);
    expect(await store.withdraw('f1')).toMatchObject({ withdrawnAt });
    await expect(store.edit('f1', { strength: 3 }, talk())).rejects.toMatchObject({
      code: 'flag-withdrawn',
    });
    await expect(store.withdraw('none')).rejects.toMatchObject({ code: 'flag-not-found' });
  });

  it('goes with its talk, words and all', async () => {
    await store.add(draft({ betterWords: 'secret words' }), talk());
    await store.deleteOf('other');
    expect(store.list('c')).toHaveLength(1);
    await store.deleteOf('c');
    await store.deleteOf('c');
    expect(await readFile(join(folder, 'flags.json'), 'utf8')).not.toContain('secret');
  });

  it('that a copy of the conversation brings under the same id gets an id of its own', async () => {
    expect(await store.import(marks('c', ['mark']), written)).toBe(1);
    expect(await store.import(marks('copy', ['mark']), written)).toBe(1);
    expect(await store.import(marks('copy', ['mark']), written)).toBe(0);
    const [first, second] = store.list();
    expect([first?.id, first?.conversationId, second?.conversationId]).toEqual([
      ...['mark', 'c', 'copy'],
    ]);
    expect(second?.id).not.toBe('mark');
  });

  it('finds no room beyond the limit, and several in one write are all or none', async () => {
    const ids = ['a', 'b', 'c', 'd'];
    const tooMany = store.import(marks('c', ids), () => Promise.reject(new Error('written')));
    await expect(tooMany).rejects.toMatchObject({ code: 'flags-limit' });
    expect(store.list()).toEqual([]);
    await store.import(marks('c', ids.slice(0, 3)), written);
    expect(store.list()).toHaveLength(3);
  });

  it('comes with its conversation or not at all', async () => {
    const failing = async () => {
      expect(store.list()).toEqual([]);
      throw new Error('the disk is full');
    };
    await expect(store.import(marks('c', ['a']), failing)).rejects.toThrow('the disk is full');
    expect(store.list()).toEqual([]);
    expect(await readFile(join(folder, 'flags.json'), 'utf8')).not.toContain('"a"');
    const nothing = { ...marks('c', ['a']), replies: new Map() };
    await expect(store.import(nothing, written)).rejects.toMatchObject({ code: 'reply-not-found' });
  });
});

const written = async (): Promise<void> => undefined;

const marks = (conversationId: string, ids: readonly string[]) => ({
  ...{
    conversationId,
    logBytes: 1,
    isWritten: async () => false,
    replies: new Map([[draft({}).replyId, 'm']]),
  },
  drafts: ids.map((id) => draft({ id, conversationId })),
});
