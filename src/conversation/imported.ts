// A conversation of another program as the log that it becomes; pure, so it runs in any thread.
import type { z } from 'zod';
import { LINE_BYTES_MAX } from '../base/append-file.ts';
import { AttuneError } from '../base/errors.ts';
import { ConversationCreate } from '../protocol/client-message.ts';
import { parseJson, parseWith } from '../protocol/codec.ts';
import { ConversationImport, type ImportedFlag } from '../protocol/http.ts';
import { type CatalogueEntry, entryOf } from './catalogue.ts';
import { foreignReply, type HeaderRecord, LOG_SCHEMA_VERSION, type LogRecord } from './record.ts';
import { applyRecord, type ConversationState, emptyState } from './state.ts';

/** A log that is not on the disk yet. */
export interface ImportedLog {
  readonly bytes: Uint8Array;
  /** Where the line of each message ends in `bytes`; the header comes before the first. */
  readonly messages: readonly { readonly id: string; readonly end: number }[];
  readonly headerEnd: number;
  /** The message that each reply answers. */
  readonly replies: ReadonlyMap<string, string>;
  readonly entry: CatalogueEntry;
}

/** What an import is about to write. */
export interface ImportPlan {
  /** The message that each reply answers, once it is written. */
  readonly replies: ReadonlyMap<string, string>;
  /** The log has as many once it is written, and fewer before. */
  readonly logBytes: number;
  readonly isWritten: () => Promise<boolean>;
}

/** Does the write, together with what must be there with it, or not at all. */
export type Alongside = (plan: ImportPlan, write: () => Promise<void>) => Promise<unknown>;

const ConversationNew = ConversationCreate.omit({ type: true });

/** A conversation with its messages and flags, or a new one. */
export type Imported =
  | { readonly log: ImportedLog; readonly flags: readonly ImportedFlag[] }
  | { readonly create: z.infer<typeof ConversationNew> };

/** Messages and flags as many as may be, with all of their fields. */
const VALUES_MAX = 2 ** 17;

/**
 * A body of `POST /api/conversations`: with messages it is a conversation from elsewhere, without
 * them a new one.
 * @param now in ms since 1970, for one without messages
 * @throws message-invalid, message-too-long
 */
export function readImport(body: Uint8Array, now: number): Imported {
  const value = parseJson(Buffer.from(body).toString('utf8'), VALUES_MAX);
  const isImport = typeof value === 'object' && value !== null && 'messages' in value;
  if (!isImport) return { create: parseWith(ConversationNew, value) };
  const conversation = parseWith(ConversationImport, value);
  assertPlaced(conversation);
  return { log: logOf(recordsOf(conversation, now)), flags: conversation.flags };
}

/** @throws message-invalid when a flag marks nothing of the conversation */
function assertPlaced({ messages, flags }: ConversationImport): void {
  const replies = messages.filter(({ role }) => role === 'assistant');
  const ids = new Set(replies.map(({ id }) => id));
  const at = flags.findIndex(({ replyId }) => !ids.has(replyId));
  if (at === -1) return;
  const message = `flags.${at}.replyId: no assistant message has this id`;
  throw new AttuneError('message-invalid', message);
}

/** The lines of a log. @throws message-too-long */
export function logOf([header, ...records]: readonly [HeaderRecord, ...LogRecord[]]): ImportedLog {
  const state = emptyState(header.id);
  const lines: Buffer[] = [];
  let end = 0;
  const add = (record: LogRecord): number => {
    const line = Buffer.from(`${JSON.stringify(record)}\n`, 'utf8');
    if (line.length > LINE_BYTES_MAX) throw tooLong(record, line.length);
    applyRecord(state, record);
    lines.push(line);
    end += line.length;
    return end;
  };
  const headerEnd = add(header);
  const messages = records.map((record) => {
    const id = 'id' in record ? record.id : '';
    return { id, end: add(record) };
  });
  const entry = entryOf(state, end);
  return { bytes: Buffer.concat(lines), messages, headerEnd, replies: repliesIn(state), entry };
}

export function repliesIn({ entries }: ConversationState): Map<string, string> {
  const replies = entries.flatMap((one) => (one.type === 'reply' ? [one] : []));
  return new Map(replies.map(({ id, messageId }) => [id, messageId]));
}

function tooLong(record: LogRecord, bytes: number): AttuneError {
  const id = 'id' in record ? record.id : record.type;
  return new AttuneError(
    'message-too-long',
    `The message ${id} takes ${bytes} bytes in the log; the limit is ${LINE_BYTES_MAX}.`,
    { id, bytes, bytesMax: LINE_BYTES_MAX },
  );
}

function recordsOf(conversation: ConversationImport, now: number): [HeaderRecord, ...LogRecord[]] {
  const { id, title, origin, settings, canLearn } = conversation;
  const at = conversation.messages[0]?.at ?? now;
  const header = { id, at, title, origin, settings, canLearn };
  let messageId = conversation.messages.find((message) => message.role === 'user')?.id ?? id;
  const records = conversation.messages.map((message): LogRecord => {
    if (message.role === 'user') {
      messageId = message.id;
      return { type: 'message', id: message.id, at: message.at, text: message.text };
    }
    const { id: replyId, text } = message;
    return foreignReply({ id: replyId, messageId, at: message.at, text });
  });
  return [{ type: 'conversation', schemaVersion: LOG_SCHEMA_VERSION, ...header }, ...records];
}

/** The lines of messages that are not there yet. */
export function missingLines(
  log: ImportedLog,
  known: Pick<ReadonlySet<string>, 'has'>,
): Uint8Array[] {
  const missing: Uint8Array[] = [];
  let start = log.headerEnd;
  for (const { id, end } of log.messages) {
    if (!known.has(id)) missing.push(log.bytes.subarray(start, end));
    start = end;
  }
  return missing;
}
