// A night's summary as Markdown: for the ledger, for mail, and for the terminal.
import { alignedRows } from '../base/text-table.ts';
import {
  ARM_LABELS,
  armsOf,
  beforeAfter,
  DISTANCE_LABEL,
  heldText,
  LISTENING_METHOD,
  listeningRows,
  listeningText,
  pointsText,
  repliesLine,
  repliesMethod,
} from '../protocol/listening-text.ts';
import { fixed, percent, pText, range } from '../protocol/number-text.ts';
import type { ListeningView, NightSummary, RepliesView } from '../protocol/summary.ts';

/** Words of conversations never become Markdown. */
const quoted = (text: string): string =>
  text.replaceAll(/([\\`*_[\]<>|])/g, '\\$1').replaceAll('\n', ' ');

export function summaryMarkdown(summary: NightSummary): string {
  const lines = [`# ${summary.headline}`, '', `${summary.day}. ${summary.evidence}`];
  if (summary.flagged.length > 0) {
    lines.push('', '## What you flagged', '');
    for (const { direction, asked, oldReply, newReply } of summary.flagged) {
      lines.push(`- “${quoted(direction)}”${asked && `, then: “${quoted(asked)}”`}`);
      lines.push(`  - before: ${quoted(oldReply)}`, `  - after: ${quoted(newReply)}`);
    }
  }
  if (summary.listening !== null) lines.push(...listeningLines(summary.listening));
  const measured = [
    ...summary.measures.map(({ label, estimate, unit }) => [
      label,
      `${fixed(estimate.mean)} ${unit}`,
      `${range(estimate)}, ${pText(estimate.p)}`,
    ]),
    ...summary.retention.map(({ against, ratio, high }) => [
      `everyday perplexity against ${against}`,
      `× ${fixed(ratio)}`,
      `at most ${fixed(high)}`,
    ]),
  ];
  if (summary.measures.length > 0)
    lines.push('', ...table(['measure', 'change', '95 %'], measured));
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

function listeningLines(listening: ListeningView): string[] {
  const head = [DISTANCE_LABEL, ...armsOf(listening).map((arm) => ARM_LABELS[arm]), 'pairs'];
  return [
    ...['', '## Does it listen?', ''],
    `${LISTENING_METHOD} ${sentence(listeningText(listening))}.`,
    '',
    ...table(
      head,
      listeningRows(listening).map(({ label, shares, pairs }) => [label, ...shares, `${pairs}`]),
    ),
  ];
}

function repliesLines(replies: RepliesView): string[] {
  const { kinds, samples } = replies;
  return [
    '',
    '## What it says by itself',
    '',
    `${sentence(repliesLine(replies))}. ${repliesMethod(replies)}`,
    '',
    ...table(
      ['kind', 'n', 'pass', 'change'],
      kinds.map(({ kind, held, ...one }) => {
        const changed = held === null ? pointsText(one.change) : heldText(held);
        return [kind, `${one.replies}`, beforeAfter(one), changed];
      }),
    ),
    ...(samples.length === 0 ? [] : ['']),
    ...samples.flatMap(({ kind, said, before, after }) => [
      `- ${kind}: “${quoted(said)}”`,
      `  - before: ${sampleText(before)}`,
      `  - after: ${sampleText(after)}`,
    ]),
  ];
}

/** Its columns are aligned: it is read as it is, too. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const lines = alignedRows([head, ...rows]).map((cells) => `| ${cells.join(' | ')} |`);
  return [...lines.slice(0, 1), `|${head.map(() => '---|').join('')}`, ...lines.slice(1)];
}

const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

const sampleText = ({ reply, passes, reason }: RepliesView['samples'][number]['after']): string =>
  `${quoted(reply)} (${passes ? 'passes' : 'does not pass'}: ${quoted(reason)})`;
