// An import is one thing: a conversation with the flags that came with it.
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Conversations, type ConversationsOptions } from '../../src/chat/conversations.ts';
import { type Imported, readImport } from '../../src/conversation/imported.ts';
import { afterCrash, type MemoryDisk, SURVIVALS } from '../fakes/memory-disk.ts';
import { type NightStore, openNightStore } from '../night/night-store.ts';
import { fc } from '../property.ts';

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

  it('takes what was changed elsewhere, but not over what the person or a night did here', async () => {
    const { log, flags } = book(3);
    await importInto(night, { log, flags });
    const changed = flags.map((flag) => ({ ...flag, kind: 'good' as const, reason: 'after all' }));
    const store = night.store.flags;
    await night.clock.advance(1);
    await store.edit('f1', { reason: 'mine' }, await night.store.conversations.read('book'));
    await store.markUsed(['f2'], { night: 'n1', base: 'b' });
    expect(await importInto(night, { log, flags: changed })).toMatchObject({ flags: 1 });
    expect(store.list('book').map(({ kind, reason }) => [kind, reason])).toEqual([
      ['good', 'after all'],
      ['missed', 'mine'],
      ['missed', null],
    ]);
    expect(await importInto(night, { log, flags: changed })).toMatchObject({ flags: 0 });
    const own = changed.map((flag) => ({ ...flag, kind: 'missed' as const, updatedAt: 1 }));
    expect(await importInto(night, { log, flags: own })).toMatchObject({ flags: 0 });
  });
});

/** Any text at all: halves of surrogate pairs, separators of lines, marks of byte order, combining. */
const oddText = (maxLength: number) =>
  fc.string({
    ...{ minLength: 1, maxLength },
    unit: fc.oneof(
      fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
      fc.constantFrom(
        ...['\u0000', '\r\n', '\u2028', '\ufeff', '\ud83d', 'e\u0301', '👩‍🚀', '"', '\\n'],
      ),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 2 }),
    ),
  });
const oddTurn = fc.record({
  said: oddText(30),
  reply: oddText(30),
  reason: fc.option(oddText(10)),
  betterWords: fc.option(oddText(10)),
  kind: fc.constantFrom('missed' as const, 'good' as const),
  isFlagged: fc.boolean(),
});

type OddTurn = typeof oddTurn extends fc.Arbitrary<infer T> ? T : never;

/** As another program's export is sent to the daemon. */
function sent(title: string, turns: readonly OddTurn[]) {
  const messages = turns.flatMap(({ said, reply }, at) => [
    { id: `m${at}`, role: 'user', text: said, at: 1000 + at },
    { id: `r${at}`, role: 'assistant', text: reply, at: 1000 + at },
  ]);
  const flags = turns.flatMap(({ isFlagged, kind, reason, betterWords }, at) =>
    isFlagged ? [{ id: `f${at}`, replyId: `r${at}`, kind, reason, betterWords, strength: 2 }] : [],
  );
  const settings = { systemPrompt: title };
  const body = { id: 'book', title, origin: 'import', settings, messages, flags };
  return Buffer.from(JSON.stringify(body));
}

function logIn(body: Uint8Array): Extract<Imported, { readonly log: unknown }> {
  const read = readImport(body, 1);
  if (!('log' in read)) throw new Error('these are no messages');
  return read;
}

async function exported(one: NightStore): Promise<string> {
  const pieces: string[] = [];
  for await (const piece of conversationsOf(one).exportAll()) pieces.push(piece);
  // As a file holds it.
  return Buffer.from(pieces.join(''), 'utf8').toString('utf8').trimEnd();
}

describe('what is exported', () => {
  it('comes back as it was, whatever was said, and a second time changes nothing', async () => {
    const turns = fc.array(oddTurn, { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(oddText(20), turns, async (title, list) => {
        const [here, there] = [await openNightStore(), await openNightStore()];
        await importInto(here, logIn(sent(title, list)));
        const { entries } = await here.store.conversations.read('book');
        expect(entries.map(({ text }) => text)).toEqual(
          list.flatMap(({ said, reply }) => [said, reply]),
        );
        const text = await exported(here);
        const body = Buffer.from(JSON.stringify({ export: text }));
        await importInto(there, logIn(body));
        const back = await exported(there);
        const linesOf = (all: string) => all.split('\n').map((line) => JSON.parse(line) as unknown);
        expect(linesOf(back)).toEqual(linesOf(text));
        const again = await importInto(there, logIn(body));
        expect(again).toMatchObject({ isDuplicate: true, messages: 0, flags: 0 });
        expect(await exported(there)).toBe(back);
      }),
      { numRuns: 30 },
    );
  });
});
