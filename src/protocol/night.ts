// What clients are told about a night while it runs and when it is over.
import { z } from 'zod';
import { Id, Timestamp } from './conversation.ts';

/** In the order in which a night goes through them. */
export const NightPhase = z.enum([
  'gather',
  'dream',
  'admit',
  'train',
  'measure',
  'gate',
  'commit',
  'swap',
  'summary',
]);
export type NightPhase = z.infer<typeof NightPhase>;

export const NightProgress = z.object({
  type: z.literal('night-progress'),
  nightId: Id,
  phase: NightPhase,
  /** How far the phase is: `done` of `total` (dreams, steps, scenarios); null where unknown. */
  done: z.number().int().nonnegative(),
  total: z.number().int().nonnegative().nullable(),
  /** Named numbers worth showing: loss, margin, refused … */
  facts: z.record(z.string(), z.number()),
  /** Of the whole night, 0 to 1. */
  share: z.number().min(0).max(1),
  /** Milliseconds to its end; null while nothing can be said of it. */
  leftMs: z.number().nonnegative().nullable(),
  /** True while the night stands aside for a chat. */
  isPaused: z.boolean(),
  at: Timestamp,
});
export type NightProgress = z.infer<typeof NightProgress>;

export const NightVerdict = z.enum([
  'swapped',
  'awaiting-review',
  'refused',
  'nothing-to-learn',
  'failed',
  /** By the person; the next run goes on where it was. */
  'stopped',
]);
export type NightVerdict = z.infer<typeof NightVerdict>;

export const NightEnd = z.object({
  type: z.literal('night-end'),
  nightId: Id,
  verdict: NightVerdict,
  reasons: z.array(z.string()),
  /** The version it made, where it made one. */
  version: z.string().nullable(),
  at: Timestamp,
});
export type NightEnd = z.infer<typeof NightEnd>;

export const SwapEnd = z.object({
  type: z.literal('swap-end'),
  from: z.string(),
  to: z.string(),
  repliesInFlight: z.number().int().nonnegative(),
  stallMs: z.number().nonnegative(),
  at: Timestamp,
});
export type SwapEnd = z.infer<typeof SwapEnd>;

export const SummaryReady = z.object({
  type: z.literal('summary-ready'),
  nightId: Id,
  /** Path of the page on this server. */
  path: z.string(),
  headline: z.string(),
  at: Timestamp,
});
export type SummaryReady = z.infer<typeof SummaryReady>;
