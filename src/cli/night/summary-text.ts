// A night's summary as plain text for a terminal: one screen, the most important first.
import {
  ARM_LABELS,
  armsOf,
  DISTANCE_LABEL,
  listeningRows,
  listeningText,
} from '../../protocol/listening-text.ts';
import { fixed, signed } from '../../protocol/number-text.ts';
import { beforeAfter, heldText, repliesLine } from '../../protocol/replies-text.ts';
import type { EstimateView, ListeningView, NightSummary } from '../../protocol/summary.ts';
import { printable } from '../chat/terminal.ts';

const estimateText = ({ mean, low, high }: EstimateView): string =>
  mean === null ? 'not measured' : `${signed(mean)}  (${signed(low)} to ${signed(high)})`;

/** Without a final newline. Control characters of the texts are removed. */
export function summaryText(summary: NightSummary): string {
  const lines = [
    summary.headline,
    `${summary.day} · ${'status' in summary ? summary.status : summary.verdict}`,
  ];
  if (summary.evidence !== '') lines.push(summary.evidence);
  if (summary.listening !== null) lines.push('', ...listeningLines(summary.listening));
  if (summary.measures.length > 0) lines.push('');
  for (const { label, estimate, unit } of summary.measures) {
    lines.push(`  ${label.padEnd(44)} ${estimateText(estimate)} ${unit}`);
  }
  for (const { against, ratio, high } of summary.retention) {
    const label = `everyday perplexity against ${against}`;
    lines.push(`  ${label.padEnd(44)} × ${fixed(ratio)}  (at most ${fixed(high)})`);
  }
  if (summary.replies !== null) {
    const unread = summary.replies.held === null ? '; the gate does not read this' : '';
    lines.push('', `  ${repliesLine(summary.replies)}${unread}`);
    for (const { kind, held, ...one } of summary.replies.kinds) {
      const moved = held === null ? '' : `: ${heldText(held)}`;
      lines.push(`    ${kind.padEnd(14)} ${beforeAfter(one)}  (n ${one.replies})${moved}`);
    }
  }
  if (summary.flagged.length > 0) lines.push('');
  for (const { direction, oldReply, newReply } of summary.flagged) {
    lines.push(`  “${printable(direction)}”`);
    lines.push(`    before  ${printable(oldReply)}`, `    after   ${printable(newReply)}`);
  }
  if (summary.reasons.length > 0) lines.push('');
  for (const { rule, passes, text } of summary.reasons) {
    lines.push(`  ${passes ? '✓' : '✗'} ${rule}: ${text}`);
  }
  if (summary.back !== null) lines.push('', `To go back: ${summary.back}`);
  return lines.join('\n');
}

function listeningLines(listening: ListeningView): string[] {
  const arms = armsOf(listening).map((arm) => ARM_LABELS[arm]);
  const line = (label: string, cells: readonly string[]): string =>
    `  ${label.padEnd(32)}${cells.map((cell, i) => cell.padStart((arms[i] ?? '').length + 3)).join('')}`;
  return [
    line(DISTANCE_LABEL, arms),
    ...listeningRows(listening).map(({ label, pairs, shares }) =>
      line(`${label} (${pairs})`, shares),
    ),
    `  ${listeningText(listening)}`,
  ];
}
