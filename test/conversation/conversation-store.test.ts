import {
  appendFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/base/logger.ts';
import {
  type ConversationStore,
  type ConversationStoreOptions,
  openConversationStore,
} from '../../src/conversation/conversation-store.ts';
import { foreignReply, type HeaderRecord, type LogRecord } from '../../src/conversation/record.ts';
import { createFakeClock } from '../fakes/fake-clock.ts';

let folder: string;
let store: ConversationStore;
let forgotten: string[];

async function open(options: Partial<ConversationStoreOptions> = {}): Promise<ConversationStore> {
  store = await openConversationStore({
    folder,
    logger: silentLogger,
    openLogsMax: 8,
    conversationsMax: 100,
    conversationMessagesMax: 100,
    clock: createFakeClock(9000),
    forget: async (id) => void forgotten.push(id),
    ...options,
  });
  return store;
}

beforeEach(async () => {
  forgotten = [];
  folder = await mkdtemp(join(tmpdir(), 'attune-store-'));
  await open();
});

afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

function header(id: string, more: Partial<HeaderRecord> = {}): HeaderRecord {
  const rest = { origin: 'live', title: '', settings: {}, canLearn: true } as const;
  return { type: 'conversation', schemaVersion: 1, id, at: 1000, ...rest, ...more };
}

function said(id: string, text: string, at = 2000): LogRecord {
  return { type: 'message', id, at, text };
}

const path = (id: string): string => join(folder, 'conversations', `${id}.jsonl`);

describe('the conversation store', () => {
  it('has after a restart what it had before', async () => {
    await store.create(header('a', { title: 'Given' }), [said('m1', 'one')]);
    await store.append('a', said('m2', 'two', 3000), { type: 'title', at: 3000, title: 'Renamed' });
    const before = { ...(await store.read('a')) };
    await store.close();
    await open();
    expect(await store.read('a')).toEqual(before);
    expect(store.summary('a')).toMatchObject({ title: 'Renamed', messages: 2, updatedAt: 3000 });
  });

  it('names a talk after its first words until a person does', async () => {
    await store.create(header('a'), [said('m1', `${'long words '.repeat(20)}\nsecond line`)]);
    const { title } = store.summary('a');
    expect(title.length).toBeLessThanOrEqual(61);
    expect(title).toMatch(/^long words .*…$/);
  });

  it('is not kept at the top of the list by a clock that was ahead', async () => {
    const clock = createFakeClock(9000);
    await open({ clock });
    await store.create(header('ahead', { at: 10 ** 12 }), [said('m1', 'one', 10 ** 12)]);
    await clock.advance(10);
    await store.create(header('b'), [said('m1', 'one', 9010)]);
    const ids = () => store.list({ limit: 9 }).conversations.map(({ id }) => id);
    expect([ids(), store.summary('ahead').updatedAt]).toEqual([['b', 'ahead'], 9000]);
    await store.close();
    await clock.advance(10);
    await open({ clock });
    expect(ids()).toEqual(['b', 'ahead']);
  });

  it('takes a record once, whatever the log holds twice', async () => {
    await store.create(header('a'), [said('m1', 'one')]);
    await store.close();
    const text = await readFile(path('a'), 'utf8');
    await appendFile(path('a'), text.split('\n')[1] ? `${text.split('\n')[1]}\n` : '');
    await open();
    expect((await store.read('a')).entries).toHaveLength(1);
  });

  it('cuts off a torn last line and keeps the rest', async () => {
    await store.create(header('a'), [said('m1', 'one')]);
    await store.close();
    await appendFile(path('a'), '{"type":"message","id":"m2","at":1,"te');
    await open();
    expect((await store.read('a')).entries.map(({ id }) => id)).toEqual(['m1']);
    await store.close();
    await open();
    expect(store.summary('a').canLearn).toBe(true);
    await store.append('a', said('m3', 'three'));
    await store.close();
    await open();
    expect((await store.read('a')).entries.map(({ id }) => id)).toEqual(['m1', 'm3']);
    expect(await readFile(`${path('a')}.damaged`, 'utf8')).toContain('torn');
  });

  it('sets a damaged line in the middle aside and loses nothing else', async () => {
    await store.create(header('a'), [said('m1', 'one'), said('m2', 'two'), said('m3', 'three')]);
    await store.close();
    const lines = (await readFile(path('a'), 'utf8')).split('\n');
    lines[2] = (lines[2] ?? '').replace('"text"', '"txet"');
    await writeFile(path('a'), lines.join('\n'));
    await open();
    expect((await store.read('a')).entries.map(({ id }) => id)).toEqual(['m1', 'm3']);
    expect(await readFile(`${path('a')}.damaged`, 'utf8')).toContain('unsound');
  });

  it('reads a talk whose header is damaged', async () => {
    await store.create(header('a'), [said('m1', 'one')]);
    await store.close();
    const lines = (await readFile(path('a'), 'utf8')).split('\n');
    await writeFile(path('a'), ['{"broken', ...lines.slice(1)].join('\n'));
    await open();
    expect(store.summary('a')).toMatchObject({ messages: 1, createdAt: 2000, title: 'one' });
  });

  it.each([
    ['a line with a decision is damaged', (lines: string[]) => lines.with(2, '{"type":"settings"')],
    ['the first line is damaged', (lines: string[]) => ['{', lines[1], lines[3], '']],
    ['the first lines are gone', (lines: string[]) => [lines[1], lines[3], '']],
    ['the last lines are gone', (lines: string[]) => [...lines.slice(0, 2), '']],
    [
      'its end is gone in the middle of a line',
      (lines: string[]) => [...lines.slice(0, 2), '{"ty'],
    ],
  ])('asks again whether nights may learn from it where %s', async (_, damage) => {
    const decision = { settings: {}, canLearn: false, isUndecided: false };
    await store.create(header('a'), [said('m1', 'one')]);
    await store.append('a', { type: 'settings', at: 3000, ...decision }, said('m2', 'two'));
    await store.close();
    await writeFile(path('a'), damage((await readFile(path('a'), 'utf8')).split('\n')).join('\n'));
    const undecided = { canLearn: false, isUndecided: true };
    await open();
    expect(store.summary('a')).toMatchObject(undecided);
    await store.append('a', said('m3', 'three'));
    expect(store.summary('a')).toMatchObject(undecided);
    await store.close();
    await rm(join(folder, 'catalogue.json'));
    await open();
    expect(await store.read('a')).toMatchObject(undecided);
    await store.append('a', { type: 'settings', at: 4000, ...decision, canLearn: true });
    await store.close();
    await open();
    expect(store.summary('a')).toMatchObject({ canLearn: true, isUndecided: false });
  });

  it('names a log in whose place something else is', async () => {
    await store.create(header('a'), [said('m1', 'one')]);
    await store.close();
    await rm(path('a'));
    await symlink(path('a'), path('a'));
    await mkdir(path('b'));
    await open();
    expect(store.damage).toEqual([
      'The log of the conversation a is no file.',
      'The log of the conversation b is no file.',
    ]);
  });

  it('does without its list of talks, and without trusting it', async () => {
    await store.create(header('a'), [said('m1', 'one')]);
    await store.create(header('b'), [said('m1', 'one')]);
    await store.close();
    await rm(join(folder, 'catalogue.json'));
    await open();
    expect(store.size).toBe(2);
    await store.close();
    await writeFile(join(folder, 'catalogue.json'), '{"schemaVersion":1,"conversations":[{"id":');
    await appendFile(path('b'), `${JSON.stringify(said('m2', 'two', 9000))}\n`);
    await open();
    expect(store.summary('b')).toMatchObject({ messages: 2, updatedAt: 9000 });
  });

  it('knows nothing of a talk of which nothing whole was written', async () => {
    await writeFile(path('empty'), '');
    await writeFile(path('torn'), '{"type":"conv');
    await writeFile(join(folder, 'conversations', 'not a talk.txt'), 'x');
    await open();
    expect(store.size).toBe(0);
    expect(await readdir(join(folder, 'conversations'))).not.toContain('empty.jsonl');
    await store.create(header('torn'), [said('m1', 'one')]);
    expect((await store.read('torn')).entries).toHaveLength(1);
  });

  it('refuses what is not there, there already, or too much', async () => {
    await open({ conversationsMax: 1, conversationMessagesMax: 1 });
    await expect(store.read('a')).rejects.toMatchObject({ code: 'conversation-not-found' });
    await expect(store.append('a', said('m', 'x'))).rejects.toMatchObject({
      code: 'conversation-not-found',
    });
    await store.create(header('a'), [said('m1', 'one')]);
    await expect(store.create(header('a'))).rejects.toMatchObject({ code: 'conversation-exists' });
    await expect(store.create(header('b'))).rejects.toMatchObject({ code: 'conversations-limit' });
    await expect(store.append('a', said('m2', 'two'))).rejects.toMatchObject({
      code: 'conversation-too-long',
    });
    // A reply to what was taken still fits.
    await store.append('a', foreignReply({ id: 'r', messageId: 'm1', at: 1, text: 'yes' }));
  });

  it('runs what belongs to one talk in turn', async () => {
    const order: string[] = [];
    const slow = store.exclusive('a', async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      order.push('first');
      throw new Error('and it may fail');
    });
    const next = store.exclusive('a', async () => void order.push('second'));
    const other = store.exclusive('b', async () => void order.push('other'));
    await expect(slow).rejects.toThrow('may fail');
    await Promise.all([next, other]);
    expect(order).toEqual(['other', 'first', 'second']);
  });

  it('keeps no more files open than it may', async () => {
    await open({ openLogsMax: 2 });
    for (let at = 0; at < 10; at++) await store.create(header(`t${at}`), [said('m', `${at}`)]);
    await Promise.all(
      Array.from({ length: 10 }, (_, at) => store.append(`t${at}`, said('n', `${at}`))),
    );
    for (let at = 0; at < 10; at++) expect((await store.read(`t${at}`)).entries).toHaveLength(2);
  });
});

