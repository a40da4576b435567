// Every message a client may send over the WebSocket. Unknown types and unknown keys are refused.
import { z } from 'zod';
import { ConversationSettings, Id, SettingsPatch } from './conversation.ts';
import { FlagDraft, FlagPatch } from './flag.ts';

/** Chosen by the client; comes back on the answer or on the error that the message caused. */
const requestId = z.string().min(1).max(64).optional();

/** The first message on a connection. The token may come in the `Authorization` header instead. */
export const ClientHello = z.strictObject({
  type: z.literal('client-hello'),
  requestId,
  protocol: z.number().int(),
  client: z.string().min(1).max(64),
  token: z.string().max(1024).optional(),
});

/** Answered by `heartbeat-pong`: for clients that cannot see WebSocket pings (browsers). */
export const HeartbeatPing = z.strictObject({ type: z.literal('heartbeat-ping'), requestId });

/**
 * Says something. Creates the talk when it is new. The same `messageId` again is stored once and
 * answered once; the running or finished reply is then sent again.
 */
export const MessageSay = z.strictObject({
  type: z.literal('message-say'),
  requestId,
  conversationId: Id,
  messageId: Id,
  text: z.string().min(1),
});

export const ReplyStop = z.strictObject({
  type: z.literal('reply-stop'),
  requestId,
  conversationId: Id,
});

/** Answers the last user message again. `replyId` names the new reply: sent twice, made once. */
export const ReplyRegenerate = z.strictObject({
  type: z.literal('reply-regenerate'),
  requestId,
  conversationId: Id,
  replyId: Id,
});

export const ConversationCreate = z.strictObject({
  type: z.literal('conversation-create'),
  requestId,
  conversationId: Id,
  title: z.string().min(1).max(200).optional(),
  settings: ConversationSettings.optional(),
  canLearn: z.boolean().optional(),
  origin: z.enum(['live', 'replay']).optional(),
});

/**
 * Answered by `conversation-opened` with the newest messages, at most `limit`; from then on this
 * connection gets the talk's events.
 */
export const ConversationOpen = z.strictObject({
  type: z.literal('conversation-open'),
  requestId,
  conversationId: Id,
  limit: z.number().int().min(1).max(500).default(100),
});

/** The messages that come right before the message `before`, at most `limit`. */
export const HistoryList = z.strictObject({
  type: z.literal('history-list'),
  requestId,
  conversationId: Id,
  before: Id,
  limit: z.number().int().min(1).max(500).default(100),
});

/** No more events of this talk, please. */
export const ConversationClose = z.strictObject({
  type: z.literal('conversation-close'),
  requestId,
  conversationId: Id,
});

/** Newest first. `cursor` comes from the previous `conversation-listed`. */
export const ConversationList = z.strictObject({
  type: z.literal('conversation-list'),
  requestId,
  limit: z.number().int().min(1).max(500).default(50),
  cursor: z.string().max(200).optional(),
});

export const ConversationRename = z.strictObject({
  type: z.literal('conversation-rename'),
  requestId,
  conversationId: Id,
  title: z.string().min(1).max(200),
});

export const ConversationConfigure = z.strictObject({
  type: z.literal('conversation-configure'),
  requestId,
  conversationId: Id,
  settings: SettingsPatch.optional(),
  canLearn: z.boolean().optional(),
});

export const ConversationSearch = z.strictObject({
  type: z.literal('conversation-search'),
  requestId,
  query: z.string().min(1).max(200),
  limit: z.number().int().min(1).max(200).default(20),
});

export const ConversationDelete = z.strictObject({
  type: z.literal('conversation-delete'),
  requestId,
  conversationId: Id,
});

export const ConversationExport = z.strictObject({
  type: z.literal('conversation-export'),
  requestId,
  conversationId: Id,
});

export const FlagAdd = z.strictObject({ type: z.literal('flag-add'), requestId, flag: FlagDraft });

export const FlagEdit = z.strictObject({
  type: z.literal('flag-edit'),
  requestId,
  flagId: Id,
  patch: FlagPatch,
});

export const FlagWithdraw = z.strictObject({
  type: z.literal('flag-withdraw'),
  requestId,
  flagId: Id,
});

export const FlagList = z.strictObject({
  type: z.literal('flag-list'),
  requestId,
  conversationId: Id.optional(),
});

/** `conversations`: created, updated, deleted. `flags`. `nights`: nights, swaps, summaries. `engine`. */
export const EventTopic = z.enum(['conversations', 'flags', 'nights', 'engine']);
export type EventTopic = z.infer<typeof EventTopic>;

/** Replaces the connection's topics. */
export const EventSubscribe = z.strictObject({
  type: z.literal('event-subscribe'),
  requestId,
  topics: z.array(EventTopic).max(EventTopic.options.length),
});

export const ClientMessage = z.discriminatedUnion('type', [
  ClientHello,
  HeartbeatPing,
  MessageSay,
  ReplyStop,
  ReplyRegenerate,
  ConversationCreate,
  ConversationOpen,
  HistoryList,
  ConversationClose,
  ConversationList,
  ConversationRename,
  ConversationConfigure,
  ConversationSearch,
  ConversationDelete,
  ConversationExport,
  FlagAdd,
  FlagEdit,
  FlagWithdraw,
  FlagList,
  EventSubscribe,
]);
/** After parsing: defaults filled in. */
export type ClientMessage = z.infer<typeof ClientMessage>;
/** Before parsing: what a client has to write. */
export type ClientMessageInput = z.input<typeof ClientMessage>;
export type ClientMessageOf<T extends ClientMessage['type']> = Extract<ClientMessage, { type: T }>;
