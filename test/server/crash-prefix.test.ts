import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { openConversationStore } from '../../src/conversation/conversation-store.ts';
import { openFlagStore } from '../../src/flag/flag-store.ts';
import { afterPowerCut, type Luck, materialise, RecordedDisk } from '../fakes/recorded-disk.ts';
import { openTestDaemon, type TestDaemon } from './open-test-daemon.ts';

// The power is cut at every operation.
vi.setConfig({ testTimeout: 60_000 });

/** Something was acknowledged after so many operations. */
interface Acknowledged {
  readonly at: number;
  readonly conversationId: string;
  readonly id: string;
  readonly kind: 'message' | 'reply' | 'flag' | 'title' | 'deleted';
}

const disk = new RecordedDisk();
const acknowledged: Acknowledged[] = [];
let folder: string;

function note(kind: Acknowledged['kind'], conversationId: string, id: string): void {
  acknowledged.push({ at: disk.operations.length, kind, conversationId, id });
}

async function say(daemon: TestDaemon, conversationId: string, messageId: string): Promise<string> {
  const answer = await daemon.chat.say({
    conversationId,
    messageId,
    text: `this is ${messageId}, said in ${conversationId}`,
    onStored: () => note('message', conversationId, messageId),
  });
  if ('given' in answer) throw new Error('it was there before');
  const ending = await answer.ended;
  if (ending.type !== 'reply-end') throw new Error(ending.error.message);
  note('reply', conversationId, ending.reply.id);
  return ending.reply.id;
}

/** A busy day: talks at the same time, flags, a rename, a deletion, a restart. */
async function live(daemon: TestDaemon): Promise<void> {
  await Promise.all(['a', 'b', 'c'].map((talk) => say(daemon, talk, `${talk}1`)));
  const replyId = await say(daemon, 'a', 'a2');
  const { id } = await daemon.conversations.addFlag({
    id: 'f1',
    conversationId: 'a',
    replyId,
    kind: 'missed',
    userSpan: null,
    replySpan: null,
    betterWords: 'better',
    reason: null,
    strength: 2,
  });
  note('flag', 'a', id);
  await daemon.conversations.change('b', { title: 'renamed' });
  note('title', 'b', 'renamed');
  await Promise.all([say(daemon, 'b', 'b2'), say(daemon, 'c', 'c2')]);
  await daemon.conversations.delete('c');
  note('deleted', 'c', 'c');
  await say(daemon, 'd', 'd1');
}

beforeAll(async () => {
  const daemon = await openTestDaemon({ ops: disk });
  ({ folder } = daemon);
  await live(daemon);
  await daemon.stop();
  const again = await openTestDaemon({ folder, ops: disk });
  await say(again, 'a', 'a3');
  await again.end();
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** Checks one crashed disk against all that was acknowledged before the crash. */
async function check(count: number, luck: Luck): Promise<void> {
  const crashed = await mkdtemp(join(tmpdir(), 'attune-crash-'));
  const where = `after ${count} operations, luck ${luck}`;
  try {
    materialise(afterPowerCut(disk.operations, count, luck), folder, crashed);
    const flags = await openFlagStore({
      path: join(crashed, 'flags.json'),
      clock: systemClock,
      flagsMax: 100,
      baseOf: async () => 'b'.repeat(64),
    });
    const store = await openConversationStore({
      folder: crashed,
      logger: silentLogger,
      openLogsMax: 8,
      conversationsMax: 100,
      conversationMessagesMax: 100,
      clock: systemClock,
      forget: (id) => flags.deleteOf(id),
    });
    await store.retryDeletions();
    const before = acknowledged.filter(({ at }) => at <= count);
    const deleted = before.some(({ kind }) => kind === 'deleted');
    for (const { kind, conversationId, id } of before) {
      if (conversationId === 'c') continue;
      if (kind === 'flag') {
        expect(flags.get(id).betterWords, where).toBe('better');
        continue;
      }
      const state = await store.read(conversationId);
      if (kind === 'title') expect(state.title, where).toBe(id);
      else
        expect(state.entries.filter((entry) => entry.id === id).length, `${id} ${where}`).toBe(1);
    }
    if (deleted) expect(store.has('c'), where).toBe(false);
    await store.close();
  } finally {
    await rm(crashed, { recursive: true, force: true });
  }
}

it('has each acknowledged thing exactly once after a power cut at any operation', async () => {
  expect(disk.operations.length).toBeGreaterThan(70);
  expect(acknowledged.length).toBeGreaterThan(15);
  for (const luck of ['none', 'half', 'all'] as const) {
    for (let count = 0; count <= disk.operations.length; count++) await check(count, luck);
  }
}, 240_000);

it('would notice a reply that is told before it is synced', () => {
  const early = acknowledged.find(({ kind }) => kind === 'reply') as Acknowledged;
  const syncs = disk.operations.slice(0, early.at).filter(({ kind }) => kind === 'sync');
  const log = `${join(folder, 'conversations', early.conversationId)}.jsonl`;
  const beforeLastSync = disk.operations.findLastIndex(
    (operation, at) => at < early.at && operation.kind === 'sync' && operation.path === log,
  );
  const there = afterPowerCut(disk.operations, beforeLastSync, 'none').get(log)?.toString() ?? '';
  expect(syncs.length).toBeGreaterThan(0);
  expect(there).not.toContain(early.id);
});
