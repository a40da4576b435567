// The log of a conversation on the disk: read record by record, as a whole, or searched.
import { LINE_BYTES_MAX } from '../base/append-file.ts';
import { parsedJson, readFileBounded, writeFileAtomic } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { type Folder, systemCode } from '../base/file-ops.ts';
import { readLines } from '../base/line-recovery.ts';
import { createPace } from '../base/pace.ts';
import type { SearchHit } from '../protocol/conversation.ts';
import { logPath } from './catalogue.ts';
import { findFolded, fold } from './fold.ts';
import { type LogRecord, parseRecord } from './record.ts';
import { applyLoss, applyRecord, type ConversationState, emptyState } from './state.ts';

/** The text of a log of any size, or undefined when there is none. */
export async function readLog({ path, ops }: Folder, id: string): Promise<string | undefined> {
  const bytesMax = Number.POSITIVE_INFINITY;
  const bytes = await readFileBounded(logPath(path, id), { bytesMax, ops });
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8');
}

/** The whole log, beside the one before and then in its place. @throws disk-full, store-failed */
export function writeLog({ path, ops }: Folder, id: string, bytes: Uint8Array): Promise<void> {
  return writeFileAtomic(logPath(path, id), bytes, ops, Number.POSITIVE_INFINITY);
}

/** What a log's text tells, as far as it goes; what is damaged is passed over. */
export function stateIn(id: string, text: string): ConversationState {
  const state = emptyState(id);
  const lines = text.split('\n');
  for (const [at, line] of lines.entries()) {
    const record = recordOn(line);
    const isLost = record === undefined && line !== '' && at < lines.length - 1;
    if (isLost || (at === 0 && record?.type !== 'conversation')) applyLoss(state);
    if (record !== undefined) applyRecord(state, record);
  }
  return state;
}

/** The lines of a log one after the other; however long it is, others go on meanwhile. */
export async function* readLogLines({ path, ops }: Folder, id: string): AsyncGenerator<string> {
  const pace = createPace();
  const file = await ops.open(logPath(path, id), 'read').catch((cause: unknown) => {
    if (systemCode(cause) !== 'ENOENT') throw cause;
    const message = `The log of the conversation ${id} is gone from the disk.`;
    throw new AttuneError('store-failed', message, { conversationId: id }, { cause });
  });
  try {
    for await (const { bytes } of readLines(file, LINE_BYTES_MAX)) {
      yield Buffer.from(bytes).toString('utf8');
      await pace();
    }
  } finally {
    await file.close();
  }
}

const PIECE_CHARACTERS = 2 ** 16;

/** The sound lines of a log, in pieces of some length. */
export async function* exportLog(folder: Folder, id: string): AsyncGenerator<string> {
  let piece = '';
  for await (const line of readLogLines(folder, id)) {
    if (recordOn(line) === undefined) continue;
    piece += `${line}\n`;
    if (piece.length < PIECE_CHARACTERS) continue;
    yield piece;
    piece = '';
  }
  if (piece !== '') yield piece;
}

/** Undefined for a line that is damaged. */
export function recordOn(line: string): LogRecord | undefined {
  return line === '' ? undefined : parseRecord(parsedJson(line));
}

// Finds words in conversations, the newest first, by reading their logs.

const EXCERPT_BEFORE = 60;
const EXCERPT_AFTER = 120;
const READS_AT_ONCE = 16;

interface Searchable {
  readonly id: string;
  readonly title: string;
}

export interface SearchResult {
  readonly hits: readonly SearchHit[];
  readonly isTruncated: boolean;
}

/** @param isNamed the title holds the words: its first message stands for it */
function hitIn(
  conversation: Searchable,
  record: LogRecord,
  { query, isNamed }: { readonly query: string; readonly isNamed: boolean },
): SearchHit | undefined {
  if (record.type !== 'message' && record.type !== 'reply') return undefined;
  const found = findFolded(record.text, query) ?? (isNamed ? { start: 0, end: 0 } : undefined);
  if (found === undefined) return undefined;
  const from = Math.max(0, found.start - EXCERPT_BEFORE);
  const to = Math.min(record.text.length, found.end + EXCERPT_AFTER);
  return {
    conversationId: conversation.id,
    title: conversation.title,
    messageId: record.id,
    role: record.type === 'message' ? 'user' : 'assistant',
    at: record.at,
    excerpt: record.text.slice(from, to),
    start: found.start - from,
    end: found.end - from,
  };
}

const ESCAPED = /\\(?:u([0-9a-fA-F]{4})|([nrtbf])|(.))/g;

/** The words of a log, out of their JSON spelling. */
function unescaped(log: string): string {
  return log.replace(ESCAPED, (_, code: string, blank: string, other: string) =>
    code === undefined
      ? blank === undefined
        ? other
        : ' '
      : String.fromCharCode(Number.parseInt(code, 16)),
  );
}

async function hitsOf(
  folder: Folder,
  conversation: Searchable,
  query: string,
): Promise<SearchHit[]> {
  const hits: SearchHit[] = [];
  const isTitle = fold(conversation.title).includes(query);
  try {
    for await (const line of readLogLines(folder, conversation.id)) {
      // A line holds every match in its JSON spelling; most are done with here.
      const isNamed = isTitle && hits.length === 0;
      const words = line.includes('\\') ? unescaped(line) : line;
      if (!isNamed && !fold(words).includes(query)) continue;
      const record = recordOn(line);
      const hit = record && hitIn(conversation, record, { query, isNamed });
      if (hit !== undefined) hits.push(hit);
    }
  } catch {
    // A conversation may be deleted while the search runs: then it has no hits.
    return [];
  }
  return hits;
}

/**
 * Messages and replies that contain `query`, also replaced ones, compared as `fold` does; one hit a
 * message. A conversation with the words only in its title is found by its first message.
 * @param conversations newest first; the hits keep their order
 */
export async function searchLogs(
  folder: Folder,
  conversations: readonly Searchable[],
  { query, limit }: { readonly query: string; readonly limit: number },
): Promise<SearchResult> {
  const wanted = fold(query).trim();
  const hits: SearchHit[] = [];
  for (let from = 0; from < conversations.length && hits.length <= limit; from += READS_AT_ONCE) {
    const group = conversations.slice(from, from + READS_AT_ONCE);
    const found = await Promise.all(
      group.map((conversation) => hitsOf(folder, conversation, wanted)),
    );
    hits.push(...found.flat());
  }
  return { hits: hits.slice(0, limit), isTruncated: hits.length > limit };
}
