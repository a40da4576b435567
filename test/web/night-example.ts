// Nights made up by hand, valid on the wire: one that went well, one that was refused.
import {
  type BlindView,
  type ListeningView,
  NightList,
  type NightSummary,
  NightView,
  SliderView,
} from '../../src/protocol/summary.ts';

const estimate = (mean: number, half: number) => ({
  mean,
  low: mean - half,
  high: mean + half,
  p: mean - half > 0 ? 0.003 : 0.4,
  clusters: 12,
});

const line = (number: number, status: string, mean: number) => ({
  nightId: `n000${number}-2026-03-0${number}`,
  number,
  day: `2026-03-0${number}`,
  status,
  headline: `What night ${number} came to.`,
  bothRight: estimate(mean, 0.03),
  beyondPlacebo: estimate(mean - 0.02, 0.03),
  defenceGap: 0.3 - mean,
  flagsPer100: 9 - 2 * number,
});

export const list = (status = 'waiting'): NightList =>
  NightList.parse({
    nights: [line(1, 'in-force', 0.08), line(2, 'refused', -0.06), line(3, status, 0.12)],
    running: null,
    nextAt: Date.UTC(2026, 2, 4, 2, 30),
    version: 'v-3',
  });

const WORDS = ['You', ' asked', ':', ' keep', ' the', ' window', ' open', '.', ' Or', ' a', ' fan'];
const FEATURES = [3, 4, 5, 6];
const OWN = [9, 10];

const map = (base: number): number[] => Array.from({ length: 24 }, (_, i) => base + (i % 5) / 20);

const flagged = (id: string, direction: string, oldReply: string, newReply: string) => ({
  flagId: id,
  conversationId: 'talk-1',
  direction,
  oldReply,
  newReply,
  isHeldBack: id === 'flag-3',
  does: { before: false, after: id !== 'flag-2' },
  lit: {
    before: [],
    after: id === 'flag-1' ? [{ feature: 'direction' as const, start: 14, end: 18 }] : [],
  },
});

const share = (replies: number, before: number, after: number) => ({
  replies,
  before,
  after,
  deaf: before,
  change: estimate(after - before, 0.12),
});

export const listening = (after = 0.25): ListeningView => ({
  pairs: 80,
  shares: { untold: 0.1, rule: 0.26, after, told: 0.59, placebo: 0.08 },
  byDistance: [
    {
      distance: '0',
      pairs: 40,
      shares: { untold: 0.2, rule: 0.52, after: 0.34, told: 0.6, placebo: 0.16 },
    },
    {
      distance: '2',
      pairs: 40,
      shares: { untold: 0, rule: 0, after: 0.16, told: 0.58, placebo: 0 },
    },
  ],
  margins: { untold: { mean: -0.08, median: -0.07, trimmed: -0.08 } },
  won: 13,
  lost: 1,
  change: estimate(after - 0.1, 0.06),
  beyondPlacebo: estimate(after - 0.08, 0.06),
  gap: estimate(0.49, 0.1),
  gapClosed: (after - 0.1) / 0.49,
});

const held = (same: number, won: number, lost: number) => ({
  ...{ same, won, lost, lossBound: 0.031, kl: 0.021 },
});

/** A night as today's measure it, in place of those of before. */
export function today(status: string, changes: Partial<NightSummary> = {}): NightView {
  const { replies, ...rest } = night(status);
  const one = replies as NonNullable<typeof replies>;
  return NightView.parse({
    ...rest,
    headline: 'Night 3: In 2 of your 3 moments it now does what you said (0 before).',
    listening: listening(),
    bothRight: null,
    measures: [
      {
        name: 'bothRight',
        label: 'Listening: right on both sides',
        unit: 'of the pairs',
        estimate: estimate(0.15, 0.06),
        wish: 'gain',
      },
    ],
    replies: {
      ...{ ...one, deaf: null, held: held(101, 3, 2), replies: 144 },
      kinds: one.kinds.map((kind) => ({ ...kind, deaf: null, held: held(9, 1, 2) })),
    },
    predicts: { rho: 0.31, low: 0.05, high: 0.52, moments: 30 },
    ...changes,
  });
}

