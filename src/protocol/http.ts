// Bodies of the plain HTTP routes under /api; what the WebSocket shares is in the siblings.
import { z } from 'zod';
import { ConversationSettings, Id, SettingsPatch, Timestamp } from './conversation.ts';
import {
  BETTER_WORDS_CHARACTERS_MAX,
  FlagKind,
  FlagStrength,
  REASON_CHARACTERS_MAX,
} from './flag.ts';

/** `PATCH /api/conversations/:id` */
export const ConversationPatch = z.strictObject({
  title: z.string().min(1).max(200).optional(),
  settings: SettingsPatch.optional(),
  canLearn: z.boolean().optional(),
});
export type ConversationPatch = z.infer<typeof ConversationPatch>;

/** Of one message that is imported. */
export const TEXT_CHARACTERS_MAX = 1_000_000;

/** A message of a conversation that was held elsewhere. */
export const ImportedMessage = z.strictObject({
  id: Id,
  role: z.enum(['user', 'assistant']),
  text: z.string().max(TEXT_CHARACTERS_MAX),
  at: Timestamp,
});
export type ImportedMessage = z.infer<typeof ImportedMessage>;

/** A mark that came with it. `replyId` names an assistant message of the same import. */
export const ImportedFlag = z.strictObject({
  id: Id,
  replyId: Id,
  kind: FlagKind,
  reason: z.string().max(REASON_CHARACTERS_MAX).nullable(),
  betterWords: z.string().min(1).max(BETTER_WORDS_CHARACTERS_MAX).nullable(),
  strength: FlagStrength,
});
export type ImportedFlag = z.infer<typeof ImportedFlag>;

/**
 * `POST /api/conversations`: a whole conversation at once. The same id again adds what is missing,
 * unless the conversation went on here.
 */
export const ConversationImport = z.strictObject({
  id: Id,
  title: z.string().min(1).max(200),
  origin: z.enum(['import', 'replay']),
  canLearn: z.boolean().default(true),
  settings: ConversationSettings.default({}),
  messages: z.array(ImportedMessage).max(10_000),
  flags: z.array(ImportedFlag).max(10_000).default([]),
});
export type ConversationImport = z.infer<typeof ConversationImport>;
export type ConversationImportInput = z.input<typeof ConversationImport>;

/** `POST /api/conversations`: one that was exported here, as its lines. */
export const ConversationExport = z.strictObject({ export: z.string() });
export type ConversationExport = z.infer<typeof ConversationExport>;

/** The answer to an import: what it added, and whether the conversation was there before. */
export const ConversationImported = z.object({
  conversationId: Id,
  isDuplicate: z.boolean(),
  messages: z.number().int(),
  flags: z.number().int(),
});
export type ConversationImported = z.infer<typeof ConversationImported>;

/** Every refusal under /api. */
export const HttpError = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    facts: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  }),
});
export type HttpError = z.infer<typeof HttpError>;
