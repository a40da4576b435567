// Config sections of the night: when it comes, what it may use and measure, what it must show.
import { z } from 'zod';

const probability = z.number().gt(0).lt(1);

export const nightSection = z.strictObject({
  isEnabled: z.boolean().default(true),
  /** Cron expression: minute hour day month weekday. */
  schedule: z.string().default('30 2 * * *'),
  /** IANA name, or empty for the machine's. */
  timeZone: z.string().default(''),
  /** Starts only after so long without a message; 0 = at once. */
  idleMinutes: z.number().min(0).default(0),
  /** A day without a finished night is made up for when the daemon wakes. */
  isMissedNightCaughtUp: z.boolean().default(true),
  /** auto: a passed gate swaps; review: a person decides. */
  swap: z.enum(['auto', 'review']).default('auto'),
  minutesMax: z.number().gt(0).default(120),
  /** Tokens that may be generated. */
  tokensMax: z.int().min(0).default(500_000),
  dreamsMax: z.int().min(0).default(320),
  stepsMax: z.int().min(0).default(260),
  /** Scheduling priority of the night's process, 0 … 19 (19 is the lowest). */
  niceness: z.int().min(0).max(19).default(10),
  /** Old deltas beyond this are squashed into one. */
  deltaBytesMax: z.int().min(1_048_576).default(2_147_483_648),
});

export const measureSection = z.strictObject({
  /** Scenarios that a night measures of each kind that the gate judges; fixed and stratified. */
  scenariosPerKind: z.int().min(1).default(200),
  /** The same of the other kinds; never more than of those. */
  scenariosPerUngatedKind: z.int().min(0).default(20),
  /** Everyday turns on which a night measures forgetting. */
  everydayTurns: z.int().min(1).default(160),
  /** Replies that each arm writes for the check of each kind that the gate judges; 0 = none. */
  repliesPerKind: z.int().min(0).default(12),
  /** Resamples of the clustered bootstrap. */
  resamples: z.int().min(100).default(2_000),
  /** Positions at the start of a context that count as attention sink. */
  sinkTokens: z.int().min(0).default(4),
  /** Share of the layers, from the first on, in which the lift is read. */
  windowShare: z
    .number()
    .gt(0)
    .max(1)
    .default(2 / 3),
  /** Whether a night trains a placebo; without it the gate refuses the night. */
  hasPlacebo: z.boolean().default(true),
});

export const gateSection = z.strictObject({
  /** Nats a token. */
  marginGainMin: z.number().default(0.02),
  marginPMax: probability.default(0.01),
  /** p of real − placebo > 0. */
  deafPMax: probability.default(0.05),
  /** 95 % lower bound on push-back, invite and ordinary. */
  guardLowerBoundMin: z.number().default(-0.02),
  /** Upper bounds of the perplexity ratio. */
  perplexityRatioParentMax: z.number().min(1).default(1.02),
  perplexityRatioBaseMax: z.number().min(1).default(1.05),
  sourcesMin: z.int().min(1).default(8),
  /** Checks that agree less with labels set by reading may not gate. */
  agreementMin: probability.default(0.8),
  /** Share of swaps that may be false in the long run. */
  falseSwapRate: probability.default(0.05),
});