export const night = (status: string, mean = 0.12): NightView =>
  NightView.parse({
    schema: 1,
    nightId: 'n0003-2026-03-03',
    number: 3,
    day: '2026-03-03',
    status,
    verdict: status === 'refused' ? 'refused' : 'awaiting-review',
    headline:
      status === 'refused'
        ? 'Night 3: Not recommended: tests do not show that it listens better.'
        : 'Night 3: In 2 of your 3 moments it now does what you said (0 before).',
    versions: { from: 'v-2', to: null },
    reasons: [
      { rule: 'listening', passes: mean > 0, text: 'up by at least 0.02' },
      { rule: 'held replies', passes: status !== 'refused', text: 'at most 5 % worse' },
    ],
    evidence: '4 of about 12 flags: a first impression.',
    measures: [
      {
        name: 'margin',
        label: 'Listening margin',
        unit: 'nats a token',
        estimate: estimate(mean, 0.05),
        wish: 'gain',
      },
      {
        name: 'realMinusDeaf',
        label: 'Beyond the placebo',
        unit: 'nats a token',
        estimate: estimate(mean - 0.03, 0.05),
        wish: 'gain',
      },
      {
        name: 'pushBack',
        label: 'Push-back',
        unit: 'nats a token',
        estimate: estimate(status === 'refused' ? -0.2 : 0.001, 0.04),
        wish: 'guard',
      },
      {
        name: 'defenceGap',
        label: 'Defence gap',
        unit: 'nats a token',
        estimate: { mean: null, low: null, high: null, p: null, clusters: 0 },
        wish: 'gap',
      },
    ],
    retention: [
      { against: 'the parent', ratio: 1.002, high: 1.01 },
      { against: 'the base', ratio: 1.009, high: 1.02 },
    ],
    bothRight: { before: 0.41, after: 0.56, pairs: 64 },
    flagged: [
      flagged('flag-1', 'Keep the window open', 'Old: a fan is better.', 'New: it stays open.'),
      flagged('flag-2', 'No sugar', 'With sugar!', 'Two spoons of it, then.'),
      flagged('flag-3', 'Call at nine', 'Old: at ten then.', 'New: at nine.'),
    ],
    replies: {
      ...share(24, 0.42, 0.5),
      kinds: [
        { kind: 'listen', ...share(12, 0.25, 0.5) },
        { kind: 'push-back', ...share(12, 0.59, 0.5) },
      ],
      samples: [
        {
          id: 'suite-1',
          kind: 'listen',
          said: 'Put 72 bunks on the sheet.',
          before: { reply: 'Let us take 26.', passes: false, reason: 'lacks "72"' },
          after: { reply: 'The sheet says 72.', passes: true, reason: 'the direction comes first' },
        },
      ],
    },
    dreams: {
      byKind: [
        { kind: 'listen', written: 40, admitted: 22 },
        { kind: 'push-back', written: 20, admitted: 9 },
      ],
      refused: [{ reason: 'near copy', count: 17 }],
      sampledShare: 0.63,
      samples: [
        {
          id: 'dream-1',
          kind: 'listen',
          turns: [{ role: 'user', content: 'Please water the fern today.' }],
          spans: [{ feature: 'direction', message: 0, start: 7, end: 21 }],
          chosen: 'I will water the fern.',
          rejected: 'Have you thought of a cactus?',
          sampledShare: 0.7,
        },
      ],
    },
    training: {
      examples: 31,
      steps: 12,
      tokens: 18_000,
      relativeNorm: 0.0042,
      stoppedBecause: 'the margin was reached',
      losses: Array.from({ length: 12 }, (_, step) => ({ step, loss: 0.7 / (1 + step / 4) })),
    },
    lift: [
      {
        feature: 'direction',
        layers: 6,
        heads: 4,
        before: map(0),
        after: map(0).map((value, i) => value + (i % 3) / 10),
        window: estimate(0.09, 0.04),
        windowLayers: 4,
      },
      {
        feature: 'own-idea',
        layers: 6,
        heads: 4,
        before: map(0.2),
        after: map(0.2).map((value, i) => value - (i % 4) / 10),
        window: estimate(-0.07, 0.04),
        windowLayers: 4,
      },
    ],
    facts: { flatness: 0.0123, tokensPerSecond: 310 },
    phases: [
      { phase: 'dream', ms: 42_000 },
      { phase: 'train', ms: 91_000 },
    ],
    swap: null,
    back: status === 'in-force' ? 'attune night revert n0003-2026-03-03' : null,
  });

const attention = (direction: number): number[] =>
  WORDS.map((_, i) => {
    if (FEATURES.includes(i)) return direction / FEATURES.length;
    return OWN.includes(i) ? (0.5 - direction / 2) / OWN.length : 0.02;
  });

const stop = (label: string, direction: number) => ({
  label,
  version: `v-${label}`,
  attention: attention(direction),
  share: { direction, 'own-idea': 0.5 - direction / 2 },
});

export const slider: SliderView = SliderView.parse({
  nightId: 'n0003-2026-03-03',
  moments: [
    {
      flagId: 'flag-1',
      direction: 'keep the window open',
      tokens: WORDS.map((text, i) => {
        const feature = FEATURES.includes(i) ? 'direction' : OWN.includes(i) ? 'own-idea' : null;
        return { text, role: 'user' as const, feature };
      }),
      stops: [stop('Base', 0.1), stop('Night 1', 0.25), stop('Night 3', 0.6)],
    },
  ],
  frozenHash: 'a'.repeat(64),
  bothRight: estimate(0.12, 0.05),
  beyondPlacebo: estimate(0.09, 0.05),
});

export const NO_PAIRS: BlindView = { pairs: [], tally: null, isVeto: false };
