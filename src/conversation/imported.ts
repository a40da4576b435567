// A conversation of another program as the log that it becomes; pure, so it runs in any thread.
import { z } from 'zod';
import { LINE_BYTES_MAX } from '../base/append-file.ts';
import { AttuneError } from '../base/errors.ts';
import { ConversationCreate } from '../protocol/client-message.ts';
import { parseJson, parseWith } from '../protocol/codec.ts';
import {
  BETTER_WORDS_CHARACTERS_MAX,
  Flag,
  type FlagDraft,
  REASON_CHARACTERS_MAX,
} from '../protocol/flag.ts';
import { ConversationExport, ConversationImport, TEXT_CHARACTERS_MAX } from '../protocol/http.ts';
import { type CatalogueEntry, entryOf } from './catalogue.ts';
import { placeFlag, replyNotFound } from './place-flag.ts';
import { foreignReply, type HeaderRecord, LOG_SCHEMA_VERSION, LogRecord } from './record.ts';
import { applyRecord, type ConversationState, emptyState } from './state.ts';

/** A log that is not on the disk yet. */
export interface ImportedLog {
  readonly bytes: Uint8Array;
  /** Where the line of each message is in `bytes`. */
  readonly messages: readonly {
    readonly id: string;
    readonly start: number;
    readonly end: number;
  }[];
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

const ExportedFlag = Flag.extend({
  type: z.literal('flag'),
  betterWords: z.string().max(BETTER_WORDS_CHARACTERS_MAX).nullable(),
  reason: z.string().max(REASON_CHARACTERS_MAX).nullable(),
});

const ConversationNew = ConversationCreate.omit({ type: true });

/** A flag that comes with its conversation; with times where it was made here once. */
export type ImportedMark = FlagDraft &
  Partial<Pick<Flag, 'createdAt' | 'updatedAt' | 'withdrawnAt'>>;

/** A conversation with its messages and flags, or a new one. */
export type Imported =
  | { readonly log: ImportedLog; readonly flags: readonly ImportedMark[] }
  | { readonly create: z.infer<typeof ConversationNew> };

/** Messages and flags as many as may be, with all of their fields. */
const VALUES_MAX = 2 ** 17;

/**
 * A body of `POST /api/conversations`: with messages it is a conversation from elsewhere, with an
 * export one from here, and otherwise a new one.
 * @param now in ms since 1970, for one without messages
 * @throws message-invalid, message-too-long
 */
export function readImport(body: Uint8Array, now: number): Imported {
  const value = parseJson(Buffer.from(body).toString('utf8'), VALUES_MAX);
  const has = (name: string) => typeof value === 'object' && value !== null && name in value;
  if (has('export')) return readExport(parseWith(ConversationExport, value).export);
  if (!has('messages')) return { create: parseWith(ConversationNew, value) };
  const conversation = parseWith(ConversationImport, value);
  const { id: conversationId } = conversation;
  const flags = conversation.flags.map((flag) => {
    return { ...flag, conversationId, userSpan: null, replySpan: null };
  });
  return placed(recordsOf(conversation, now), flags);
}

/** What was exported here: the lines of the log, then those of the flags. */
function readExport(text: string): Imported {
  const records: LogRecord[] = [];
  const flags: ImportedMark[] = [];
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const record = parseWith(
      z.discriminatedUnion('type', [ExportedFlag, LogRecord]),
      parseJson(line),
    );
    if (record.type !== 'flag') records.push(record);
    else {
      const { type: _type, usedBy: _usedBy, messageId: _messageId, ...flag } = record;
      flags.push(flag);
    }
  }
  const [header, ...rest] = records;
  if (header?.type !== 'conversation' || rest.some(({ type }) => type === 'conversation')) {
    const message = 'export: one conversation, which begins with its own line, is expected';
    throw new AttuneError('message-invalid', message);
  }
  const long = rest.find((record) => 'text' in record && record.text.length > TEXT_CHARACTERS_MAX);
  if (long !== undefined) throw tooLong(long, TEXT_CHARACTERS_MAX, 'characters');
  return placed([header, ...rest], flags);
}

/** @throws message-invalid when a flag marks nothing of the conversation */
function placed(records: readonly [HeaderRecord, ...LogRecord[]], flags: ImportedMark[]): Imported {
  const { log, state } = folded(records);
  for (const [at, flag] of flags.entries()) {
    try {
      if (flag.conversationId !== state.id) throw replyNotFound(flag.replyId);
      placeFlag(flag, state);
    } catch (cause) {
      const message = `flags.${at}: ${cause instanceof Error ? cause.message : String(cause)}`;
      throw new AttuneError('message-invalid', message, {}, { cause });
    }
  }
  return { log, flags };
}

/** The lines of a log. @throws message-too-long */
export const logOf = (records: readonly [HeaderRecord, ...LogRecord[]]): ImportedLog =>
  folded(records).log;

function folded(records: readonly [HeaderRecord, ...LogRecord[]]) {
  const state = emptyState(records[0].id);
  const lines: Buffer[] = [];
  const messages: ImportedLog['messages'][number][] = [];
  let start = 0;
  for (const record of records) {
    const line = Buffer.from(`${JSON.stringify(record)}\n`, 'utf8');
    if (line.length > LINE_BYTES_MAX) throw tooLong(record, LINE_BYTES_MAX, 'bytes');
    applyRecord(state, record);
    lines.push(line);
    const end = start + line.length;
    if (record.type === 'message' || record.type === 'reply')
      messages.push({ id: record.id, start, end });
    start = end;
  }
  const entry = entryOf(state, start);
  const log = { bytes: Buffer.concat(lines), messages, replies: repliesIn(state), entry };
  return { log, state };
}

export function repliesIn({ entries }: ConversationState): Map<string, string> {
  const replies = entries.flatMap((one) => (one.type === 'reply' ? [one] : []));
  return new Map(replies.map(({ id, messageId }) => [id, messageId]));
}

function tooLong(record: LogRecord, max: number, unit: string): AttuneError {
  const id = 'id' in record ? record.id : record.type;
  const message = `The message ${id} is too long: at most ${max} ${unit} are stored.`;
  return new AttuneError('message-too-long', message, { id, max });
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
  { bytes, messages }: ImportedLog,
  known: Pick<ReadonlySet<string>, 'has'>,
): Uint8Array[] {
  return messages
    .filter(({ id }) => !known.has(id))
    .map(({ start, end }) => bytes.subarray(start, end));
}
