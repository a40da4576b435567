// The lines of a conversation's log on the disk; a line is never changed, only followed by more.
import { z } from 'zod';
import {
  ConversationSettings,
  Id,
  Origin,
  ReplyStopReason,
  Timestamp,
  Usage,
  VersionRun,
  WindowView,
} from '../protocol/conversation.ts';
import { Seed, samplingLayerShape } from '../protocol/sampling-schema.ts';

/** Raised when a line's meaning changes; an upgrade is a named function beside `parseRecord`. */
export const LOG_SCHEMA_VERSION = 1;

/** The first line. */
export const HeaderRecord = z.object({
  type: z.literal('conversation'),
  schemaVersion: z.number().int().min(1),
  id: Id,
  at: Timestamp,
  origin: Origin,
  title: z.string(),
  settings: ConversationSettings,
  canLearn: z.boolean(),
  /** Absent: false. */
  isUndecided: z.boolean().optional(),
  /** Conversations whose words it began with. Absent: none. */
  copyOf: z.array(Id).optional(),
});
export type HeaderRecord = z.infer<typeof HeaderRecord>;

/** What a person said. */
export const MessageRecord = z.object({
  type: z.literal('message'),
  id: Id,
  at: Timestamp,
  text: z.string(),
});
export type MessageRecord = z.infer<typeof MessageRecord>;

/** How a reply was made, enough to make it again. */
export const Making = z.object({
  modelId: z.string(),
  baseHash: z.string(),
  /** The kind of the upstream server that spoke; absent: our engine did. */
  server: z.string().optional(),
  /** A setting that is absent was not there yet. */
  sampling: z.object({ ...samplingLayerShape, seed: Seed }),
});
export type Making = z.infer<typeof Making>;

/** What was answered, with its token ids and the weights version of each of them. */
export const ReplyRecord = z.object({
  type: z.literal('reply'),
  id: Id,
  messageId: Id,
  /** The reply whose place it takes. */
  replaces: Id.nullable(),
  at: Timestamp,
  text: z.string(),
  /** What the model thought before it said that; absent: nothing. */
  thought: z.string().optional(),
  ids: z.array(z.number().int()),
  /** A stop string ended it: the text ends before the ids do. */
  isCut: z.boolean(),
  versionRuns: z.array(VersionRun),
  stopReason: ReplyStopReason,
  usage: Usage,
  window: WindowView.nullable(),
  /** Null for a reply that was imported. */
  making: Making.nullable(),
});
export type ReplyRecord = z.infer<typeof ReplyRecord>;

/** A reply that was given elsewhere: only its words are known. */
export function foreignReply(
  reply: Pick<ReplyRecord, 'id' | 'messageId' | 'at' | 'text'>,
): ReplyRecord {
  return {
    type: 'reply',
    ...reply,
    replaces: null,
    ids: [],
    isCut: false,
    versionRuns: [],
    stopReason: 'stop',
    usage: { promptTokens: 0, reusedTokens: 0, replyTokens: 0 },
    window: null,
    making: null,
  };
}

export const TitleRecord = z.object({
  type: z.literal('title'),
  at: Timestamp,
  title: z.string(),
});

/** All settings as they are from now on. */
export const SettingsRecord = z.object({
  type: z.literal('settings'),
  at: Timestamp,
  settings: ConversationSettings,
  canLearn: z.boolean(),
  /** Absent: false. */
  isUndecided: z.boolean().optional(),
});

export const LogRecord = z.discriminatedUnion('type', [
  HeaderRecord,
  MessageRecord,
  ReplyRecord,
  TitleRecord,
  SettingsRecord,
]);
export type LogRecord = z.infer<typeof LogRecord>;

/** The record on a line, or undefined when the line is damaged. */
export function parseRecord(line: unknown): LogRecord | undefined {
  const parsed = LogRecord.safeParse(line);
  return parsed.success ? parsed.data : undefined;
}
