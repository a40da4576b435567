// What each phase of a night leaves behind, checked when it is read; no model in here, so that the
// daemon can read a night without loading a runtime.
import { join } from 'node:path';
import { z } from 'zod';
import { readJsonBounded, readTextBounded, writeJsonAtomic } from '../base/atomic-file.ts';
import type { Folder } from '../base/file-ops.ts';
import type { Manifest } from '../ledger/manifest.ts';
import type { AttentionChange } from '../measure/attention-change.ts';
import type { Listening } from '../measure/crossed.ts';
import type { ReplyChange } from '../measure/reply-change.ts';
import type { RankCorrelation, RatioEstimate } from '../measure/statistics.ts';
import type { NightVerdict } from '../protocol/night.ts';
import { KINDS } from '../scenario/kind.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { FILE } from './files.ts';

const countsSchema = z.array(z.strictObject({ name: z.string(), count: z.int() }));
export type Counts = z.infer<typeof countsSchema>;

/** Kinds in their own order, everything else by frequency. */
export function counted(names: readonly string[]): Counts {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  const rank = (name: string): number => (KINDS as readonly string[]).indexOf(name);
  return [...counts]
    .map(([name, count]) => ({ name, count }))
    .sort((a, b) => rank(a.name) - rank(b.name) || b.count - a.count);
}

/** Flags that teach; the other side of a crossed moment is none of its own. */
export const countFlags = (lessons: readonly Scenario[]): number =>
  lessons.filter(({ source, pair }) => source.origin === 'flag' && pair?.side !== 'b').length;

export const gatheredSchema = z.strictObject({
  flagged: z.int(),
  heldBack: z.int(),
  everyday: z.int(),
  /** Replies given and flags made since the night before. */
  replies: z.int(),
  flagsNew: z.int(),
});

export const dreamtSchema = z.strictObject({
  /** Dreams written, by kind. */
  written: countsSchema,
  /** Dreams that could not be written, by reason. */
  failed: countsSchema,
  /** Conversations that the model held with itself. */
  rehearsals: z.int().default(0),
  /** Tokens that were generated. */
  tokens: z.int(),
  stop: z.string(),
  /** Hash of all prompts they were written from. */
  prompts: z.string(),
});
export type Dreamt = z.infer<typeof dreamtSchema>;

export const admittedSchema = z.strictObject({
  /** By kind. */
  admitted: countsSchema,
  /** By reason. */
  refused: countsSchema,
  /** Lessons, flags and dreams together. */
  training: z.int(),
  /** Lessons by who teaches them; nights of before had no teachers. */
  teachers: countsSchema.default([]),
  /** Scenarios that are held as they are. */
  holds: z.int().default(0),
  flags: z.int(),
  heldBack: z.int(),
  /** Mean share of the admitted dreams' tokens that the model sampled. */
  sampledShare: z.number().nullable(),
});
export type Admitted = z.infer<typeof admittedSchema>;

export const trainedSchema = z.strictObject({
  deltaHash: z.string(),
  deafHash: z.string().nullable(),
  steps: z.int(),
  tokens: z.int(),
  seconds: z.number(),
  stop: z.string(),
  relativeNorm: z.number(),
  deafRelativeNorm: z.number().nullable(),
  /** Of the delta's factors; null: dense, as all were before 30 November 2026. */
  rank: z.int().nullable().default(null),
  /** KL that the factors lose, as a share of the KL that the night makes. */
  lostShare: z.number().default(0),
  /** Mean KL from the start to the arm's weights on its lessons, nats a token. */
  outputKl: z.number().nullable().default(null),
  placeboOutputKl: z.number().nullable().default(null),
  sources: z.int(),
  examples: z.int(),
  refused: z.int(),
  memoryBytes: z.int(),
});
export type Trained = z.infer<typeof trainedSchema>;

export const measuredSchema = z.strictObject({
  /** Crossed pairs that judge listening. */
  pairs: z.int(),
  /** Free replies that were judged. */
  replies: z.int(),
  everyday: z.int(),
});
export type Measured = z.infer<typeof measuredSchema>;

export const verdictSchema = z.strictObject({
  passed: z.boolean(),
  /** It failed for want of power alone: a person may try it for a day. */
  offered: z.literal(true).optional(),
  reasons: z.array(z.strictObject({ rule: z.string(), passes: z.boolean(), text: z.string() })),
});
export type Verdict = z.infer<typeof verdictSchema>;

export const swappedSchema = z.strictObject({
  swap: z
    .strictObject({
      from: z.string(),
      to: z.string(),
      repliesInFlight: z.int(),
      stallMs: z.number(),
      probe: z
        .strictObject({ tokens: z.int(), worstNats: z.number(), passes: z.boolean() })
        .nullable(),
      upstream: z.string().optional(),
      at: z.string(),
    })
    .nullable(),
  /** Why there was none. */
  why: z.string().nullable(),
});
export type Swapped = z.infer<typeof swappedSchema>;

export function verdictOf(manifest: Manifest, { swap }: Pick<Swapped, 'swap'>): NightVerdict {
  if (manifest.delta === null) return 'nothing-to-learn';
  if (manifest.gate?.offered === true) return swap === null ? 'awaiting-review' : 'swapped';
  if (manifest.gate?.passed !== true) return 'refused';
  return swap === null ? 'awaiting-review' : 'swapped';
}

/** What the gate held against it, as sentences. */
export function failuresOf({ gate }: Manifest): string[] {
  const failed = gate?.reasons.filter((reason) => !reason.passes) ?? [];
  return failed.map(({ rule, text }) => `${rule}: ${text}`);
}

/** What `measures.json` holds. */
export interface NightMeasures {
  readonly schema: 2;
  readonly listening: Listening;
  readonly replies: ReplyChange;
  /** After ÷ before, on everyday turns. */
  readonly perplexity: { readonly parent: RatioEstimate; readonly base: RatioEstimate };
  readonly attention: readonly AttentionChange[];
  /** How far attention moved on a moment, against whether its reply changed. */
  readonly predicts: RankCorrelation | null;
}

/**
 * JSON has no NaN: what could not be measured comes back as null and fails every rule. Undefined
 * for a night of before 30 November 2026, which measured something else.
 */
export async function readMeasures({ path, ops }: Folder): Promise<NightMeasures | undefined> {
  const read = JSON.parse((await readTextBounded(join(path, FILE.measures), { ops })) ?? 'null');
  return z.looseObject({ schema: z.literal(2) }).safeParse(read).success ? read : undefined;
}

const repliesSchema = z.array(
  z.strictObject({ flagId: z.string(), oldReply: z.string(), newReply: z.string() }),
);
export type Replies = z.infer<typeof repliesSchema>;

export function writeReplies({ path, ops }: Folder, replies: Replies): Promise<void> {
  return writeJsonAtomic(join(path, FILE.replies), replies, ops);
}

export async function readReplies({ path, ops }: Folder): Promise<Replies> {
  return (await readJsonBounded(join(path, FILE.replies), repliesSchema, { ops })) ?? [];
}
