// An import is one thing: a conversation with the flags that came with it.
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Conversations, type ConversationsOptions } from '../../src/chat/conversations.ts';
import { type Imported, readImport } from '../../src/conversation/imported.ts';
import { afterCrash, type MemoryDisk, SURVIVALS } from '../fakes/memory-disk.ts';
import { type NightStore, openNightStore } from '../night/night-store.ts';

// The disk is cut at every step.
vi.setConfig({ testTimeout: 60_000 });

const EVERYTHING = { unsyncedShare: 1, areUnsyncedNamesKept: true };
const nothing = (): void => undefined;

function conversationsOf({ store, clock }: NightStore): Conversations {
  const events = { conversationChanged: nothing } as unknown as ConversationsOptions['events'];
  const { conversations, flags, consent } = store;
  const parts = { store: conversations, flags, consent, events, clock };
  return new Conversations(parts as unknown as ConversationsOptions);
}

/** A flag on every reply. */
function book(turns: number): Extract<Imported, { readonly log: unknown }> {
  const messages = Array.from({ length: turns }, (_, at) => [
    { id: `m${at}`, role: 'user', text: `words ${at}`, at: 1000 + at },
    { id: `r${at}`, role: 'assistant', text: `reply ${at}`, at: 1000 + at },
  ]).flat();
  const flags = Array.from({ length: turns }, (_, at) => {
    const rest = { reason: null, betterWords: `better ${at}`, strength: 2 };
    return { id: `f${at}`, replyId: `r${at}`, kind: 'missed', ...rest };
  });
  const body = { id: 'book', title: 'A book', origin: 'import', messages, flags };
  const read = readImport(Buffer.from(JSON.stringify(body)), 1);
  if (!('log' in read)) throw new Error('these are no messages');
  return read;
}

const importInto = (night: NightStore, { log, flags }: ReturnType<typeof book>) =>
  conversationsOf(night).import(log, flags);

/** Turns and flags that are there. */
async function found({ store: { conversations, flags } }: NightStore): Promise<[number, number]> {
  const isThere = conversations.has('book');
  const { entries } = isThere ? await conversations.read('book') : { entries: [] };
  return [entries.length / 2, flags.list('book').length];
}

let night: NightStore;
beforeEach(async () => {
  night = await openNightStore();
});

const open = (disk: MemoryDisk): Promise<NightStore> => openNightStore({}, disk);

describe('an import with flags', () => {
  it.each([
    ['a new conversation', 0],
    ['one that is there and gets longer', 3],
  ])(
    'into %s: cut anywhere, all of it is there or nothing, and the rest comes later',
    async (_, before) => {
      if (before > 0) await importInto(night, book(before));
      const { steps } = night.disk;
      const begun = steps.length;
      expect(await importInto(night, book(8))).toMatchObject({ flags: 8 - before });
      const seen = new Set<string>();
      for (let count = begun; count <= steps.length; count++) {
        for (const survival of SURVIVALS) {
          const { disk } = afterCrash(steps, count, survival);
          const now = await found(await open(disk));
          // Twice: what the first start tidied is tidied.
          const again = await open(disk);
          expect(await found(again)).toEqual(now);
          seen.add(now.join());
          if (count === steps.length) expect(now).toEqual([8, 8]);
          await importInto(again, book(8));
          expect(await found(again)).toEqual([8, 8]);
        }
      }
      expect([...seen].sort()).toEqual([`${before},${before}`, '8,8']);
    },
  );

  it.each([
    [0, 'once'],
    [0, 'for good'],
    [3, 'once'],
    [3, 'for good'],
  ])(
    'where a step fails, all of it is there or nothing (%i turns before, %s)',
    async (before, how) => {
      if (before > 0) await importInto(night, book(before));
      const { steps } = night.disk;
      const begun = steps.length;
      const seen = new Set<string>();
      let isRefused = true;
      let failing = 0;
      for (; isRefused; failing++) {
        const one = await open(afterCrash(steps, begun, EVERYTHING).disk);
        let step = 0;
        one.disk.beforeStep = () => {
          step += 1;
          const isFailing = how === 'once' ? step === failing + 1 : step > failing;
          if (isFailing) throw Object.assign(new Error('EIO'), { code: 'EIO' });
        };
        isRefused = await importInto(one, book(8)).then(
          () => false,
          () => true,
        );
        one.disk.beforeStep = nothing;
        const now = await found(await open(one.disk));
        seen.add(now.join());
        if (!isRefused) expect(now).toEqual([8, 8]);
        await importInto(one, book(8));
        expect(await found(one)).toEqual([8, 8]);
        expect(await found(await open(one.disk))).toEqual([8, 8]);
      }
      expect(failing).toBeGreaterThan(8);
      expect([...seen].sort()).toEqual([`${before},${before}`, '8,8']);
    },
  );

  it('loses no flag of another import beside it that fails', async () => {
    const { log, flags } = book(8);
    const other = { ...log, entry: { ...log.entry, id: 'other' } };
    const conversations = conversationsOf(night);
    night.disk.beforeStep = (step) => {
      if (step.kind === 'link' && step.path.includes('other.jsonl')) throw new Error('EIO');
    };
    const done = await Promise.allSettled([
      ...[conversations.import(other, flags), conversations.import(log, flags)],
    ]);
    expect(done.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    expect(night.store.flags.list()).toHaveLength(8);
    const again = await open(night.disk);
    expect(again.store.flags.list()).toHaveLength(8);
    expect(night.disk.text('/store/flags.json')).not.toContain('other');
  });
});
