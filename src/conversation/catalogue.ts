// The list of conversations, in memory and stored beside the logs: a cache, made again from them.
import { join } from 'node:path';
import { z } from 'zod';
import { readJsonBounded, writeFileAtomic } from '../base/atomic-file.ts';
import type { FileOps, Folder } from '../base/file-ops.ts';
import { createPace } from '../base/pace.ts';
import { ConversationSummary, Id, Timestamp } from '../protocol/conversation.ts';
import { countShared, fingerprintsOf, grown, wordsOf } from './fingerprint.ts';
import { type ConversationState, type Entry, summaryOf } from './state.ts';

/** 3: what was said, and where it came from. An older list is not read but made from the logs. */
const SCHEMA_VERSION = 3;
const BYTES_MAX = 256 * 2 ** 20;
const LOG_SUFFIX = '.jsonl';
/** A conversation whose deletion has begun. */
export const DELETED_SUFFIX = '.deleted';

const CatalogueEntry = z.object({
  ...ConversationSummary.shape,
  copyOf: z.array(Id),
  /** Size of the log when this was noted; another size means that the log has to be read again. */
  bytes: z.number().int().nonnegative(),
  /** For the OpenAI routes, which name no conversation: see fingerprint.ts. */
  fingerprints: z.object({ asked: z.string().nullable(), said: z.string() }),
  /** Hashes of what was said: see word-hash.ts. */
  words: z.string(),
});
export type CatalogueEntry = z.infer<typeof CatalogueEntry>;

const CatalogueFile = z.object({
  schemaVersion: z.literal(SCHEMA_VERSION),
  conversations: z.array(CatalogueEntry),
});

export interface FoundLogs {
  readonly logs: readonly { readonly id: string; readonly bytes: number }[];
  /** Ids of those in whose place there is a folder, a pipe, or the like. */
  readonly others: readonly string[];
  /** Ids of conversations whose deletion was begun and not finished. */
  readonly deleted: readonly string[];
}

/** What is in the folder. Names that are no conversation's are left alone. */
export async function findLogs({ path, ops }: Folder): Promise<FoundLogs> {
  const names = (await ops.list(path)).map(({ name }) => name);
  const idsOf = (suffix: string): string[] =>
    names
      .filter((name) => name.endsWith(suffix))
      .map((name) => name.slice(0, -suffix.length))
      .filter((id) => Id.safeParse(id).success);
  const found = await Promise.all(
    idsOf(LOG_SUFFIX).map(async (id) => {
      return { id, ...(await ops.stat(join(path, id + LOG_SUFFIX))) };
    }),
  );
  return {
    logs: found.flatMap(({ id, isFile, bytes = 0 }) => (isFile ? [{ id, bytes }] : [])),
    others: found.flatMap(({ id, isFile }) => (isFile === false ? [id] : [])),
    deleted: idsOf(LOG_SUFFIX + DELETED_SUFFIX),
  };
}

/** The log of a conversation. The id was checked at the edge, and is checked again here. */
export function logPath(folder: string, id: string): string {
  Id.parse(id);
  return join(folder, id + LOG_SUFFIX);
}

/** The noted entries by id; empty when there are none or they cannot be read. */
export async function readCatalogue(
  path: string,
  ops: FileOps,
): Promise<Map<string, CatalogueEntry>> {
  try {
    const file = await readJsonBounded(path, CatalogueFile, { bytesMax: BYTES_MAX, ops });
    return new Map(file?.conversations.map((entry) => [entry.id, entry]));
  } catch {
    // It is only a cache: whatever is wrong with it, the logs are read instead.
    return new Map();
  }
}

export async function writeCatalogue(
  path: string,
  entries: Iterable<CatalogueEntry>,
  ops: FileOps,
): Promise<void> {
  const pace = createPace();
  const lines: string[] = [];
  for (const entry of entries) {
    lines.push(JSON.stringify(entry));
    await pace();
  }
  const text = `{"schemaVersion":${SCHEMA_VERSION},"conversations":[\n${lines.join(',\n')}\n]}\n`;
  await writeFileAtomic(path, text, ops, BYTES_MAX);
}

/** Hashes what was said so far, for `entryOf`; of a long conversation that takes a second. */
export async function hashEntries(entries: readonly Entry[]): Promise<void> {
  const pace = createPace();
  for (let count = 1; count <= entries.length; count++) {
    grown(entries, count);
    wordsOf(entries, count);
    await pace();
  }
}

