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
import { Flag } from './flag.ts';
import { NightEnd, NightProgress, SummaryReady, SwapEnd } from './night.ts';

const requestId = z.string().optional();

export const EngineStatus = z.enum(['starting', 'ready', 'restarting', 'failed']);
export type EngineStatus = z.infer<typeof EngineStatus>;

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

export const ServerHello = z.object({
  type: z.literal('server-hello'),
  requestId,
  protocol: z.number().int(),
  server: z.string(),
  engine: EngineView,
  limits: WireLimits,
});

export const HeartbeatPong = z.object({
  type: z.literal('heartbeat-pong'),
  requestId,
  at: Timestamp,
});

/** The message is on the disk. `isDuplicate`: it already was (also the answer to a regenerate). */
export const MessageStored = z.object({
  type: z.literal('message-stored'),
  requestId,
  conversationId: Id,
  message: UserMessage,
  isDuplicate: z.boolean(),
});

/** `replaces`: the reply whose place it takes (regenerate). */
export const ReplyStart = z.object({
  type: z.literal('reply-start'),
  conversationId: Id,
  replyId: Id,
  messageId: Id,
  replaces: Id.nullable(),
  window: WindowView,
  at: Timestamp,
});

/** `offset`: where `text` begins in the reply, in UTF-16 code units. Deltas may be merged. */
export const ReplyDelta = z.object({
  type: z.literal('reply-delta'),
  conversationId: Id,
  replyId: Id,
  offset: z.number().int().nonnegative(),
  text: z.string(),
});

/** The reply is on the disk; `reply.text` is the truth. */
export const ReplyEnd = z.object({
  type: z.literal('reply-end'),
  conversationId: Id,
  reply: Reply,
  /** Why it was interrupted, where it was. */
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});

/** The reply was made but could not be kept (disk full, talk deleted); it is not in the log. */
export const ReplyFailed = z.object({
  type: z.literal('reply-failed'),
  conversationId: Id,
  replyId: Id,
  error: z.object({ code: z.string(), message: z.string() }),
});

export const ConversationCreated = z.object({
  type: z.literal('conversation-created'),
  requestId,
  conversation: ConversationSummary,
});

export const ConversationOpened = z.object({
  type: z.literal('conversation-opened'),
  requestId,
  conversation: Conversation,
  running: RunningReply.nullable(),
});

/** `history` may be shorter than was asked for where messages are long; it is never empty. */
export const HistoryListed = z.object({
  type: z.literal('history-listed'),
  requestId,
  conversationId: Id,
  ...HistoryPage.shape,
});

export const ConversationClosed = z.object({
  type: z.literal('conversation-closed'),
  requestId,
  conversationId: Id,
});

export const ConversationListed = z.object({
  type: z.literal('conversation-listed'),
  requestId,
  conversations: z.array(ConversationSummary),
  /** Null: that was all. */
  nextCursor: z.string().nullable(),
  deleting: z.array(PendingDeletion).default([]),
});

/** Renamed, configured, or gone on: its line in the list changed. */
export const ConversationUpdated = z.object({
  type: z.literal('conversation-updated'),
  requestId,
  conversation: ConversationSummary,
});

export const ConversationFound = z.object({
  type: z.literal('conversation-found'),
  requestId,
  query: z.string(),
  hits: z.array(SearchHit),
  isTruncated: z.boolean(),
});

export const ConversationDeleted = z.object({
  type: z.literal('conversation-deleted'),
  requestId,
  conversationId: Id,
  /** Set where something of it is still to be done. */
  pending: PendingDeletion.optional(),
});

/** One JSON object a line: the talk's records as they stand in the log, then its flags. */
export const ConversationExported = z.object({
  type: z.literal('conversation-exported'),
  requestId,
  conversationId: Id,
  jsonl: z.string(),
});

export const FlagAdded = z.object({ type: z.literal('flag-added'), requestId, flag: Flag });
export const FlagEdited = z.object({ type: z.literal('flag-edited'), requestId, flag: Flag });
export const FlagWithdrawn = z.object({ type: z.literal('flag-withdrawn'), requestId, flag: Flag });
export const FlagListed = z.object({
  type: z.literal('flag-listed'),
  requestId,
  flags: z.array(Flag),
});

export const EventSubscribed = z.object({
  type: z.literal('event-subscribed'),
  requestId,
  topics: z.array(EventTopic),
});

export const EngineChanged = z.object({
  type: z.literal('engine-changed'),
  engine: EngineView,
});

/** The daemon stops; reconnect later. */
export const ServerClosing = z.object({ type: z.literal('server-closing'), reason: z.string() });

/** Something a client sent could not be done. `requestId` says which message, where it had one. */
export const ErrorMessage = z.object({
  type: z.literal('error'),
  requestId,
  code: z.string(),
  message: z.string(),
  facts: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  retryAfterMs: z.number().int().nullable(),
});

export const ServerMessage = z.discriminatedUnion('type', [
  ServerHello,
  HeartbeatPong,
  MessageStored,
  ReplyStart,
  ReplyDelta,
  ReplyEnd,
  ReplyFailed,
  ConversationCreated,
  ConversationOpened,
  HistoryListed,
  ConversationClosed,
  ConversationListed,
  ConversationUpdated,
  ConversationFound,
  ConversationDeleted,
  ConversationExported,
  FlagAdded,
  FlagEdited,
  FlagWithdrawn,
  FlagListed,
  EventSubscribed,
  EngineChanged,
  NightProgress,
  NightEnd,
  SwapEnd,
  SummaryReady,
  ServerClosing,
  ErrorMessage,
]);
export type ServerMessage = z.infer<typeof ServerMessage>;
export type ServerMessageOf<T extends ServerMessage['type']> = Extract<ServerMessage, { type: T }>;
