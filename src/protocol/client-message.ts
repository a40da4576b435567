// Every message a client may send over the WebSocket. Unknown types and unknown keys are refused.
import { z } from 'zod';
import { ConversationSettings, Id, SettingsPatch } from './conversation.ts';
import { FlagDraft, FlagPatch } from './flag.ts';

/** Chosen by the client; comes back on the answer or on the error that the message caused. */
const requestId = z.string().min(1).max(64).optional();

/** `conversations`: created, updated, deleted. `flags`. `nights`: nights, swaps, summaries. `engine`. */
export const EventTopic = z.enum(['conversations', 'flags', 'nights', 'engine']);
export type EventTopic = z.infer<typeof EventTopic>;

function message<T extends string, S extends z.core.$ZodShape>(type: T, shape: S) {
  return z.strictObject({ type: z.literal(type), requestId, ...shape });
}

export const ConversationCreate = message('conversation-create', {
  conversationId: Id,
  title: z.string().min(1).max(200).optional(),
  settings: ConversationSettings.optional(),
  canLearn: z.boolean().optional(),
  origin: z.enum(['live', 'replay']).optional(),
});

export const ClientMessage = z.discriminatedUnion('type', [
  /** The first message on a connection. The token may come in the `Authorization` header instead. */
  message('client-hello', {
    protocol: z.number().int(),
    client: z.string().min(1).max(64),
    token: z.string().max(1024).optional(),
  }),
  /** Answered by `heartbeat-pong`: for clients that cannot see WebSocket pings (browsers). */
  message('heartbeat-ping', {}),
  /**
   * Says something. Creates the conversation when there never was one of this id; with
   * `isNew: false` it creates none. The same `messageId` again is stored once and answered once;
   * the running or finished reply is then sent again.
   */
  message('message-say', {
    conversationId: Id,
    messageId: Id,
    text: z.string().min(1),
    /** Whether this client knows of nothing that was said in it before. */
    isNew: z.boolean().optional(),
  }),
  message('reply-stop', { conversationId: Id }),
  /** Answers the last user message again. `replyId` names the new reply: sent twice, made once. */
  message('reply-regenerate', { conversationId: Id, replyId: Id }),
  ConversationCreate,
  /**
   * Answered by `conversation-opened` with the newest messages, at most `limit`; from then on this
   * connection gets the conversation's events.
   */
  message('conversation-open', {
    conversationId: Id,
    limit: z.number().int().min(1).max(500).default(100),
  }),
  /** The messages that come right before the message `before`, at most `limit`. */
  message('history-list', {
    conversationId: Id,
    before: Id,
    limit: z.number().int().min(1).max(500).default(100),
  }),
  /** No more events of this conversation, please. */
  message('conversation-close', { conversationId: Id }),
  /** Newest first. `cursor` comes from the previous `conversation-listed`. */
  message('conversation-list', {
    limit: z.number().int().min(1).max(500).default(50),
    cursor: z.string().max(200).optional(),
  }),
  message('conversation-rename', { conversationId: Id, title: z.string().min(1).max(200) }),
  message('conversation-configure', {
    conversationId: Id,
    settings: SettingsPatch.optional(),
    canLearn: z.boolean().optional(),
  }),
  message('conversation-search', {
    query: z.string().min(1).max(200),
    limit: z.number().int().min(1).max(200).default(20),
  }),
  message('conversation-delete', { conversationId: Id }),
  message('conversation-export', { conversationId: Id }),
  message('flag-add', { flag: FlagDraft }),
  message('flag-edit', { flagId: Id, patch: FlagPatch }),
  message('flag-withdraw', { flagId: Id }),
  /**
   * "Hear me now": answers the flagged message again, told again what the person asked. Answered
   * by `told-asked` once it runs; asked twice at once, it is made once.
   */
  message('told-ask', { flagId: Id }),
  /** The told reply listens: it becomes the flag's better words, and the reply where it still can. */
  message('told-keep', { flagId: Id, replyId: Id }),
  message('flag-list', { conversationId: Id.optional() }),
  /** Replaces the connection's topics. */
  message('event-subscribe', { topics: z.array(EventTopic).max(EventTopic.options.length) }),
]);
/** After parsing: defaults filled in. */
export type ClientMessage = z.infer<typeof ClientMessage>;
/** Before parsing: what a client has to write. */
export type ClientMessageInput = z.input<typeof ClientMessage>;
export type ClientMessageOf<T extends ClientMessage['type']> = Extract<ClientMessage, { type: T }>;
