// What the morning shows: one night's summary, the list of nights, the stops of the night slider.
import { z } from 'zod';
import { ConversationSummary, Id, Timestamp } from './conversation.ts';
import { NightPhase, NightProgress, NightVerdict } from './night.ts';

/** A mean with its 95 % interval; `p` is one-sided for "not above zero". NaN travels as null. */
export const EstimateView = z.object({
  mean: z.number().nullable(),
  low: z.number().nullable(),
  high: z.number().nullable(),
  p: z.number().nullable(),
  /** Distinct sources (flags, dialogues, templates). */
  clusters: z.number().int(),
});
export type EstimateView = z.infer<typeof EstimateView>;

export const MeasureView = z.object({
  name: z.string(),
  /** One line for a person: what this number says. */
  label: z.string(),
  unit: z.string(),
  estimate: EstimateView,
  /** `gain`: should rise. `guard`: must not fall. `gap`: should near zero. */
  wish: z.enum(['gain', 'guard', 'gap']),
});
export type MeasureView = z.infer<typeof MeasureView>;

/** Words of a reply that take up what the person said, or the model's own idea. */
const LitWords = z.object({
  feature: z.enum(['direction', 'own-idea']),
  start: z.number().int(),
  end: z.number().int(),
});

export const FlaggedView = z.object({
  flagId: Id,
  conversationId: Id,
  direction: z.string(),
  /** The message that is answered, where it is another one than the direction's. */
  asked: z.string().default(''),
  /** First takes, same seed and settings, under the weights before and after the night. */
  oldReply: z.string(),
  newReply: z.string(),
  /** Held back: it measured and did not train. */
  isHeldBack: z.boolean(),
  /** Whether each reply does what the person said, by its words; null: not in earlier nights. */
  does: z.object({ before: z.boolean(), after: z.boolean() }).nullable().default(null),
  lit: z
    .object({ before: z.array(LitWords), after: z.array(LitWords) })
    .default({ before: [], after: [] }),
});
export type LitWords = z.infer<typeof LitWords>;
export type FlaggedView = z.infer<typeof FlaggedView>;

export const DreamView = z.object({
  id: z.string(),
  kind: z.string(),
  turns: z.array(z.object({ role: z.enum(['system', 'user', 'assistant']), content: z.string() })),
  spans: z.array(
    z.object({
      feature: z.string(),
      message: z.number().int(),
      start: z.number().int(),
      end: z.number().int(),
    }),
  ),
  chosen: z.string(),
  rejected: z.string().nullable(),
  /** Share of the tokens that the model sampled; the rest is template. */
  sampledShare: z.number().nullable(),
});
export type DreamView = z.infer<typeof DreamView>;

/** Log enrichment of attention on a feature's spans; (layers, heads), row-major. */
export const LiftView = z.object({
  feature: z.string(),
  layers: z.number().int(),
  heads: z.number().int(),
  before: z.array(z.number().nullable()),
  after: z.array(z.number().nullable()),
  /** Change in the window of layers that was fixed in advance. */
  window: EstimateView,
  windowLayers: z.number().int(),
});
export type LiftView = z.infer<typeof LiftView>;

/** Shares of crossed pairs with both sides right; who does not read the context gets 0. */
const ArmShares = z.object({
  /** Before the night, told nothing. */
  untold: z.number().optional(),
  /** Before the night, with the person's last directive said again by rule. */
  rule: z.number().optional(),
  /** After the night, told nothing. */
  after: z.number().optional(),
  /** Before the night, with the direction said again. */
  told: z.number().optional(),
  placebo: z.number().optional(),
});
export type ArmShares = z.infer<typeof ArmShares>;

const Spread = z.object({ mean: z.number(), median: z.number(), trimmed: z.number() });

