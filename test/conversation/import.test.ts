import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/base/logger.ts';
import { installationFolder } from '../../src/config/load.ts';
import {
  type ConversationStore,
  openConversationStore,
} from '../../src/conversation/conversation-store.ts';
import { ImportReader } from '../../src/conversation/import-reader.ts';
import { type ImportedLog, readImport } from '../../src/conversation/imported.ts';
import { createFakeClock } from '../fakes/fake-clock.ts';
import { afterCrash, MemoryDisk, SURVIVALS } from '../fakes/memory-disk.ts';

const STORE = '/store';
const LOG = `${STORE}/conversations/book.jsonl`;

let ops: MemoryDisk;
beforeEach(() => {
  ops = new MemoryDisk();
});

const open = (disk: MemoryDisk): Promise<ConversationStore> =>
  openConversationStore({
    ...{ folder: STORE, logger: silentLogger, ops: disk, clock: createFakeClock(9000) },
    ...{ openLogsMax: 4, conversationsMax: 10, conversationMessagesMax: 500 },
    forget: async () => undefined,
  });

function bodyOf(messages: number, more: object = {}): Buffer {
  const said = Array.from({ length: messages }, (_, at) => {
    const role = at % 2 === 0 ? 'user' : 'assistant';
    return { id: `m${at}`, role, text: `words ${at}`, at: 1000 + at };
  });
  const head = { id: 'book', title: 'A book', origin: 'import' };
  return Buffer.from(JSON.stringify({ ...head, messages: said, ...more }));
}

function logOf(messages: number): ImportedLog {
  const imported = readImport(bodyOf(messages), 1);
  if (!('log' in imported)) throw new Error('these are no messages');
  return imported.log;
}

const textsIn = async (store: ConversationStore) =>
  (await store.read('book')).entries.map(({ text }) => text);

describe('an import', () => {
  it('is there with all of its messages or not at all, wherever it is cut', async () => {
    const store = await open(ops);
    const begun = ops.steps.length;
    expect(await store.import(logOf(30))).toBe(30);
    const acknowledged = ops.steps.length;
    const seen = new Set<number>();
    for (let count = begun; count <= acknowledged; count++) {
      for (const survival of SURVIVALS) {
        const found = await open(afterCrash(ops.steps, count, survival).disk);
        const messages = found.has('book') ? (await textsIn(found)).length : 0;
        seen.add(messages);
        if (count === acknowledged) expect(messages).toBe(30);
        expect(await found.import(logOf(30))).toBe(30 - messages);
        expect(await textsIn(found)).toHaveLength(30);
      }
    }
    expect([...seen].sort((a, b) => a - b)).toEqual([0, 30]);
  });

  it('that is longer than the one before adds what is new, as a whole', async () => {
    const store = await open(ops);
    await store.import(logOf(10));
    const begun = ops.steps.length;
    expect(await store.import(logOf(30))).toBe(20);
    expect(await textsIn(store)).toEqual(logTexts(30));
    expect(store.summary('book').messages).toBe(30);
    for (let count = begun; count <= ops.steps.length; count++) {
      for (const survival of SURVIVALS) {
        const found = await open(afterCrash(ops.steps, count, survival).disk);
        expect([10, 30]).toContain((await textsIn(found)).length);
      }
    }
  });

  it('completes what a release before left cut in the middle of a line', async () => {
    const bytes = Buffer.from(logOf(30).bytes);
    const store = await open(new MemoryDisk({ [LOG]: bytes.subarray(0, 1000) }));
    const before = store.summary('book').messages;
    expect(before).toBeGreaterThan(0);
    expect(await store.import(logOf(30))).toBe(30 - before);
    expect((await textsIn(store)).sort()).toEqual(logTexts(30).sort());
  });

  it('adds nothing to a conversation that went on here, and counts nothing', async () => {
    const store = await open(ops);
    await store.import(logOf(10));
    await store.append('book', { type: 'message', id: 'own', at: 5000, text: 'said here' });
    expect(await store.import(logOf(30))).toBe(0);
    expect(await textsIn(store)).toEqual([...logTexts(10), 'said here']);
  });

  it('counts a message once that is in it twice', async () => {
    const body = JSON.parse(bodyOf(4).toString());
    body.messages.push(body.messages[3]);
    const imported = readImport(Buffer.from(JSON.stringify(body)), 1);
    const store = await open(ops);
    expect('log' in imported && (await store.import(imported.log))).toBe(4);
  });

  it('leaves nothing behind when the disk is full', async () => {
    const store = await open(ops);
    ops.beforeStep = (step) => {
      if (step.kind === 'write') throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
    };
    await expect(store.import(logOf(30))).rejects.toThrow();
    ops.beforeStep = () => undefined;
    expect(store.has('book')).toBe(false);
    expect([...ops.names.keys()].filter((path) => path.includes('book'))).toEqual([]);
    expect(await store.import(logOf(30))).toBe(30);
  });

  it('with more messages than a conversation may have is refused as a whole', async () => {
    const store = await open(ops);
    await expect(store.import(logOf(501))).rejects.toMatchObject({ code: 'conversation-too-long' });
    expect(store.has('book')).toBe(false);
  });
});

const logTexts = (count: number) => Array.from({ length: count }, (_, at) => `words ${at}`);

describe('the body of an import', () => {
  it('says by its place what is wrong with it', () => {
    const many = bodyOf(10_001);
    expect(() => readImport(many, 1)).toThrow('messages: Too big: expected array to have <=10000');
    const long = bodyOf(0, { messages: [{ id: 'a', role: 'user', at: 1, text: 'x'.repeat(2e6) }] });
    expect(() => readImport(long, 1)).toThrow('messages.0.text: Too big');
    const flag = { id: 'f', replyId: 'm0', kind: 'good', reason: null, betterWords: null };
    const misplaced = bodyOf(2, { flags: [{ ...flag, strength: 2 }] });
    expect(() => readImport(misplaced, 1)).toThrow('flags.0: This conversation has no reply m0.');
  });

  it('is refused before it is parsed when it is made of more values than may be', () => {
    const begunAt = performance.now();
    const lists = Buffer.from(`[${'[],'.repeat(20_000_000)}[]]`);
    expect(() => readImport(lists, 1)).toThrow('more than 131072 values');
    expect(performance.now() - begunAt).toBeLessThan(5_000);
  });

  const isBuilt = existsSync(join(installationFolder, 'dist/conversation/import-worker.js'));
  it.skipIf(!isBuilt)('is read in a worker when it is large (needs npm run build)', async () => {
    const reader = new ImportReader();
    const body = bodyOf(9_000);
    const { signal } = new AbortController();
    const here = readImport(body, 1);
    const there = await reader.read([new Uint8Array(body)], 1, signal);
    expect('log' in there && Buffer.from(there.log.bytes).toString()).toBe(
      'log' in here && Buffer.from(here.log.bytes).toString(),
    );
    expect('log' in there && there.log.entry).toEqual('log' in here && here.log.entry);
    const damaged = Buffer.concat([body, Buffer.from('x')]);
    await expect(reader.read([new Uint8Array(damaged)], 1, signal)).rejects.toMatchObject({
      code: 'message-invalid',
    });
    await expect(reader.read([new Uint8Array(body)], 1, AbortSignal.abort())).rejects.toMatchObject(
      {
        code: 'aborted',
      },
    );
  });
});
