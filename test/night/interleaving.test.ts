// Deletions, decisions, changes of dreams and retrains that come at the same time, on a store in
// memory: what was acknowledged is kept, and no word of a deleted conversation is left.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { silentLogger } from '../../src/base/logger.ts';
import { readReview } from '../../src/ledger/deletion.ts';
import type { Manifest } from '../../src/ledger/manifest.ts';
import { changeDream } from '../../src/morning/review.ts';
import { NightService } from '../../src/night/service.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import type { MemoryDisk } from '../fakes/memory-disk.ts';
import { fc } from '../property.ts';
import { commitNight, converse, type NightStore, openNightStore } from './night-store.ts';

// Many orders of actions are tried.
vi.setConfig({ testTimeout: 60_000 });

/** A night's process that does nothing until it is told to end. */
const WAITING = `process.on('message', ({ type }) => {
  if (type !== 'abort') return;
  const failed = { type: 'failed', code: 'night-failed', message: 'ended' };
  process.send(failed, () => process.disconnect());
});
`;
const WORDS = ['quince', 'walnut', 'cherry', 'medlar', 'almond', 'loquat'];
const AT = '2026-03-04T07:00:00.000Z';

let folder: string;
let night: NightStore;
let nights: NightService;
let committed: Manifest[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-interleaving-'));
  await writeFile(join(folder, 'waiting.mjs'), WAITING);
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(() => begin());
afterEach(() => nights.close());

/** Three waiting nights that dreamt of six flagged conversations. */
async function begin(): Promise<void> {
  night = await openNightStore();
  for (const word of WORDS) {
    await converse(night.store, word, { said: `Where is the ${word}?`, better: `Here, ${word}.` });
  }
  committed = [];
  for (let number = 1; number <= 3; number++) {
    committed.push(await commitNight(night.store, { scenarios: WORDS.map(dreamOf) }));
  }
  nights = serviceOf(night);
  await night.store.ledger.setHead({
    nights: Object.fromEntries(
      committed.map((one) => [one.night, { status: 'waiting', at: AT, why: '' }]),
    ),
  });
}

const serviceOf = ({ plan, store }: NightStore): NightService =>
  new NightService({
    ...{ ...plan, store, entry: join(folder, 'waiting.mjs') },
    ...{ engine: new FakeEngine(), logger: silentLogger },
    surpriseOf: async () => undefined,
    publish: () => undefined,
  });

const dreamOf = (word: string) =>
  parseScenario({
    ...{ id: `dream-${word}`, kind: 'listen', chosen: `The ${word} is here.` },
    ...{ rejected: `Who needs a ${word}?` },
    messages: [{ role: 'user', content: `Bring the ${word}.` }],
    source: { origin: 'dream', cluster: word, domain: 'home' },
  });

const id = (at: number): string => committed[at]?.night ?? '';
const remove = (word: string) => night.store.conversations.delete(word);
const drop = (word: string, at = 0) =>
  changeDream(night.store.ledger, id(at), {
    request: { dreamId: `dream-${word}`, isDropped: true },
    at: AT,
  });

/** Paths of files that hold the word, in name or content; the list of conversations is a cache. */
function holding(word: string, disk: MemoryDisk = night.disk): string[] {
  const bytesOf = (file: number) => disk.inodes[file]?.bytes ?? Buffer.alloc(0);
  return [...disk.names]
    .filter(([path, file]) => path.includes(word) || bytesOf(file).includes(word))
    .map(([path]) => path)
    .filter((path) => path !== '/store/catalogue.json');
}

const reopened = () => openNightStore({}, night.disk);

describe('at the same time', () => {
  it('six deletions leave no word of any, and a ledger that is sound', async () => {
    expect(holding('quince')).not.toEqual([]);
    await Promise.all(WORDS.map(remove));
    for (const word of WORDS) expect(holding(word)).toEqual([]);
    expect((await nights.verify()).isSound).toBe(true);
  });

  it('three rejections are all kept, also over a restart', async () => {
    await Promise.all(committed.map(({ night: one }) => nights.reject(one)));
    const { ledger } = (await reopened()).store;
    expect(committed.map((one) => ledger.statusOf(one))).toEqual(Array(3).fill('rejected'));
  });

  it('two approvals are both active', async () => {
    await Promise.all([nights.approve(id(0)), nights.approve(id(1))]);
    const { ledger } = (await reopened()).store;
    expect(ledger.head().inForce).toEqual([id(0), id(1)]);
  });

  it('of an approval and a rejection the second is refused', async () => {
    const [approved, rejected] = await Promise.allSettled([
      nights.approve(id(0)),
      nights.reject(id(0)),
    ]);
    expect(approved.status).toBe('fulfilled');
    expect(rejected).toMatchObject({
      status: 'rejected',
      reason: { code: 'swap-refused', message: expect.stringContaining('is in-force') },
    });
  });

  it('a swap that would undo an approval is refused, and says what it would undo', async () => {
    const [, swapped] = await Promise.allSettled([nights.approve(id(0)), nights.swapTo([])]);
    expect(swapped).toMatchObject({
      status: 'rejected',
      reason: { code: 'swap-refused', message: expect.stringContaining(id(0)) },
    });
    expect(night.store.ledger.head().inForce).toEqual([id(0)]);
  });

  it('six dropped dreams are all kept', async () => {
    await Promise.all(WORDS.map((word) => drop(word)));
    expect(await readReview(night.store.ledger, id(0))).toHaveLength(6);
  });

  it('a deletion ends the night that was begun again with its words', async () => {
    await drop('walnut');
    await Promise.allSettled([nights.retrain(id(0)), remove('quince')]);
    expect(holding('quince')).toEqual([]);
    await nights.ended();
    expect(nights.pid).toBeUndefined();
    expect((await nights.verify()).isSound).toBe(true);
  });

  it('anything at all leaves no deleted word and keeps every decision', async () => {
    const word = fc.constantFrom(...WORDS);
    const number = fc.nat(2);
    const action = fc.oneof(
      word.map((one) => ['remove', one] as const),
      fc.tuple(word, number).map(([one, at]) => ['drop', one, at] as const),
      fc
        .tuple(fc.constantFrom('approve', 'reject', 'revert', 'retrain'), number)
        .map(([kind, at]) => [kind, at] as const),
      fc.subarray([0, 1, 2]).map((list) => ['swap', list] as const),
      fc.constant(['run'] as const),
    );
    type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;
    const act = (one: Action): Promise<unknown> => {
      if (one[0] === 'remove') return remove(one[1]);
      if (one[0] === 'drop') return drop(one[1], one[2]);
      if (one[0] === 'swap') return nights.swapTo(one[1].map(id));
      if (one[0] === 'run') return nights.run();
      return nights[one[0]](id(one[1]));
    };
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 2, maxLength: 8 }), async (actions) => {
        await begin();
        const done = await Promise.allSettled(actions.map(act));
        for (const [at, one] of actions.entries()) {
          const isDone = done[at]?.status === 'fulfilled';
          if (one[0] === 'remove' && isDone) expect(holding(one[1])).toEqual([]);
        }
        expect((await nights.verify()).isSound).toBe(true);
        const before = night.store.ledger.head();
        await nights.close();
        expect((await reopened()).store.ledger.head()).toEqual(before);
      }),
      { numRuns: 25 },
    );
  }, 60_000);
});