/** The primary endpoint: crossed pairs that nothing trains on, judged by likelihood. */
export const ListeningView = z.object({
  pairs: z.number().int(),
  shares: ArmShares,
  /** By the number of other turns between the direction and the question. */
  byDistance: z.array(
    z.object({ distance: z.string(), pairs: z.number().int(), shares: ArmShares }),
  ),
  /** Margins of the same arms, nats a token. */
  margins: z.partialRecord(ArmShares.keyof(), Spread),
  won: z.number().int(),
  lost: z.number().int(),
  change: EstimateView,
  beyondPlacebo: EstimateView.nullable(),
  /** Told − untold: what there is to gain. */
  gap: EstimateView,
  /** Share of the gap that the night closes; null where the gap is too small to measure. */
  gapClosed: z.number().nullable(),
});
export type ListeningView = z.infer<typeof ListeningView>;

/** Share of replies that pass the check of their kind, by the weights before and after. */
const RepliesShare = z.object({
  replies: z.number().int(),
  before: z.number(),
  after: z.number(),
  /** Under the placebo's weights; null where there was none. */
  deaf: z.number().nullable(),
  change: EstimateView,
  /** Null in nights of before 30 November 2026. */
  held: z
    .object({
      /** The same to the token. */
      same: z.number().int(),
      won: z.number().int(),
      lost: z.number().int(),
      /** Upper 95 % bound of the share that changed for the worse, net. */
      lossBound: z.number(),
      /** Nats a token, on the replies of before. */
      kl: z.number(),
    })
    .nullable()
    .default(null),
});

const SampledReply = z.object({ reply: z.string(), passes: z.boolean(), reason: z.string() });

/** Greedy replies: of all that must not become worse, by kind, and beside them `listen`. */
export const RepliesView = z.object({
  ...RepliesShare.shape,
  kinds: z.array(z.object({ kind: z.string(), ...RepliesShare.shape })),
  samples: z.array(
    z.object({
      id: z.string(),
      kind: z.string(),
      said: z.string(),
      before: SampledReply,
      after: SampledReply,
    }),
  ),
});
export type RepliesView = z.infer<typeof RepliesView>;

export const NightSummary = z.object({
  schema: z.literal(1),
  nightId: Id,
  number: z.number().int(),
  day: z.string(),
  verdict: NightVerdict,
  /** It did not pass for want of power alone, and waits for a person to try it. */
  isOffered: z.boolean().default(false),
  /** One honest sentence. */
  headline: z.string(),
  versions: z.object({ from: z.string(), to: z.string().nullable() }),
  reasons: z.array(z.object({ rule: z.string(), passes: z.boolean(), text: z.string() })),
  /** "4 of about 12 flags": how much there was to learn and to judge from. */
  evidence: z.string(),
  measures: z.array(MeasureView),
  retention: z.array(z.object({ against: z.string(), ratio: z.number(), high: z.number() })),
  /** Share of crossed pairs with both sides right; who does not read the context gets 0. */
  /** Null in nights of before 30 November 2026, which have `bothRight`. */
  listening: ListeningView.nullable().default(null),
  bothRight: z
    .object({ before: z.number(), after: z.number(), pairs: z.number().int() })
    .nullable(),
  flagged: z.array(FlaggedView),
  /** Null: none were written, as in nights of before they were. */
  replies: RepliesView.nullable().default(null),
  dreams: z.object({
    byKind: z.array(
      z.object({ kind: z.string(), written: z.number().int(), admitted: z.number().int() }),
    ),
    refused: z.array(z.object({ reason: z.string(), count: z.number().int() })),
    sampledShare: z.number().nullable(),
    samples: z.array(DreamView),
  }),
  training: z
    .object({
      examples: z.number().int(),
      steps: z.number().int(),
      tokens: z.number().int(),
      relativeNorm: z.number(),
      stoppedBecause: z.string(),
      losses: z.array(z.object({ step: z.number().int(), loss: z.number() })),
    })
    .nullable(),
  lift: z.array(LiftView),
  /** Rank correlation of how far attention moved on a moment and whether its reply changed. */
  predicts: z
    .object({ rho: z.number(), low: z.number(), high: z.number(), moments: z.number().int() })
    .nullable()
    .default(null),
  /** Named numbers further down: flatness, memory, tokens a second. */
  facts: z.record(z.string(), z.number()),
  phases: z.array(z.object({ phase: NightPhase, ms: z.number() })),
  swap: z.object({ repliesInFlight: z.number().int(), stallMs: z.number() }).nullable(),
  /** The command that takes this night out again. */
  back: z.string().nullable(),
});
export type NightSummary = z.infer<typeof NightSummary>;