describe('deletion', () => {
  it('takes the log, what was set aside of it, and its line in the list', async () => {
    await store.create(header('a', { title: 'a secret title' }), [said('m1', 'secret')]);
    await writeFile(`${path('a')}.damaged`, 'secret');
    await store.flush();
    expect(await store.delete('a')).toBeUndefined();
    expect(forgotten).toEqual(['a']);
    expect(await readdir(join(folder, 'conversations'))).toEqual([]);
    expect(await readFile(join(folder, 'catalogue.json'), 'utf8')).not.toContain('secret');
    await expect(store.delete('a')).rejects.toMatchObject({ code: 'conversation-not-found' });
  });

  it('that was cut short is finished after the next opening', async () => {
    await store.create(header('a'), [said('m1', 'one')]);
    await store.create(header('b'), [said('m1', 'one')]);
    await store.close();
    await rename(path('a'), `${path('a')}.deleted`);
    await writeFile(join(folder, 'conversations', 'no id.jsonl.deleted'), 'left alone');
    await open();
    expect(store.list({ limit: 9 }).deleting).toMatchObject([{ conversationId: 'a', since: 9000 }]);
    await store.retryDeletions();
    expect([forgotten, store.ids()]).toEqual([['a'], ['b']]);
    expect(store.list({ limit: 9 }).deleting).toEqual([]);
    expect(await readdir(join(folder, 'conversations'))).toEqual([
      'b.jsonl',
      'no id.jsonl.deleted',
    ]);
  });

  it('leaves the talk where it is when it cannot be begun', async () => {
    await store.create(header('a'), [said('m1', 'one')]);
    await mkdir(`${path('a')}.deleted`);
    await expect(store.delete('a')).rejects.toThrow();
    expect(store.has('a')).toBe(true);
    await rm(`${path('a')}.deleted`, { recursive: true });
    await store.delete('a');
  });

  it('that cannot be finished is pending, with nothing of the log left, and is tried again', async () => {
    let isFull = true;
    const forget = async (id: string): Promise<void> => {
      if (isFull) throw new Error('no room');
      forgotten.push(id);
    };
    await open({ forget });
    for (const id of ['a', 'b']) await store.create(header(id), [said('m1', 'secret')]);
    const pending = { conversationId: 'a', since: 9000, reason: 'no room' };
    expect(await store.delete('a')).toEqual(pending);
    expect(store.has('a')).toBe(false);
    expect(store.list({ limit: 9 }).deleting).toEqual([pending]);
    expect(await readFile(`${path('a')}.deleted`, 'utf8')).toBe('');
    expect(await store.delete('a')).toEqual(pending);
    isFull = false;
    expect(await store.delete('a')).toBeUndefined();
    expect([forgotten, await readdir(join(folder, 'conversations'))]).toEqual([['a'], ['b.jsonl']]);
  });

  it('comes before anything new under the same id, which is refused until it is done', async () => {
    let isFull = true;
    const forget = async (id: string): Promise<void> => {
      if (isFull) throw new Error('no room');
      forgotten.push(id);
    };
    await open({ forget });
    await store.create(header('a'), [said('m1', 'one')]);
    await store.delete('a');
    const refused = { code: 'deletion-pending', message: expect.stringContaining('no room') };
    await expect(store.create(header('a'))).rejects.toMatchObject(refused);
    isFull = false;
    await store.create(header('a'), [said('m1', 'again')]);
    expect(forgotten).toEqual(['a']);
    await store.retryDeletions();
    expect([forgotten, store.ids()]).toEqual([['a'], ['a']]);
  });
});

