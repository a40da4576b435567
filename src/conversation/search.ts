// Finds words in conversations, the newest first, by reading their logs.
import type { Folder } from '../base/file-ops.ts';
import type { SearchHit } from '../protocol/conversation.ts';
import { findFolded, fold } from './fold.ts';
import { readLogLines, recordOn } from './log-file.ts';
import type { LogRecord } from './record.ts';

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
