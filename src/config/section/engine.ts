// Config sections of the engine and of the chat that uses it.
import { z } from 'zod';
import { samplingLayerShape } from '../../protocol/sampling-schema.ts';

export const engineSection = z.strictObject({
  device: z.enum(['auto', 'cpu', 'webgpu', 'cuda']).default('auto'),
  /** 0 = the number of physical cores. */
  threads: z.int().min(0).max(256).default(0),
  /** Prompt and reply together; 0 = what the model was made for, at most 32768. */
  windowTokens: z.int().min(0).default(0),
  /** All KV caches together; the least recently used go first. */
  cacheBytesMax: z.int().min(1_048_576).default(536_870_912),
  /** Sequences that decode together. */
  batchMax: z.int().min(1).max(256).default(64),
  /** Tokens of a prompt that are run at once. */
  prefillChunkTokens: z.int().min(1).default(256),
  /** How often a dead engine is started again within ten minutes before it stays down. */
  restartsMax: z.int().min(0).default(5),
});

export const chatSection = z.strictObject({
  /** First message of every talk that has none of its own; empty: none. */
  systemPrompt: z.string().default(''),
  replyTokensMax: z.int().min(1).default(512),
  /** What is absent is as the model's makers suggest. */
  sampling: z.strictObject(samplingLayerShape).prefault({}),
  /** A reply ends before one of these. */
  stopStrings: z.array(z.string().min(1)).max(16).default([]),
  /** Prompt tokens that are kept free for the reply when old turns must leave the window. */
  replyReserveTokens: z.int().min(1).default(128),
});
