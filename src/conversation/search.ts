// Finds words in talks, newest talk first, reading the logs as they lie on the disk.
import { readFileBounded } from '../base/atomic-file.ts';
import type { Folder } from '../base/file-ops.ts';
import type { SearchHit } from '../protocol/conversation.ts';
import { logPath } from './catalogue.ts';
import { type LogRecord, parseRecord } from './record.ts';

const EXCERPT_BEFORE = 60;
const EXCERPT_AFTER = 120;
const READS_AT_ONCE = 16;

export interface Searchable {
  readonly id: string;
  readonly title: string;
}

export interface SearchResult {
  readonly hits: readonly SearchHit[];
  readonly isTruncated: boolean;
}

function literal(text: string): RegExp {
  return new RegExp(text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'), 'iu');
}

/** The text of a log of any size, or undefined when there is none. */
export async function readLog({ path, ops }: Folder, id: string): Promise<string | undefined> {
  const bytesMax = Number.POSITIVE_INFINITY;
  const bytes = await readFileBounded(logPath(path, id), { bytesMax, ops });
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8');
}

/** The sound records of a log's text, as far as it goes; what is damaged is passed over. */
export function* recordsIn(text: string): Generator<LogRecord> {
  for (const line of text.split('\n')) {
    if (line === '') continue;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      continue;
    }
    const record = parseRecord(value);
    if (record !== undefined) yield record;
  }
}

function hitIn(talk: Searchable, record: LogRecord, pattern: RegExp): SearchHit | undefined {
  if (record.type !== 'message' && record.type !== 'reply') return undefined;
  const found = pattern.exec(record.text);
  if (found === null) return undefined;
  const from = Math.max(0, found.index - EXCERPT_BEFORE);
  const to = Math.min(record.text.length, found.index + found[0].length + EXCERPT_AFTER);
  return {
    conversationId: talk.id,
    title: talk.title,
    messageId: record.id,
    role: record.type === 'message' ? 'user' : 'assistant',
    at: record.at,
    excerpt: record.text.slice(from, to),
    start: found.index - from,
    end: found.index - from + found[0].length,
  };
}

async function hitsOf(
  folder: Folder,
  talk: Searchable,
  patterns: { readonly raw: RegExp; readonly text: RegExp },
): Promise<SearchHit[]> {
  // A talk may be deleted while the search runs: then it has no hits.
  const text = (await readLog(folder, talk.id).catch(() => undefined)) ?? '';
  // The raw text holds every match in its JSON spelling; most logs are done with here.
  if (!patterns.raw.test(text)) return [];
  const hits: SearchHit[] = [];
  for (const record of recordsIn(text)) {
    const hit = hitIn(talk, record, patterns.text);
    if (hit !== undefined) hits.push(hit);
  }
  return hits;
}

/**
 * Messages and replies that contain `query`, whatever its case; one hit a message.
 * @param talks newest first; the hits keep their order
 */
export async function searchLogs(
  folder: Folder,
  talks: readonly Searchable[],
  { query, limit }: { readonly query: string; readonly limit: number },
): Promise<SearchResult> {
  const patterns = { raw: literal(JSON.stringify(query).slice(1, -1)), text: literal(query) };
  const hits: SearchHit[] = [];
  for (let from = 0; from < talks.length && hits.length <= limit; from += READS_AT_ONCE) {
    const group = talks.slice(from, from + READS_AT_ONCE);
    const found = await Promise.all(group.map((talk) => hitsOf(folder, talk, patterns)));
    hits.push(...found.flat());
  }
  return { hits: hits.slice(0, limit), isTruncated: hits.length > limit };
}
