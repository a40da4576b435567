// Config sections of what is kept and learnt from: flags, memory, dreams, training.
import { z } from 'zod';
import { samplingShape } from '../../protocol/sampling-schema.ts';

export const flagSection = z.strictObject({
  /** From this flag on, a part is held back: it measures and never trains. */
  heldBackFrom: z.int().min(1).default(10),
  /** One in so many is held back, by hash. */
  heldBackOneIn: z.int().min(2).default(5),
});

export const memorySection = z.strictObject({
  /** A talk rests after this long without a message; then it is compressed. */
  restMinutes: z.number().min(0).default(30),
  /** After so many days salience is half. */
  halfLifeDays: z.number().gt(0).default(14),
  /** What was flagged fades so many times slower. */
  flaggedHalfLifeFactor: z.number().min(1).default(4),
  /** Below this, a gist is forgotten on purpose. */
  salienceFloor: z.number().min(0).max(1).default(0.05),
  gistsMax: z.int().min(1).default(5_000),
  /** How much each named input adds to salience (they are summed, then squashed to 0 … 1). */
  weights: z
    .strictObject({
      flags: z.number().min(0).default(2),
      goodMoments: z.number().min(0).default(1),
      directions: z.number().min(0).default(0.5),
      feelings: z.number().min(0).default(0.5),
      promises: z.number().min(0).default(0.3),
      openQuestions: z.number().min(0).default(0.3),
      surprise: z.number().min(0).default(0.5),
    })
    .prefault({}),
});

export const dreamSection = z.strictObject({
  /** Angles drawn from one flag. */
  anglesPerFlag: z.int().min(0).default(12),
  /** Share of dreams that start from flags; the rest from memories. */
  directedShare: z.number().min(0).max(1).default(0.7),
  /** Of the dreams from memories: drawn by salience; the rest by chance. */
  salienceShare: z.number().min(0).max(1).default(0.7),
  /** Scenes written at once. */
  batchSize: z.int().min(1).max(64).default(16),
  retriesPerDream: z.int().min(0).max(10).default(2),
  /** How scenes are written: slot by slot (small models), whole (large ones), or by model size. */
  strength: z.enum(['auto', 'structured', 'whole']).default('auto'),
  temperature: samplingShape.temperature.default(0.9),
  topP: samplingShape.topP.default(0.95),
  /** Moments of the talks themselves that are crossed: a reply took up a value that was named. */
  echoes: z.int().min(0).max(10_000).default(120),
  /** Talks that the model holds with itself; training holds what it says there. */
  rehearsalTalks: z.int().min(0).max(10_000).default(240),
  contextTokensMax: z.int().min(16).default(1_024),
  chosenTokensMax: z.int().min(4).default(96),
  /** Nearer than this (share of common word triples) to an admitted dream is a copy. */
  nearCopyMax: z.number().gt(0).max(1).default(0.6),
  /** Margins (nats a token) between which a dream is hard enough and not hopeless. */
  marginMin: z.number().default(-4),
  marginMax: z.number().default(1),
});

export const trainSection = z.strictObject({
  /** Which executor takes the gradient steps. */
  executor: z.enum(['auto', 'onnx', 'tensorflow']).default('auto'),
  optimizer: z.enum(['apollo', 'apollo-mini', 'adamw']).default('apollo'),
  /** Of APOLLO's projections (apollo-mini: always 1). */
  rank: z.int().min(1).default(16),
  /**
   * Share of a matrix' root mean square by which AdamW would move its entries in a step; APOLLO's
   * scale is set per tensor so that its updates have the same size.
   */
  learningRate: z.number().min(0).default(0.03),
  weightDecay: z.number().min(0).default(0),
  warmupSteps: z.int().min(0).default(5),
  /** Steps between two draws of APOLLO's projections. */
  projectionSteps: z.int().min(1).default(200),
  /** Scenarios a step; each is a micro-step of its own. */
  batchSize: z.int().min(1).default(8),
  epochsMax: z.int().min(1).default(8),
  stepsMax: z.int().min(1).default(260),
  minutesMax: z.number().gt(0).default(60),
  tokensMax: z.int().min(1).default(5_000_000),
  /** Cross-entropy on `chosen`, nats a token; only where an example has no `rejected`. */
  chosenWeight: z.number().min(0).default(0.3),
  /** The preference term where an example has `rejected`. */
  preferenceWeight: z.number().min(0).default(1),
  /** The goal of the preference: how far `chosen` is to gain on `rejected`, nats in all. */
  preferenceMargin: z.number().gt(0).default(6),
  /** Against a falling log p(chosen): weight of its fall below the first weights, nats a token. */
  guardWeight: z.number().min(0).default(1),
  /** KL to the first weights on replayed talk: everyday turns and rehearsals. */
  retentionWeight: z.number().min(0).default(60),
  /** Replayed ordinary turns a step, and how many tokens of each. */
  replaysPerStep: z.int().min(0).default(8),
  replayTokens: z.int().min(1).default(64),
  /** Gradients are cut to this norm; 0 = off. */
  gradientNormMax: z.number().min(0).default(0),
  /** First and one past the last layer that learn; empty = all. */
  layers: z.array(z.int().min(0)).max(2).default([]),
  /** Heads that learn in each of these layers; empty = all. */
  heads: z.array(z.int().min(0)).default([]),
  /** Prompt tokens a scenario may have; whole old turns go first. */
  contextTokensMax: z.int().min(8).default(1_024),
  replyTokensMax: z.int().min(1).default(128),
  /** Memory for frozen contexts that are kept between epochs. */
  contextCacheBytesMax: z.int().min(0).default(536_870_912),
  /** The contexts are run again when the KL on probe rows passes this, or after so many steps. */
  contextRefreshKlMax: z.number().gt(0).default(0.02),
  contextRefreshSteps: z.int().min(1).default(25),
  /** Steps between checkpoints. */
  checkpointSteps: z.int().min(1).default(10),
  /** Steps between evaluations on held-out scenarios, and how many below the start are enough. */
  evaluationSteps: z.int().min(1).default(10),
  patience: z.int().min(1).default(5),
});