/** What became of a night. */
export const NightStatus = z.enum([
  'refused',
  'empty',
  'waiting',
  'in-force',
  'rejected',
  'reverted',
]);

/** The step that undoes what a night has learnt from words that the person took back since. */
export const Remedy = z.enum(['retrain', 'revert', 'reject']);
export type Remedy = z.infer<typeof Remedy>;

const Use = z.object({
  /** Until the next night; then it is taken back, unless the person preferred its replies. */
  isTrial: z.boolean().default(false),
  /** It is in use although the gate refused it. */
  isAgainstVerdict: z.boolean().default(false),
});

/** `GET /api/nights/:id`: the summary as it was written, and what was decided since. */
export const NightView = z.object({
  ...NightSummary.shape,
  status: NightStatus,
  /** Null: it has learnt from no such words, or is not used. */
  remedy: Remedy.nullable().default(null),
  ...Use.shape,
});
export type NightView = z.infer<typeof NightView>;

/** One line of the list of nights. */
export const NightLine = z.object({
  nightId: Id,
  number: z.number().int(),
  day: z.string(),
  status: NightStatus,
  headline: z.string(),
  /** Crossed pairs with both sides right, share: change, and beyond the placebo. */
  bothRight: EstimateView.nullable(),
  beyondPlacebo: EstimateView.nullable(),
  defenceGap: z.number().nullable(),
  /** Flags per 100 replies on that day; null: nothing was said. */
  flagsPer100: z.number().nullable(),
  remedy: Remedy.nullable().default(null),
  /** It learnt something: its weights can be used. */
  hasWeights: z.boolean().default(true),
  ...Use.shape,
});
export type NightLine = z.infer<typeof NightLine>;

/** `GET /api/nights` */
export const NightList = z.object({
  nights: z.array(NightLine),
  running: NightProgress.nullable(),
  /** A night that was cut off or stopped, and goes on with the next run. */
  stopped: Id.nullable().default(null),
  /** When the next one is due. */
  nextAt: Timestamp.nullable(),
  version: z.string(),
  /** What could not be read, and what keeps nights from coming; a sentence each. */
  problems: z.array(z.string()).default([]),
  /** Conversations that came over the API and wait for the person's word; the newest of them. */
  offered: z
    .object({ total: z.number().int(), conversations: z.array(ConversationSummary) })
    .default({ total: 0, conversations: [] }),
});
export type NightList = z.infer<typeof NightList>;

/** `POST /api/nights/offered`: whether nights may learn from these, or from all that are offered. */
export const OfferedDecision = z.strictObject({
  canLearn: z.boolean(),
  conversationIds: z.array(Id).optional(),
});
export type OfferedDecision = z.infer<typeof OfferedDecision>;

/** One word-piece of a moment, who said it, and what it belongs to. */
export const SliderToken = z.object({
  /** A message begins with a line break. */
  text: z.string(),
  role: z.enum(['system', 'user', 'assistant']),
  feature: z.string().nullable(),
});
export type SliderToken = z.infer<typeof SliderToken>;

