// Every message the server may send over the WebSocket. Clients ignore keys they do not know.
import { z } from 'zod';
import { EventTopic } from './client-message.ts';
import {
  Conversation,
  ConversationSummary,
  HistoryPage,
  Id,
  PendingDeletion,
  Reply,
  RunningReply,
  SearchHit,
  Timestamp,
  UserMessage,
  WindowView,
} from './conversation.ts';
import { Flag, ToldReply } from './flag.ts';
import { NightEnd, NightProgress, SummaryReady, SwapEnd } from './night.ts';

const requestId = z.string().optional();

export const EngineStatus = z.enum(['starting', 'ready', 'restarting', 'failed']);
export type EngineStatus = z.infer<typeof EngineStatus>;

/** What to start instead of a demonstration. */
export const ModelSuggestion = z.object({
  /** On this machine; null: none was found, and the command fetches one. */
  model: z.string().nullable(),
  command: z.string(),
});
export type ModelSuggestion = z.infer<typeof ModelSuggestion>;

/** The server that speaks in place of the engine. */
export const UpstreamView = z.object({
  kind: z.string(),
  url: z.string(),
  /** As the server names what speaks, and the weights version that this is. */
  model: z.string(),
  version: z.string(),
  status: z.enum(['ready', 'down']),
  /** Why it is down. */
  message: z.string().nullable(),
  /** Whether it is the model that trains. */
  check: z.string(),
});
export type UpstreamView = z.infer<typeof UpstreamView>;

/** What answers, for a client to show. `null` fields: the engine is not up yet. */
export const EngineView = z.object({
  status: EngineStatus,
  modelId: z.string().nullable(),
  /** Hash of the base model. */
  base: z.string().nullable(),
  device: z.string().nullable(),
  windowTokens: z.number().int().nullable(),
  parameters: z.number().int().nullable(),
  version: z.string().nullable(),
  /** What a person should know of how the model is used here, a sentence each. */
  notices: z.array(z.string()),
  /** Only for a demonstration model, some seconds after the start. */
  suggestion: ModelSuggestion.nullable(),
  /** Absent: our own engine speaks. */
  upstream: UpstreamView.optional(),
});
export type EngineView = z.infer<typeof EngineView>;

/** The limits a client should keep to; passing one gives a coded error. */
export const WireLimits = z.object({
  payloadBytesMax: z.number().int(),
  messageCharactersMax: z.number().int(),
  messagesPerMinuteMax: z.number().int(),
  heartbeatIntervalMs: z.number().int(),
});
export type WireLimits = z.infer<typeof WireLimits>;

function event<T extends string, S extends z.core.$ZodShape>(type: T, shape: S) {
  return z.object({ type: z.literal(type), ...shape });
}

/** Also sent unasked for; with the `requestId` of the message that it answers, where it had one. */
function answer<T extends string, S extends z.core.$ZodShape>(type: T, shape: S) {
  return event(type, { requestId, ...shape });
}

export const ServerMessage = z.discriminatedUnion('type', [
  answer('server-hello', {
    protocol: z.number().int(),
    server: z.string(),
    engine: EngineView,
    limits: WireLimits,
  }),
  answer('heartbeat-pong', { at: Timestamp }),
  /** The message is on the disk. `isDuplicate`: it already was (also the answer to a regenerate). */
  answer('message-stored', { conversationId: Id, message: UserMessage, isDuplicate: z.boolean() }),
  /** `replaces`: the reply whose place it takes (regenerate). */
  event('reply-start', {
    conversationId: Id,
    replyId: Id,
    messageId: Id,
    replaces: Id.nullable(),
    window: WindowView,
    at: Timestamp,
  }),
  /** `offset`: where `text` begins in the reply, in UTF-16 code units. Deltas may be merged. */
  event('reply-delta', {
    conversationId: Id,
    replyId: Id,
    offset: z.number().int().nonnegative(),
    text: z.string(),
  }),
  /** As `reply-delta`, of the thought that comes before what the reply says. */
  event('thought-delta', {
    conversationId: Id,
    replyId: Id,
    offset: z.number().int().nonnegative(),
    text: z.string(),
  }),
  /** The reply is on the disk; `reply.text` is the truth. */
  event('reply-end', {
    conversationId: Id,
    reply: Reply,
    /** Why it was interrupted, where it was. */
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
  }),
  /** The reply was made but could not be stored (disk full, conversation deleted). */
  event('reply-failed', {
    conversationId: Id,
    replyId: Id,
    error: z.object({ code: z.string(), message: z.string() }),
  }),
  answer('conversation-created', { conversation: ConversationSummary }),
  answer('conversation-opened', {
    conversation: Conversation,
    running: RunningReply.nullable(),
    /** Told replies that wait for the person's word. */
    told: z.array(ToldReply).optional(),
  }),
  /** `history` may be shorter than was asked for where messages are long; it is never empty. */
  answer('history-listed', { conversationId: Id, ...HistoryPage.shape }),
  answer('conversation-closed', { conversationId: Id }),
  answer('conversation-listed', {
    conversations: z.array(ConversationSummary),
    /** Null: that was all. */
    nextCursor: z.string().nullable(),
    deleting: z.array(PendingDeletion).default([]),
  }),
  /** Renamed, configured, or gone on: its line in the list changed. */
  answer('conversation-updated', { conversation: ConversationSummary }),
  answer('conversation-found', {
    query: z.string(),
    hits: z.array(SearchHit),
    isTruncated: z.boolean(),
  }),
  answer('conversation-deleted', {
    conversationId: Id,
    /** Set where something of it is still to be done. */
    pending: PendingDeletion.optional(),
  }),
  /** One JSON object a line: the conversation's records as they are in the log, then its flags. */
  answer('conversation-exported', { conversationId: Id, jsonl: z.string() }),
  answer('flag-added', { flag: Flag }),
  answer('flag-edited', { flag: Flag }),
  answer('flag-withdrawn', { flag: Flag }),
  answer('told-asked', { conversationId: Id, flagId: Id }),
  /** It begins, or begins again, told more plainly: what it said before is void. */
  event('told-start', { conversationId: Id, flagId: Id, replyId: Id }),
  event('told-end', { conversationId: Id, told: ToldReply }),
  /** `isPlaced`: it is the reply now; else the conversation had gone on. */
  answer('told-kept', { conversationId: Id, flagId: Id, isPlaced: z.boolean() }),
  answer('flag-listed', { flags: z.array(Flag) }),
  answer('event-subscribed', { topics: z.array(EventTopic) }),
  event('engine-changed', { engine: EngineView }),
  NightProgress,
  NightEnd,
  SwapEnd,
  SummaryReady,
  /** The daemon stops; reconnect later. */
  event('server-closing', { reason: z.string() }),
  /** Something a client sent could not be done. `requestId` says which message, where it had one. */
  answer('error', {
    code: z.string(),
    message: z.string(),
    facts: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
    retryAfterMs: z.number().int().nullable(),
  }),
]);
export type ServerMessage = z.infer<typeof ServerMessage>;
export type ServerMessageOf<T extends ServerMessage['type']> = Extract<ServerMessage, { type: T }>;
