// The text that `attune eval` prints: each number with its interval.
import type { Change } from '../../measure/compare.ts';
import type { GateVerdict } from '../../measure/gate.ts';
import type { Measures } from '../../measure/measure.ts';
import { type FreeReply, passShares } from '../../measure/reply-change.ts';
import { fixed, interval, percent } from '../../protocol/number-text.ts';

export interface Evaluation {
  readonly measures: Measures;
  /** The gate's verdict as on a first night; absent without a delta. */
  readonly verdict?: GateVerdict | undefined;
  /** Greedy replies under the parent and under the candidate, where they were asked for. */
  readonly replies?: {
    readonly before: readonly FreeReply[];
    readonly after: readonly FreeReply[];
  };
}

const changeText = (name: string, { before, after, change }: Change): string =>
  `  ${name.padEnd(16)} ${fixed(before).padStart(8)} → ${fixed(after).padStart(8)}   ` +
  interval(change);

/** @returns text that ends with a line break */
export function measuresText({ measures, verdict, replies }: Evaluation): string {
  const { kinds, conditions, bothRight, candidateOnly, retention, defenceGap } = measures;
  const lines = [
    `${measures.examples} scenarios, ${measures.refused.length} skipped`,
    '',
    'Margins in nats per token (log p of chosen where there is no rejected), before → after, change:',
    ...Object.entries(kinds).map(([kind, change]) => changeText(kind, change)),
    changeText('listen, kept', conditions.kept),
    '',
    `Crossed pairs, both right: ${percent(bothRight.before, 1)} → ${percent(bothRight.after, 1)} of ` +
      `${bothRight.pairs}, change ${interval(bothRight.change)}`,
    `  for comparison, a bag of words without the context: ${percent(candidateOnly.bothRight, 1)} both ` +
      `right, ${percent(candidateOnly.accuracy, 1)} of ${candidateOnly.pairs} single pairs`,
    ...placeboLines(measures),
    changeText('defence gap', defenceGap),
    ...Object.entries(measures.distance).map(([age, change]) =>
      changeText(`${age} turns back`, change),
    ),
    ...breadthLines(measures),
    '',
    `Perplexity × ${fixed(retention.parent.perplexity.ratio, 4)} (at most ` +
      `${fixed(retention.parent.perplexity.high, 4)}) of the parent, × ` +
      `${fixed(retention.base.perplexity.ratio, 4)} of the base; ` +
      `KL ${fixed(retention.parent.kl, 4)}`,
    ...(measures.trainedKl === undefined
      ? []
      : [`KL on the training scenarios: ${fixed(measures.trainedKl, 4)}`]),
    '',
    ...attentionLines(measures),
    ...gateLines(verdict),
    ...replyLines(replies),
  ];
  return `${lines.join('\n')}\n`;
}

function placeboLines({ realMinusDeaf, bothRightBeyondDeaf }: Measures): string[] {
  if (realMinusDeaf === undefined) return [];
  const beyond = bothRightBeyondDeaf;
  return [
    `Real − placebo, margin: ${interval(realMinusDeaf)}`,
    ...(beyond === undefined ? [] : [`Real − placebo, both right: ${interval(beyond.change)}`]),
  ];
}

function breadthLines({ breadth }: Measures): string[] {
  if (breadth.ratio === null) return [];
  return [`Breadth: gain on unseen domains ÷ on seen ones = ${fixed(breadth.ratio, 2)}`];
}

function attentionLines({ attention, knockOut }: Measures): string[] {
  const changes = Object.values(attention).flatMap((change) => [
    `Attention lift on ${change.feature}, window: ${interval(change.window)}; ` +
      `value-weighted ${interval(change.valueWindow)}`,
    `  sink ${fixed(change.sinkBefore)} → ${fixed(change.sinkAfter)}` +
      (change.windowBeyondDeaf === undefined
        ? ''
        : `; beyond placebo ${interval(change.windowBeyondDeaf)}`),
  ]);
  const { before, after, change } = knockOut;
  return [
    ...changes,
    `With the direction hidden, log p(chosen) falls by ${fixed(before)} → ${fixed(after)}, ` +
      `change ${interval(change)}`,
  ];
}

function gateLines(verdict: Evaluation['verdict']): string[] {
  if (verdict === undefined) return [];
  return [
    '',
    `The gate, as on a first night: ${verdict.passes ? 'passes' : 'refused'}`,
    ...verdict.reasons.map(
      ({ rule, passes, text }) => `  ${passes ? 'holds' : 'FAILS'}  ${rule}: ${text}`,
    ),
  ];
}

function replyLines(replies: Evaluation['replies']): string[] {
  if (replies === undefined) return [];
  const [before, after] = [passShares(replies.before), passShares(replies.after)];
  return [
    '',
    'Free replies that pass the check of their kind, before → after:',
    ...Object.entries(after).map(([kind, share]) => {
      const was = percent(before[kind as keyof typeof before] ?? 0, 1);
      return `  ${kind.padEnd(16)} ${was} → ${percent(share, 1)}`;
    }),
  ];
}