/** A flagged moment under each version from the base to tonight. */
export const SliderMoment = z.object({
  flagId: Id,
  direction: z.string(),
  tokens: z.array(SliderToken),
  stops: z.array(
    z.object({
      label: z.string(),
      version: z.string(),
      /** Attention of the decision row on each token: mean over the window, sink left out. */
      attention: z.array(z.number()),
      /** Summed attention by feature. */
      share: z.record(z.string(), z.number()),
    }),
  ),
});
export type SliderMoment = z.infer<typeof SliderMoment>;

/** `GET /api/nights/:id/slider` */
export const SliderView = z.object({
  nightId: Id,
  moments: z.array(SliderMoment),
  /** Of the base model; what a stop adds to it can be nothing but W_q. */
  frozenHash: z.string(),
  bothRight: EstimateView.nullable(),
  beyondPlacebo: EstimateView.nullable(),
});
export type SliderView = z.infer<typeof SliderView>;

/** `POST /api/nights/:id/slider/reply` */
export const SliderReplyRequest = z.strictObject({
  flagId: Id,
  stop: z.number().int().nonnegative(),
});
export const SliderReply = z.object({ text: z.string(), version: z.string() });
export type SliderReply = z.infer<typeof SliderReply>;

/** Two replies to one direction; which of them is the old one is not said. */
export const BlindPair = z.object({
  flagId: Id,
  direction: z.string(),
  asked: FlaggedView.shape.asked,
  a: z.string(),
  b: z.string(),
});
export type BlindPair = z.infer<typeof BlindPair>;

/** `GET /api/nights/:id/blind` */
export const BlindView = z.object({
  /** Still to be answered. */
  pairs: z.array(BlindPair),
  /** How often each was preferred; null until every pair is answered. */
  tally: z
    .object({ old: z.number().int(), new: z.number().int(), same: z.number().int() })
    .nullable(),
  /** The old replies were preferred in most pairs: the night is rejected, or should be taken back. */
  isVeto: z.boolean(),
});
export type BlindView = z.infer<typeof BlindView>;

/** `GET /api/nights/:id/trial`: two replies to something that was said today, blind. */
export const TrialView = z.object({
  /** Null: nothing was said yet to which the two differ. */
  pair: BlindPair.nullable(),
  tally: z.object({ old: z.number().int(), new: z.number().int(), same: z.number().int() }),
  /** By the choices so far it stays at night. */
  stays: z.boolean(),
});
export type TrialView = z.infer<typeof TrialView>;

/** `POST /api/nights/:id/blind`, and of a trial; the first answer to a pair counts. */
export const BlindAnswer = z.strictObject({ flagId: Id, choice: z.enum(['a', 'b', 'same']) });
export type BlindAnswer = z.infer<typeof BlindAnswer>;

// A night's dreams as a person looks through them, and what may be changed; shared with the page.

export const ReviewedDream = z.object({
  ...DreamView.shape,
  /** Place in the list, from 1: for those who type. */
  number: z.number().int(),
  /** The other side of a pair has the same; they are dropped together. */
  pairId: z.string().nullable(),
  isDropped: z.boolean(),
  /** `chosen` is the person's own. */
  isReworded: z.boolean(),
});
export type ReviewedDream = z.infer<typeof ReviewedDream>;

/** `GET /api/nights/:id/review` */
export const ReviewView = z.object({
  nightId: Id,
  /** False: it was decided already, or it learnt nothing. */
  canChange: z.boolean(),
  dreams: z.array(ReviewedDream),
  /** Dreams that were dropped or reworded; `POST /api/nights/:id/retrain` trains without them. */
  changes: z.number().int(),
});
export type ReviewView = z.infer<typeof ReviewView>;

/** `POST /api/nights/:id/review`: one change to one dream. */
export const ReviewRequest = z.strictObject({
  dreamId: z.string().min(1).max(200),
  isDropped: z.boolean().optional(),
  /** The words of a listening reply; null: as the night had them. */
  chosen: z.string().min(1).max(4000).nullable().optional(),
});
export type ReviewRequest = z.infer<typeof ReviewRequest>;
