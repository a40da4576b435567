// What the daemon and a night's process say to each other over IPC: paths, ids and numbers.
import { z } from 'zod';
import { configSchema } from '../config/schema.ts';
import { manifestSchema, nightIdSchema } from '../ledger/manifest.ts';
import { samplingShape } from '../protocol/sampling-schema.ts';
import { PHASES } from './journal.ts';

/** All that a night's process needs to know. It never opens the log or the flags itself. */
export const planSchema = z.strictObject({
  night: nightIdSchema,
  number: z.int().min(1),
  day: z.string(),
  startedAt: z.iso.datetime(),
  /** Absolute paths. */
  ledgerFolder: z.string(),
  modelDir: z.string(),
  cacheDir: z.string(),
  /** Folder of the test conversations. */
  suiteFolder: z.string(),
  /** Folder of the scenes that judge; absent: the test conversations do, the model knows no other. */
  sceneFolder: z.string().optional(),
  /** Folder of the prompts that dreams are written from. */
  promptsFolder: z.string(),
  base: z.string(),
  /** Of tokenizer and template; earlier releases did not say. */
  encoding: manifestSchema.shape.encoding,
  parent: manifestSchema.shape.parent,
  inForce: z.array(nightIdSchema),
  /** Delta files of the active nights, in order. */
  deltas: z.array(z.string()),
  /** Numbers of earlier nights that passed the gate: error is spent over nights. */
  passedNights: z.array(z.int().min(1)),
  seed: z.int().min(0),
  config: configSchema,
  /** How its replies are drawn: the configuration's values, else the model's. */
  sampling: z.strictObject(samplingShape),
  configHash: z.string(),
  /** The night that is trained again, and what the person changed. */
  review: manifestSchema.shape.review,
  /** Folder of a job whose adapters are this night's training. */
  job: z.string().optional(),
});
export type NightPlan = z.infer<typeof planSchema>;

export const toNightSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('start'),
    plan: planSchema,
    /** A graphics card has failed it: it goes on on the CPU. */
    isOnCpu: z.boolean(),
  }),
  z.strictObject({ type: z.literal('pause') }),
  z.strictObject({ type: z.literal('resume') }),
  z.strictObject({ type: z.literal('abort') }),
]);
export type ToNight = z.infer<typeof toNightSchema>;

export const progressSchema = z.strictObject({
  type: z.literal('progress'),
  phase: z.enum(PHASES),
  done: z.int().min(0),
  total: z.int().min(0).nullable(),
  facts: z.record(z.string(), z.number()),
});
export type Progress = z.infer<typeof progressSchema>;

export const fromNightSchema = z.discriminatedUnion('type', [
  progressSchema,
  z.strictObject({ type: z.literal('committed'), manifest: manifestSchema }),
  z.strictObject({ type: z.literal('failed'), code: z.string(), message: z.string() }),
]);
/** The code of a night whose graphics card failed; its steps are saved. */
export const DEVICE_LOST = 'device-lost';
export type FromNight = z.infer<typeof fromNightSchema>;
