// Config sections of the night: when it comes, what it may use and measure, what it must show.
import { z } from 'zod';

const probability = z.number().gt(0).lt(1);

export const nightSection = z
  .strictObject({
    isEnabled: z
      .boolean()
      .default(true)
      .describe('false: no night starts by itself; `attune night run` still works.'),
    schedule: z
      .string()
      .default('30 2 * * *')
      .describe('When it starts, as a cron expression: minute hour day month weekday.'),
    timeZone: z
      .string()
      .default('')
      .describe("IANA name such as Europe/Berlin; empty is the machine's."),
    idleMinutes: z
      .number()
      .min(0)
      .default(0)
      .describe('Minutes without a message before it starts; 0 is at once.'),
    isMissedNightCaughtUp: z
      .boolean()
      .default(true)
      .describe('A day without a finished night is made up for, such as when the machine wakes.'),
    swap: z
      .enum(['auto', 'review'])
      .default('auto')
      .describe('auto: a night that passes the gate becomes active; review: you decide.'),
    minutesMax: z.number().gt(0).default(120).describe('Minutes of one night.'),
    tokensMax: z.int().min(0).default(500_000).describe('Tokens that one night may generate.'),
    dreamsMax: z.int().min(0).default(320).describe('Dreams that one night may try.'),
    stepsMax: z.int().min(0).default(260).describe('Training steps of one night.'),
    niceness: z
      .int()
      .min(0)
      .max(19)
      .default(10)
      .describe("Scheduling priority of the night's process; 19 is the lowest."),
    deltaBytesMax: z
      .int()
      .min(1_048_576)
      .default(2_147_483_648)
      .describe('Bytes of old deltas beyond which they are squashed into one, losslessly.'),
  })
  .describe('When a night comes, and what it may use.');

export const measureSection = z
  .strictObject({
    scenariosPerKind: z
      .int()
      .min(1)
      .default(200)
      .describe(
        'Scenarios of each kind that the gate judges (listen, push-back, invite, ordinary). With ' +
          '40 the uncertainty is wider than the bounds of the gate, which then refuses every night.',
      ),
    scenariosPerUngatedKind: z
      .int()
      .min(0)
      .default(20)
      .describe('The same of the other kinds; never more than of those.'),
    everydayTurns: z
      .int()
      .min(1)
      .default(160)
      .describe('Everyday turns on which forgetting is measured.'),
    repliesPerKind: z
      .int()
      .min(0)
      .default(12)
      .describe(
        'Replies of each kind that the gate judges, written before, after and by the placebo; ' +
          'shown, never judged. 0 is none.',
      ),
    resamples: z.int().min(100).default(2_000).describe('Resamples of the clustered bootstrap.'),
    hasPlacebo: z
      .boolean()
      .default(true)
      .describe(
        'Train a placebo too, which cannot learn to listen; without it the gate refuses every night.',
      ),
  })
  .describe('What a night measures. `attune eval` runs the whole suites.');

export const gateSection = z
  .strictObject({
    marginGainMin: z
      .number()
      .default(0.02)
      .describe('By how much the listening margin must rise, nats a token.'),
    marginPMax: probability.default(0.01).describe('Largest p of that rise.'),
    placeboPMax: probability.default(0.05).describe('Largest p of "more than the placebo".'),
    guardLowerBoundMin: z
      .number()
      .default(-0.02)
      .describe('Least 95 % lower bound of push-back, invite and ordinary, nats a token.'),
    perplexityRatioParentMax: z
      .number()
      .min(1)
      .default(1.02)
      .describe('Largest upper bound of the perplexity ratio to the parent, on everyday turns.'),
    perplexityRatioBaseMax: z.number().min(1).default(1.05).describe('The same to the base model.'),
    sourcesMin: z
      .int()
      .min(1)
      .default(8)
      .describe('Distinct sources (flags, conversations) that a night must have learnt from.'),
    falseSwapRate: probability
      .default(0.05)
      .describe('Share of swaps that may be false in the long run; error is spent over nights.'),
  })
  .describe('What a night must show before its weights become active.');
