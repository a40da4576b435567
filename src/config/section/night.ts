// Config sections of the night: when it comes, what it may use and measure, what it must show.
import { z } from 'zod';
import { amount, count, countFrom, isOn, numberFrom, positive, section, text } from './value.ts';

const probability = z.number().gt(0).lt(1);

export const nightSection = section('When a night comes, and what it may use.', {
  isEnabled: isOn(true).describe(
    'false: no night starts by itself; `attune night run` still works.',
  ),
  schedule: text('30 2 * * *').describe(
    'When it starts, as a cron expression: minute hour day month weekday.',
  ),
  timeZone: text('').describe("IANA name such as Europe/Berlin; empty is the machine's."),
  idleMinutes: amount(0).describe('Minutes without a message before it starts; 0 is at once.'),
  isMissedNightCaughtUp: isOn(true).describe(
    'A day without a finished night is made up for, such as when the machine wakes.',
  ),
  swap: z
    .enum(['auto', 'review'])
    .default('auto')
    .describe('auto: a night that passes the gate becomes active; review: you decide.'),
  minutesMax: positive(120).describe('Minutes of one night.'),
  tokensMax: countFrom(0, 500_000).describe('Tokens that one night may generate.'),
  dreamsMax: countFrom(0, 192).describe('Dreams that one night may try.'),
  stepsMax: countFrom(0, 44).describe('Training steps of one night.'),
  niceness: countFrom(0, 10, { max: 19 }).describe(
    "Scheduling priority of the night's process; 19 is the lowest.",
  ),
  deltaBytesMax: countFrom(1_048_576, 2_147_483_648).describe(
    'Bytes of old deltas beyond which they are squashed into one, losslessly.',
  ),
});

export const notifySection = section('What tells you of a morning besides the page.', {
  command: z
    .array(z.string().min(1))
    .default([])
    .describe(
      'Run once after each night, without a shell: a program and its arguments, then what the ' +
        'night came to and the address of its page, e.g. ["notify-send", "Attune"]. Empty: none.',
    ),
});

export const measureSection = section('What a night measures. `attune listen-test` runs all.', {
  pairs: count(96).describe(
    'Crossed pairs that judge listening. With few of them only a large gain is told from chance.',
  ),
  heldReplies: count(288).describe(
    'Replies that must not become worse, over all kinds; with fewer than 60 the gate cannot pass.',
  ),
  everydayTurns: count(96).describe('Everyday turns on which perplexity is measured.'),
  resamples: countFrom(100, 2_000).describe('Resamples of the clustered bootstrap.'),
  hasPlacebo: isOn(true).describe(
    'Train a placebo too, which cannot learn to listen; without it the gate refuses every night.',
  ),
});

export const gateSection = section('What a night must show before its weights become active.', {
  pMax: probability
    .default(0.01)
    .describe('Largest p of "more pairs with both sides right"; error is spent over nights.'),
  placeboPMax: probability.default(0.05).describe('Largest p of "more than the placebo".'),
  worseMax: probability
    .default(0.05)
    .describe('Largest upper bound of the share of held replies that changed for the worse.'),
  heldKlMax: positive(0.1).describe(
    'Largest mean KL from the weights before, on the held replies of each kind, nats a token.',
  ),
  perplexityRatioParentMax: numberFrom(1, 1.01).describe(
    'Largest upper bound of the perplexity ratio to the parent, on everyday turns.',
  ),
  perplexityRatioBaseMax: numberFrom(1, 1.05).describe('The same to the base model.'),
});
