// The manifest of a night: what it learnt from, what it made, and the hash that chains it to the
// night before. Hashes only; it holds nothing that a person said.
import { z } from 'zod';
import { sha256Json } from '../base/hash.ts';

const hash = z.string().regex(/^[0-9a-f]{64}$/);

/** `n0007-2026-11-22`: number in the ledger and local day. */
export const NIGHT_ID = /^n\d{4,9}-\d{4}-\d{2}-\d{2}$/;
export const nightIdSchema = z.string().regex(NIGHT_ID);

/** One thing a night learnt from. Ids are hashed, so a deleted conversation leaves no name behind. */
const datumSchema = z.strictObject({
  /** sha256 of the id of the conversation or flag it came from. */
  source: hash,
  /** sha256 of the scenario's canonical JSON. */
  scenario: hash,
});

export const manifestSchema = z.strictObject({
  schema: z.literal(1),
  night: nightIdSchema,
  number: z.int().min(1),
  /** Local calendar day, YYYY-MM-DD. */
  day: z.string().regex(/^\d{4}-\d{2}-\d{2}$/),
  /** Identity of the base model; a ledger belongs to one. */
  base: hash,
  /** Identity of its tokenizer and chat template; earlier releases did not say. */
  encoding: hash.optional(),
  /** The night before in the ledger, whatever became of it. */
  parent: z.strictObject({ night: nightIdSchema, hash }).nullable(),
  /** Nights whose deltas were active when this one began, in order. */
  inForce: z.array(nightIdSchema),
  seed: z.int().min(0),
  config: hash,
  software: z.record(z.string(), z.string()),
  data: z.array(datumSchema),
  /** sha256 of every file of the night's folder but this manifest and the journal. */
  files: z.record(z.string(), hash),
  /** Null when there was nothing to learn. */
  delta: z
    .strictObject({
      /** In the night's folder. */
      file: z.string().regex(/^[\w-]+\.safetensors$/),
      /** Hash of its tensors, of which version ids are made. */
      hash,
      /** Frobenius norm of the delta over that of the base W_q. */
      relativeNorm: z.number().min(0),
      steps: z.int().min(0),
    })
    .nullable(),
  gate: z
    .strictObject({
      passed: z.boolean(),
      /** It did not pass for want of power alone, and offers itself for a day's trial. */
      offered: z.literal(true).optional(),
      reasons: z.array(z.strictObject({ rule: z.string(), passes: z.boolean(), text: z.string() })),
    })
    .nullable(),
  /** It trained an earlier night again, as the person changed its dreams. */
  review: z
    .strictObject({
      of: nightIdSchema,
      dropped: z.int().min(0),
      reworded: z.int().min(0),
      /** What the person had taken back since: excluded, withdrawn or deleted. */
      withheld: z.int().min(0).optional(),
    })
    .optional(),
  startedAt: z.iso.datetime(),
  endedAt: z.iso.datetime(),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type NightId = z.infer<typeof nightIdSchema>;

/** The hash that the next night names as its parent: sha256 of the canonical JSON. */
export function manifestHash(manifest: Manifest): string {
  return sha256Json(manifest);
}

/** What the id says. */
export function nightNumber(id: NightId): number {
  return Number(id.slice(1, id.indexOf('-')));
}

/** The id of the `number`-th night, on a local day. */
export function nightId(number: number, day: string): NightId {
  return `n${String(number).padStart(4, '0')}-${day}`;
}
