// A draft: a dream as it was written, plain data that fits into JSON; and the shape of a moment.
import { z } from 'zod';
import { KINDS } from '../scenario/kind.ts';
import { writtenScenarioSchema } from '../scenario/scenario.ts';
import { spanSchema } from '../scenario/span.ts';

export type Role = 'system' | 'user' | 'assistant';

/** The shape of a moment. */
export interface Shape {
  /** How the model put an idea of its own: not at all, once, again before the direction, or after it. */
  readonly idea: 'none' | 'once' | 'pushed' | 'after';
  /** What was turned down is named, or only what is wanted. */
  readonly form: 'refusal' | 'choice';
  /** Turns of the person since the direction; 0: it is in the last message. */
  readonly turnsAgo: number;
}

/** What a dream has of its moment beside the shape. */
export const SEED_FEATURES = ['technical', 'emotion', 'momentum'] as const;
export type SeedFeature = (typeof SEED_FEATURES)[number];

/** A dream as it was written, before anybody judged it. Those of earlier nights say more. */
export const draftSchema = z.object({
  id: z.string(),
  /** A teacher replies to a lesson, a hold stays as it is. Absent in earlier nights. */
  role: z.enum(['lesson', 'hold']).optional(),
  kind: z.enum(KINDS),
  /** They end with the person's last one. */
  messages: z.array(
    z.strictObject({ role: z.enum(['system', 'user', 'assistant']), content: z.string() }),
  ),
  spans: z.array(spanSchema),
  facts: writtenScenarioSchema.shape.facts,
  pair: writtenScenarioSchema.shape.pair,
  /** The flag or gist that it starts from, and the conversation that this came from. */
  seed: z.strictObject({ origin: z.enum(['flag', 'memory']), id: z.string(), cluster: z.string() }),
  /** What the conversation is about, and exchanges between the direction and the decision. */
  angle: z.object({ domain: z.string(), distance: z.int().min(0) }),
  /** Name and hash of the prompt that it was written from; `talk` where it was none. */
  prompt: z.strictObject({ name: z.string(), hash: z.string() }),
  /** Share of its content words that the model sampled, now or in the conversation itself. */
  sampledShare: z.number().min(0).max(1),
  /** Why it could not be finished. */
  problem: z.string().optional(),
});
export type Draft = z.infer<typeof draftSchema>;