describe('search and the list', () => {
  it('finds words in messages and replies, newest talk first', async () => {
    await store.create(header('old'), [said('m1', 'the Needle in "quotes"\nand lines', 1000)]);
    await store.create(header('new'), [
      said('m1', 'hay', 5000),
      foreignReply({ id: 'r1', messageId: 'm1', at: 6000, text: 'a NEEDLE here' }),
    ]);
    const { hits } = await store.search({ query: 'needle', limit: 10 });
    expect(hits.map(({ conversationId, messageId }) => [conversationId, messageId])).toEqual([
      ['new', 'r1'],
      ['old', 'm1'],
    ]);
    const quoted = await store.search({ query: '"quotes"\nand', limit: 10 });
    expect(quoted.hits).toHaveLength(1);
    for (const query of ['.*', '(', '[a', '\\', 'type', '"id":']) {
      expect((await store.search({ query, limit: 10 })).hits, query).toEqual([]);
    }
  });

  it('finds what is spelt in another form, also in a reply that was replaced', async () => {
    const first = foreignReply({ id: 'r1', messageId: 'm1', at: 2000, text: 'Cafe\u0301 \\new' });
    const other = { ...foreignReply({ ...first, id: 'r2', text: 'Tea.' }), replaces: 'r1' };
    await store.create(header('a'), [said('m1', 'a lamp\tand\na chair', 1000), first, other]);
    for (const [query, id] of [
      ['CAFÉ', 'r1'],
      ['\\new', 'r1'],
      ['lamp and a', 'm1'],
    ] as const) {
      const { hits } = await store.search({ query, limit: 10 });
      expect(
        hits.map(({ messageId }) => messageId),
        query,
      ).toEqual([id]);
    }
  });

  it('pages through all talks, each once', async () => {
    for (let at = 0; at < 25; at++) await store.create(header(`t${at}`, { at: 1000 + (at % 5) }));
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = store.list({ limit: 7, cursor });
      seen.push(...page.conversations.map(({ id }) => id));
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    expect(new Set(seen).size).toBe(25);
    expect(seen).toHaveLength(25);
    expect(store.list({ limit: 3, cursor: 'nonsense' }).conversations).toHaveLength(3);
  });
});
