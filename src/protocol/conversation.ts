// What a conversation looks like on the wire: ids, spans, settings, messages, replies, summaries.
import { z } from 'zod';
import { Seed, samplingLayerShape } from './sampling-schema.ts';

/** Ids are chosen by whoever creates the thing; safe as a file name by construction. */
export const Id = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, 'an id is 1 to 64 of A-Z a-z 0-9 _ -');

/** Milliseconds since 1970, UTC. */
export const Timestamp = z.number().int().nonnegative();

/** `[start, end)` in UTF-16 code units of a message's text; `text` is what stands there. */
export const Span = z
  .strictObject({
    start: z.number().int().nonnegative(),
    end: z.number().int().positive(),
    text: z.string().min(1),
  })
  .refine(
    (span) => span.end - span.start === span.text.length,
    'end - start must be the length of text',
  );
export type Span = z.infer<typeof Span>;

/** Variables of the chat template, such as `enable_thinking`. */
export const TemplateVariables = z.record(
  z.string().regex(/^[A-Za-z_]\w{0,63}$/, 'not the name of a variable'),
  z.union([z.string().max(1000), z.number(), z.boolean(), z.null()]),
);
export type TemplateVariables = z.infer<typeof TemplateVariables>;

/** What a conversation may set for itself; what is absent comes from the configuration. */
export const ConversationSettings = z.strictObject({
  systemPrompt: z.string().optional(),
  ...samplingLayerShape,
  /** Absent: a new seed for each reply, written into the log. */
  seed: Seed.optional(),
  replyTokensMax: z.number().int().positive().optional(),
  stop: z.array(z.string().min(1).max(256)).max(16).optional(),
  templateVariables: TemplateVariables.optional(),
});
export type ConversationSettings = z.infer<typeof ConversationSettings>;

type Shape = typeof ConversationSettings.shape;
const nullableShape = Object.fromEntries(
  Object.entries(ConversationSettings.shape).map(([name, schema]) => [name, schema.nullable()]),
) as { [K in keyof Shape]: z.ZodNullable<Shape[K]> };

/** A change of settings: `null` takes a setting back to the configuration's value. */
export const SettingsPatch = z.strictObject(nullableShape);
export type SettingsPatch = z.infer<typeof SettingsPatch>;

/** Where a conversation comes from: it is live, over the OpenAI routes, replayed or imported. */
export const Origin = z.enum(['live', 'openai', 'replay', 'import']);
export type Origin = z.infer<typeof Origin>;

export const UserMessage = z.object({
  id: Id,
  role: z.literal('user'),
  text: z.string(),
  at: Timestamp,
});
export type UserMessage = z.infer<typeof UserMessage>;

/** Why a reply ended. `aborted`: the person stopped it. `interrupted`: the engine or daemon did. */
export const ReplyStopReason = z.enum(['stop', 'length', 'aborted', 'interrupted']);
export type ReplyStopReason = z.infer<typeof ReplyStopReason>;

export const Usage = z.object({
  promptTokens: z.number().int().nonnegative(),
  /** Prompt tokens that came from the KV cache. */
  reusedTokens: z.number().int().nonnegative(),
  replyTokens: z.number().int().nonnegative(),
});
export type Usage = z.infer<typeof Usage>;

/** `[from, to)` in reply tokens, and the weights version that made them. */
export const VersionRun = z.tuple([z.number().int(), z.number().int(), z.string()]);
export type VersionRun = z.infer<typeof VersionRun>;

/** Which part of the conversation the model saw. */
export const WindowView = z.object({
  /** Whole turns at the beginning that left the prompt. */
  turnsDropped: z.number().int().nonnegative(),
  /** The oldest message that was still in the prompt. */
  firstMessageId: Id,
});
export type WindowView = z.infer<typeof WindowView>;

export const Reply = z.object({
  id: Id,
  role: z.literal('assistant'),
  /** The user message it answers. */
  messageId: Id,
  text: z.string(),
  /** What the model thought before it said that; absent: nothing. */
  thought: z.string().optional(),
  at: Timestamp,
  stopReason: ReplyStopReason,
  usage: Usage,
  versionRuns: z.array(VersionRun),
  window: WindowView.nullable(),
  /** True when a later reply to the same message took its place (regenerate). */
  isSuperseded: z.boolean(),
});
export type Reply = z.infer<typeof Reply>;

export const Message = z.discriminatedUnion('role', [UserMessage, Reply]);
export type Message = z.infer<typeof Message>;

/** One line of the list of conversations. */
export const ConversationSummary = z.object({
  id: Id,
  title: z.string(),
  createdAt: Timestamp,
  updatedAt: Timestamp,
  messages: z.number().int().nonnegative(),
  origin: Origin,
  /** False: "do not learn from this conversation". */
  canLearn: z.boolean(),
  /** It came over the API, and the person has not said yet whether nights may learn from it. */
  isUndecided: z.boolean(),
});
export type ConversationSummary = z.infer<typeof ConversationSummary>;

/** The conversation is gone; something that was made from it is not, yet. It is tried again. */
export const PendingDeletion = z.object({
  conversationId: Id,
  /** After a restart, of the restart. */
  since: Timestamp,
  /** Why it could not be finished. */
  reason: z.string(),
});
export type PendingDeletion = z.infer<typeof PendingDeletion>;

/** A part of a conversation. Superseded replies stay in place, before what superseded them. */
export const HistoryPage = z.object({
  history: z.array(Message),
  /** How many messages come before the first of `history`. */
  messagesBefore: z.number().int().nonnegative(),
});
export type HistoryPage = z.infer<typeof HistoryPage>;

/** A conversation with all of its history, or with the newest page of it. */
export const Conversation = z.object({
  ...ConversationSummary.shape,
  settings: ConversationSettings,
  ...HistoryPage.shape,
});
export type Conversation = z.infer<typeof Conversation>;

/** A reply in the making, as a client that joins late gets it. */
export const RunningReply = z.object({
  replyId: Id,
  messageId: Id,
  /** Everything said so far; the next `reply-delta` has `offset` = its length or less. */
  text: z.string(),
  /** The same of its thought and `thought-delta`; absent: nothing. */
  thought: z.string().optional(),
});
export type RunningReply = z.infer<typeof RunningReply>;

export const SearchHit = z.object({
  conversationId: Id,
  title: z.string(),
  messageId: Id,
  role: z.enum(['user', 'assistant']),
  at: Timestamp,
  /** The surroundings of the hit; `start` and `end` are offsets in `excerpt`. */
  excerpt: z.string(),
  start: z.number().int().nonnegative(),
  end: z.number().int().nonnegative(),
});
export type SearchHit = z.infer<typeof SearchHit>;