describe('on a full disk', () => {
  /** Writes that add bytes fail; what frees room goes on. */
  const fill = (disk: MemoryDisk): void => {
    disk.beforeStep = (step) => {
      const isLarge = step.kind === 'write' && step.bytes.length > 0;
      if (isLarge) throw Object.assign(new Error('no room'), { code: 'ENOSPC' });
    };
  };

  it('a deletion frees the log at once, is pending, and is finished when there is room', async () => {
    const { disk, clock, store } = night;
    fill(disk);
    expect(await remove('quince')).toMatchObject({ conversationId: 'quince', reason: 'no room' });
    expect(disk.text('/store/conversations/quince.jsonl.deleted')).toBe('');
    expect(store.conversations.list({ limit: 9 }).deleting).toHaveLength(1);
    disk.beforeStep = () => undefined;
    await clock.advance(30_000);
    await expect.poll(() => store.conversations.list({ limit: 9 }).deleting).toEqual([]);
    expect(holding('quince')).toEqual([]);
    expect((await nights.verify()).isSound).toBe(true);
  });

  it('a store opens with a deletion that is still pending, and a new conversation of its id stays', async () => {
    fill(night.disk);
    await remove('quince');
    const again = await reopened();
    expect(again.store.conversations.list({ limit: 9 }).deleting).toHaveLength(1);
    night.disk.beforeStep = () => undefined;
    await converse(again.store, 'quince', { said: 'Quince again.', better: 'Yes.' });
    const { store } = await reopened();
    expect(store.conversations.has('quince')).toBe(true);
    expect(store.flags.list('quince')).toHaveLength(1);
  });
});

describe('where a file of a night is damaged', () => {
  it.each(['scenarios.jsonl', 'flagged.json', 'measures.json', 'deleted.json'])(
    '%s: a deletion leaves no word, and the others keep theirs',
    async (name) => {
      const { ledger } = night.store;
      await remove('loquat');
      const path = join(ledger.folderOf(id(1)).path, name);
      const text = night.disk.text(path) ?? '';
      await night.disk.remove(path);
      const file = await night.disk.open(path, 'create');
      await file.write(Buffer.from(`${text.slice(0, text.length - 40)} quince`));
      expect(await remove('quince')).toBeUndefined();
      expect(holding('quince')).toEqual([]);
      expect(holding('cherry')).toContain(join(ledger.folderOf(id(0)).path, 'scenarios.jsonl'));
      await nights.close();
      await reopened();
    },
  );

  it('a night without a readable manifest loses the words as well', async () => {
    const path = join(night.store.ledger.folderOf(id(1)).path, 'manifest.json');
    await night.disk.remove(path);
    expect(await remove('quince')).toBeUndefined();
    expect(holding('quince')).toEqual([]);
  });
});
