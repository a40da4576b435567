// A night's summary as Markdown, for the ledger and for mail.
import { fixed, percent, pText, range } from '../protocol/number-text.ts';
import {
  beforeAfter,
  pointsText,
  REPLIES_JUDGE_NOTHING,
  repliesLine,
} from '../protocol/replies-text.ts';
import type { NightSummary, RepliesView } from '../protocol/summary.ts';

/** Words of talks never become Markdown. */
const quoted = (text: string): string =>
  text.replaceAll(/([\\`*_[\]<>|])/g, '\\$1').replaceAll('\n', ' ');

export function summaryMarkdown(summary: NightSummary): string {
  const lines = [`# ${summary.headline}`, '', `${summary.day}. ${summary.evidence}`];
  if (summary.flagged.length > 0) {
    lines.push('', '## What you flagged', '');
    for (const { direction, oldReply, newReply } of summary.flagged) {
      lines.push(`- “${quoted(direction)}”`);
      lines.push(`  - before: ${quoted(oldReply)}`, `  - after: ${quoted(newReply)}`);
    }
  }
  if (summary.measures.length > 0) {
    lines.push('', '| measure | change | 95 % |', '|---|---|---|');
    for (const { label, estimate, unit } of summary.measures) {
      lines.push(
        `| ${label} | ${fixed(estimate.mean)} ${unit} | ${range(estimate)}, ${pText(estimate.p)} |`,
      );
    }
    for (const { against, ratio, high } of summary.retention) {
      lines.push(
        `| everyday perplexity against ${against} | × ${fixed(ratio)} | at most ${fixed(high)} |`,
      );
    }
  }
  if (summary.replies !== null) lines.push(...repliesLines(summary.replies));
  if (summary.reasons.length > 0) lines.push('', '## The gate', '');
  for (const { rule, passes, text } of summary.reasons) {
    lines.push(`- ${passes ? 'passed' : 'FAILED'}: ${rule}: ${text}`);
  }
  if (summary.training !== null) {
    const { examples, steps, relativeNorm } = summary.training;
    const moved = percent(relativeNorm, 2);
    lines.push('', `Trained on ${examples} examples in ${steps} steps; W_q moved by ${moved}.`);
  }
  if (summary.back !== null) lines.push('', `To go back: \`${summary.back}\``);
  return `${lines.join('\n')}\n`;
}

function repliesLines(replies: RepliesView): string[] {
  const { kinds, samples } = replies;
  return [
    '',
    '## What it says by itself',
    '',
    `${sentence(repliesLine(replies))}. ${REPLIES_JUDGE_NOTHING}`,
    '',
    '| kind | n | pass | change |',
    '|---|---|---|---|',
    ...kinds.map(
      (one) => `| ${one.kind} | ${one.replies} | ${beforeAfter(one)} | ${pointsText(one.change)} |`,
    ),
    ...(samples.length === 0 ? [] : ['']),
    ...samples.flatMap(({ kind, said, before, after }) => [
      `- ${kind}: “${quoted(said)}”`,
      `  - before: ${sampleText(before)}`,
      `  - after: ${sampleText(after)}`,
    ]),
  ];
}

const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

const sampleText = ({ reply, passes, reason }: RepliesView['samples'][number]['after']): string =>
  `${quoted(reply)} (${passes ? 'passes' : 'does not pass'}: ${quoted(reason)})`;
