// The gate: from measured evidence to a verdict with reasons. It measures nothing itself.
import type { Config } from '../config/schema.ts';
import type { Delta } from '../model/delta.ts';
import { isQProj } from '../model/weight-names.ts';
import { fixed, interval } from '../protocol/number-text.ts';
import type { Measures } from './measure.ts';
import { type Estimate, type RatioEstimate, spentLevel } from './statistics.ts';

export interface GateEvidence {
  /** Listening margin on held-out scenarios: candidate − parent, nats a token. */
  readonly margin: Estimate;
  /** The same gain minus the placebo's. Absent = there was no placebo. */
  readonly realMinusDeaf?: Estimate;
  /** The same in the shipped conversations, where the person's own talks judge. */
  readonly elsewhere?: Estimate;
  readonly pushBack: Estimate;
  readonly invite: Estimate;
  readonly ordinary: Estimate;
  readonly perplexityParent: RatioEstimate;
  readonly perplexityBase: RatioEstimate;
  /** Distinct sources (flags, dialogues) that the night trained on. */
  readonly sources: number;
  readonly isFinite: boolean;
  readonly isOnlyQueryMoved: boolean;
  /** Number of this night, from 1, and those before it that passed: error is spent over nights. */
  readonly night: number;
  readonly passedNights: readonly number[];
}

/** What is known of the night that made a delta, beside its measures. */
export type JudgedNight = Pick<GateEvidence, 'sources' | 'night' | 'passedNights'> &
  Pick<Delta, 'tensors'>;

export function gateEvidence(
  { gate, realMinusDeaf, retention }: Measures,
  { sources, night, passedNights, tensors }: JudgedNight,
): GateEvidence {
  return {
    ...gate,
    ...(realMinusDeaf === undefined ? {} : { realMinusDeaf }),
    perplexityParent: retention.parent.perplexity,
    perplexityBase: retention.base.perplexity,
    sources,
    isFinite: Object.values(tensors).every(({ data }) => data.every(Number.isFinite)),
    isOnlyQueryMoved: Object.keys(tensors).every(isQProj),
    night,
    passedNights,
  };
}

type GateSettings = Config['gate'];

export interface GateReason {
  readonly rule: string;
  readonly passes: boolean;
  readonly text: string;
}

export interface GateVerdict {
  readonly passes: boolean;
  /** Every rule, passed or not, in a fixed order. */
  readonly reasons: readonly GateReason[];
}

/** Every rule is judged; one that fails refuses the night. NaN fails every rule it meets. */
export function decideGate(evidence: GateEvidence, settings: GateSettings): GateVerdict {
  const reasons = [
    ...integrity(evidence, settings),
    ...gains(evidence, settings),
    ...(evidence.elsewhere === undefined
      ? []
      : [noLoss('listening elsewhere', evidence.elsewhere, settings)]),
    noLoss('push-back', evidence.pushBack, settings),
    noLoss('invite', evidence.invite, settings),
    noLoss('ordinary', evidence.ordinary, settings),
    ratio(
      'perplexity against the parent',
      evidence.perplexityParent,
      settings.perplexityRatioParentMax,
    ),
    ratio('perplexity against the base', evidence.perplexityBase, settings.perplexityRatioBaseMax),
  ];
  return { passes: reasons.every((reason) => reason.passes), reasons };
}

function integrity(evidence: GateEvidence, settings: GateSettings): GateReason[] {
  return [
    {
      rule: 'finite',
      passes: evidence.isFinite,
      text: evidence.isFinite
        ? 'all weights and losses are finite'
        : 'a weight or loss is not finite',
    },
    {
      rule: 'only W_q moved',
      passes: evidence.isOnlyQueryMoved,
      text: evidence.isOnlyQueryMoved
        ? 'every other tensor is bit-equal'
        : 'a tensor other than W_q changed',
    },
    {
      rule: 'sources',
      passes: evidence.sources >= settings.sourcesMin,
      text: `${evidence.sources} distinct sources; ${settings.sourcesMin} needed`,
    },
  ];
}

function gains(evidence: GateEvidence, settings: GateSettings): GateReason[] {
  const { margin, realMinusDeaf, night, passedNights } = evidence;
  const { falseSwapRate: rate, marginPMax: most } = settings;
  const level = spentLevel(night, passedNights, { rate, most });
  const reasons: GateReason[] = [
    {
      rule: 'margin',
      passes: margin.mean >= settings.marginGainMin && margin.p < level,
      text:
        `gain ${interval(margin)}; needs ≥ ${settings.marginGainMin} with ` +
        `p < ${level.toPrecision(2)} on night ${night}`,
    },
  ];
  reasons.push({
    rule: 'real − placebo',
    passes:
      realMinusDeaf !== undefined &&
      realMinusDeaf.mean > 0 &&
      realMinusDeaf.p < settings.placeboPMax,
    text:
      realMinusDeaf === undefined
        ? 'no placebo was trained'
        : `${interval(realMinusDeaf)}; needs > 0 with p < ${settings.placeboPMax}`,
  });
  return reasons;
}

function noLoss(rule: string, change: Estimate, settings: GateSettings): GateReason {
  return {
    rule,
    passes: change.low > settings.guardLowerBoundMin,
    text:
      `change ${interval(change)}; the lower bound must stay above ` +
      `${settings.guardLowerBoundMin}`,
  };
}

function ratio(rule: string, { ratio: value, high }: RatioEstimate, most: number): GateReason {
  return {
    rule,
    passes: Number.isFinite(value) && high <= most,
    text: `${fixed(value)}, upper bound ${fixed(high)}; at most ${most}`,
  };
}
