// What dreaming works with: seeds it starts from, drafts it writes. Plain data that fits into JSON.
import { z } from 'zod';
import { KINDS } from '../scenario/kind.ts';
import { writtenScenarioSchema } from '../scenario/scenario.ts';
import { FEATURES } from '../scenario/span.ts';

export type Role = 'system' | 'user' | 'assistant';

const spanSchema = z.strictObject({
  feature: z.enum(FEATURES),
  message: z.int().min(0),
  start: z.int().min(0),
  end: z.int().min(0),
});

/** The new context that a seed is put into. */
export const angleSchema = z.strictObject({
  /** What the conversation of the dream is about. */
  domain: z.string(),
  /** Exchanges between the direction and the decision. */
  distance: z.int().min(0),
  /** Whether the person's messages begin with small letters. */
  tone: z.enum(['plain', 'casual']),
});

/** The shape of a moment. */
export const shapeSchema = z.strictObject({
  /** How the model put an idea of its own: not at all, once, again before the direction, or after it. */
  idea: z.enum(['none', 'once', 'pushed', 'after']),
  /** What was turned down is named, or only what is wanted. */
  form: z.enum(['refusal', 'choice']),
  /** Turns of the person since the direction; 0: it is in the last message. */
  turnsAgo: z.int().min(0),
});
export type Shape = z.infer<typeof shapeSchema>;

/** What a dream has of its moment beside the shape. */
export const SEED_FEATURES = ['technical', 'emotion', 'momentum'] as const;
export type SeedFeature = (typeof SEED_FEATURES)[number];

/** A dream as it was written, before anybody judged it. */
export const draftSchema = z.strictObject({
  id: z.string(),
  /** A teacher replies to a lesson, a hold stays as it is. Absent in earlier nights. */
  role: z.enum(['lesson', 'hold']).optional(),
  kind: z.enum(KINDS),
  /** They end with the person's last one. */
  messages: z.array(
    z.strictObject({ role: z.enum(['system', 'user', 'assistant']), content: z.string() }),
  ),
  spans: z.array(spanSchema),
  /** What was said where a moment of the person's own conversation is crossed; in old nights any. */
  chosen: z.string().optional(),
  rejected: z.string().optional(),
  facts: writtenScenarioSchema.shape.facts,
  pair: writtenScenarioSchema.shape.pair,
  /** The flag or gist that it starts from, and the conversation that this came from. */
  seed: z.strictObject({ origin: z.enum(['flag', 'memory']), id: z.string(), cluster: z.string() }),
  /** Started from a flag. */
  isDirected: z.boolean(),
  angle: angleSchema,
  /** Of the moment that it is about. */
  shape: shapeSchema.optional(),
  /** What it has of its moment beside the shape. */
  features: z.array(z.enum(SEED_FEATURES)).optional(),
  /** Name and hash of the prompt that it was written from; `talk` where it was none. */
  prompt: z.strictObject({ name: z.string(), hash: z.string() }),
  /** Share of its content words that the model sampled, now or in the conversation itself. */
  sampledShare: z.number().min(0).max(1),
  /** Why it could not be finished. */
  problem: z.string().optional(),
  /** In nights before 1 December 2026. */
  chosenFrom: z.string().optional(),
  rejectedFrom: z.string().optional(),
});
export type Draft = z.infer<typeof draftSchema>;
