// What the person marks: a moment in which listening failed, or in which it worked.
import { z } from 'zod';
import { Id, Span, Timestamp } from './conversation.ts';

/** `missed`: the reply did not listen. `good`: a good moment, listening that worked. */
export const FlagKind = z.enum(['missed', 'good']);
export type FlagKind = z.infer<typeof FlagKind>;

/** Words of the person; they may stand in an older message than the one that was answered. */
export const UserSpan = z.strictObject({ messageId: Id, span: Span });
export type UserSpan = z.infer<typeof UserSpan>;

/** 1 slight, 2 clear, 3 it hurt (or delighted). */
export const FlagStrength = z.number().int().min(1).max(3);

const content = {
  kind: FlagKind,
  /** The person's words that were ignored (or, for a good moment, heard). */
  userSpan: UserSpan.nullable(),
  /** The words of the reply that drifted (or that listened). */
  replySpan: Span.nullable(),
  /** What a listening reply would have been. */
  betterWords: z.string().min(1).nullable(),
  reason: z.string().nullable(),
  strength: FlagStrength,
  /** What became of the told reply: it was kept, or it still did not listen. */
  told: z.enum(['kept', 'missed']).nullable().optional(),
};

/** Of what is sent. What a store of before 30 November 2026 has may be longer. */
export const REASON_CHARACTERS_MAX = 10_000;
export const BETTER_WORDS_CHARACTERS_MAX = 100_000;

const sent = {
  ...content,
  betterWords: z.string().min(1).max(BETTER_WORDS_CHARACTERS_MAX).nullable(),
  reason: z.string().max(REASON_CHARACTERS_MAX).nullable(),
};

/** What a client sends to mark a reply. Only the reply has to be named. */
export const FlagDraft = z.strictObject({
  id: Id,
  conversationId: Id,
  replyId: Id,
  kind: sent.kind.default('missed'),
  userSpan: sent.userSpan.default(null),
  replySpan: sent.replySpan.default(null),
  betterWords: sent.betterWords.default(null),
  reason: sent.reason.default(null),
  strength: sent.strength.default(2),
});
export type FlagDraft = z.infer<typeof FlagDraft>;
export type FlagDraftInput = z.input<typeof FlagDraft>;

/** A change of a flag; absent fields stay as they are, `null` empties one. */
export const FlagPatch = z.strictObject({
  kind: sent.kind.optional(),
  userSpan: sent.userSpan.optional(),
  replySpan: sent.replySpan.optional(),
  betterWords: sent.betterWords.optional(),
  reason: sent.reason.optional(),
  strength: sent.strength.optional(),
  told: content.told,
});
export type FlagPatch = z.infer<typeof FlagPatch>;

/** The night ids of two base models may be the same. */
export const FlagUse = z.strictObject({ night: Id, base: z.string() });
export type FlagUse = z.infer<typeof FlagUse>;

export const Flag = z.object({
  id: Id,
  conversationId: Id,
  /** The user message that the reply answers. */
  messageId: Id,
  replyId: Id,
  ...content,
  createdAt: Timestamp,
  updatedAt: Timestamp,
  withdrawnAt: Timestamp.nullable(),
  /** Nights that used it; from the first on it can no longer be edited. */
  usedBy: z.array(FlagUse),
});
export type Flag = z.infer<typeof Flag>;

/** The flagged message answered again by the same model, told again what the person asked. */
export const ToldReply = z.object({
  flagId: Id,
  replyId: Id,
  /** Everything said so far; `reply-delta` of this `replyId` goes on from there. */
  text: z.string(),
  /** The same of its thought and `thought-delta`; absent: nothing. */
  thought: z.string().optional(),
  isRunning: z.boolean(),
  /** Why it did not come to its end, where it did not. */
  error: z.string().nullable(),
});
export type ToldReply = z.infer<typeof ToldReply>;