/** What is noted of a conversation; what of it was hashed before is not hashed again. */
export function entryOf(state: ConversationState, bytes: number): CatalogueEntry {
  const { copyOf, entries } = state;
  return {
    ...summaryOf(state),
    copyOf: [...copyOf],
    bytes,
    fingerprints: fingerprintsOf(state),
    words: wordsOf(entries),
  };
}

/** What of an entry is for clients. */
export function summaryIn(entry: CatalogueEntry): ConversationSummary {
  const { bytes: _b, fingerprints: _f, words: _w, copyOf: _c, ...summary } = entry;
  return summary;
}

/** Newest first; ids part those of the same moment. */
export function byNewest(a: ConversationSummary, b: ConversationSummary): number {
  return b.updatedAt - a.updatedAt || (a.id < b.id ? -1 : 1);
}

const Cursor = z.tuple([Timestamp, Id]);

/** Where a page ended, as text; a conversation that moves up in between is seen at most twice. */
export function cursorOf(entry: ConversationSummary): string {
  return `${entry.updatedAt}.${entry.id}`;
}

/** The part of a sorted list after a cursor. A cursor that nobody gave out starts at the top. */
export function afterCursor<T extends ConversationSummary>(
  sorted: readonly T[],
  cursor: string | undefined,
): readonly T[] {
  if (cursor === undefined) return sorted;
  const dot = cursor.indexOf('.');
  const parsed = Cursor.safeParse([Number(cursor.slice(0, dot)), cursor.slice(dot + 1)]);
  if (!parsed.success) return sorted;
  const [updatedAt, id] = parsed.data;
  const at = sorted.findIndex(
    (entry) => entry.updatedAt < updatedAt || (entry.updatedAt === updatedAt && entry.id > id),
  );
  return at === -1 ? [] : sorted.slice(at);
}

// The list of conversations in memory: by id, by time, and by what was said in them.

export class ConversationIndex {
  readonly #entries = new Map<string, CatalogueEntry>();
  readonly #byFingerprint = { asked: new Map<string, string>(), said: new Map<string, string>() };
  #sorted: readonly CatalogueEntry[] | undefined;

  get size(): number {
    return this.#entries.size;
  }

  get(id: string): CatalogueEntry | undefined {
    return this.#entries.get(id);
  }

  all(): CatalogueEntry[] {
    return [...this.#entries.values()];
  }

  newestFirst(): readonly CatalogueEntry[] {
    this.#sorted ??= this.all().sort(byNewest);
    return this.#sorted;
  }

  find(key: 'asked' | 'said', fingerprint: string): string | undefined {
    return this.#byFingerprint[key].get(fingerprint);
  }

  /** Conversations in which some of these messages were said, with how many of them. */
  sharing(hashes: ReadonlySet<string>): { id: string; shared: number }[] {
    return this.all()
      .map(({ id, words }) => ({ id, shared: countShared(words, hashes) }))
      .filter(({ shared }) => shared > 0);
  }

  /** Conversations that began with words of this one, or of one that did. */
  copiesOf(id: string): string[] {
    const found = new Set([id]);
    // What is added while it runs is looked at as well.
    for (const origin of found) {
      for (const { id: copy, copyOf } of this.all()) if (copyOf.includes(origin)) found.add(copy);
    }
    found.delete(id);
    return [...found];
  }

  set(entry: CatalogueEntry): void {
    this.#dropFingerprints(entry.id);
    this.#entries.set(entry.id, entry);
    const { asked, said } = entry.fingerprints;
    if (asked !== null) this.#byFingerprint.asked.set(asked, entry.id);
    this.#byFingerprint.said.set(said, entry.id);
    this.#sorted = undefined;
  }

  delete(id: string): void {
    this.#dropFingerprints(id);
    this.#entries.delete(id);
    this.#sorted = undefined;
  }

  #dropFingerprints(id: string): void {
    const before = this.#entries.get(id)?.fingerprints;
    for (const key of ['asked', 'said'] as const) {
      const ids = this.#byFingerprint[key];
      const fingerprint = before?.[key] ?? '';
      if (ids.get(fingerprint) === id) ids.delete(fingerprint);
    }
  }
}
