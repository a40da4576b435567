// The gate: from measured evidence to a verdict with reasons. It measures nothing itself.
import type { Config } from '../config/schema.ts';
import { fixed, interval, percent } from '../protocol/number-text.ts';
import { type Estimate, type RatioEstimate, spentLevel } from './statistics.ts';

export interface GateEvidence {
  /** Share of crossed pairs with both sides right: candidate − parent. The primary endpoint. */
  readonly bothRight: Estimate;
  /** The same, candidate − placebo. Null: there was no placebo. */
  readonly beyondPlacebo: Estimate | null;
  /** Mean KL from tonight's start on what was taught, nats a token. Null: nobody measured it. */
  readonly outputKl: { readonly real: number | null; readonly placebo: number | null };
  /** Upper bound of the share of held replies that changed for the worse. */
  readonly lossBound: number;
  /** The kind of held replies on which the distribution moved most, nats a token. */
  readonly heldKl: { readonly kind: string; readonly kl: number };
  readonly perplexityParent: RatioEstimate;
  readonly perplexityBase: RatioEstimate;
  readonly isFinite: boolean;
  readonly isOnlyQueryMoved: boolean;
  /** Flags that it learnt from: a night of few has little power. */
  readonly flags: number;
  /** Number of this night, from 1, and those before it that passed: error is spent over nights. */
  readonly night: number;
  readonly passedNights: readonly number[];
}

type GateSettings = Config['gate'];

export interface GateReason {
  readonly rule: string;
  readonly passes: boolean;
  readonly text: string;
}

export interface GateVerdict {
  readonly passes: boolean;
  /** It failed for want of power alone: a person may try it for a day. */
  readonly isOffered: boolean;
  /** Every rule, passed or not, in a fixed order. */
  readonly reasons: readonly GateReason[];
}

/** Share of swaps that may be false in the long run. */
const FALSE_SWAPS = 0.05;
/** Below this share of the real output KL a placebo has not moved enough to compare with. */
const PLACEBO_KL_SHARE = 0.5;
/** With more flags a night has the power that the gate asks for. */
const FEW_FLAGS = 8;

/** Every rule is judged; one that fails refuses the night. NaN fails every rule it meets. */
export function decideGate(evidence: GateEvidence, settings: GateSettings): GateVerdict {
  const { perplexityParent, perplexityBase, flags } = evidence;
  const better = gain(evidence, settings);
  const beyond = beyondPlacebo(evidence, settings);
  const holds = [
    yes('finite', evidence.isFinite, 'all weights are finite', 'a weight is not finite'),
    yes(
      'only W_q moved',
      evidence.isOnlyQueryMoved,
      'every other tensor is bit-equal',
      'a tensor other than W_q changed',
    ),
    ...heldReplies(evidence, settings),
    ratio('perplexity against the parent', perplexityParent, settings.perplexityRatioParentMax),
    ratio('perplexity against the base', perplexityBase, settings.perplexityRatioBaseMax),
  ];
  const isUnsure = ({ passes }: GateReason, estimate: Estimate | null): boolean =>
    passes || (estimate !== null && estimate.mean > 0);
  const passes = [better, beyond, ...holds].every((reason) => reason.passes);
  const isOffered =
    !passes &&
    flags >= 1 &&
    flags <= FEW_FLAGS &&
    isUnsure(better, evidence.bothRight) &&
    isUnsure(beyond, evidence.beyondPlacebo) &&
    isPlacebo(evidence) &&
    holds.every((reason) => reason.passes);
  const [integrity, kept] = [holds.slice(0, 2), holds.slice(2)];
  return { passes, isOffered, reasons: [...integrity, better, beyond, ...kept] };
}

const yes = (rule: string, passes: boolean, good: string, bad: string): GateReason => ({
  rule,
  passes,
  text: passes ? good : bad,
});

function gain(
  { bothRight, night, passedNights }: GateEvidence,
  { pMax }: GateSettings,
): GateReason {
  const level = spentLevel(night, passedNights, { rate: FALSE_SWAPS, most: pMax });
  return {
    rule: 'listening',
    passes: bothRight.mean > 0 && bothRight.p < level,
    text:
      `both right on judged pairs, change ${interval(bothRight)}; needs > 0 with ` +
      `p < ${level.toPrecision(2)} on night ${night}`,
  };
}

/** False where the placebo is known to have moved less than half as much. */
function isPlacebo({ outputKl: { real, placebo } }: GateEvidence): boolean {
  return real === null || placebo === null || placebo >= PLACEBO_KL_SHARE * real;
}

function beyondPlacebo(evidence: GateEvidence, { placeboPMax }: GateSettings): GateReason {
  const { beyondPlacebo: beyond, outputKl } = evidence;
  const rule = 'beyond the placebo';
  if (beyond === null) return { rule, passes: false, text: 'no placebo was trained' };
  if (!isPlacebo(evidence)) {
    const text =
      `it is not a placebo: it moved the output by ${fixed(outputKl.placebo)} nats a token, ` +
      `less than half of ${fixed(outputKl.real)}`;
    return { rule, passes: false, text };
  }
  return {
    rule,
    passes: beyond.mean > 0 && beyond.p < placeboPMax,
    text: `${interval(beyond)}; needs > 0 with p < ${placeboPMax}`,
  };
}

function heldReplies(
  { lossBound, heldKl }: GateEvidence,
  { worseMax, heldKlMax }: GateSettings,
): GateReason[] {
  return [
    {
      rule: 'held replies',
      passes: lossBound <= worseMax,
      text:
        `at most ${percent(lossBound, 1)} changed for the worse (upper bound); ` +
        `${percent(worseMax, 1)} is allowed`,
    },
    {
      rule: 'held replies, KL',
      passes: heldKl.kl <= heldKlMax,
      text: `${fixed(heldKl.kl)} nats a token on “${heldKl.kind}”; at most ${heldKlMax}`,
    },
  ];
}

function ratio(rule: string, { ratio: value, high }: RatioEstimate, most: number): GateReason {
  return {
    rule,
    passes: Number.isFinite(value) && high <= most,
    text: `${fixed(value, 4)}, upper bound ${fixed(high, 4)}; at most ${most}`,
  };
}
