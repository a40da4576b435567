// A night's summary as Markdown, for the ledger and for mail.
import type { EstimateView, NightSummary } from '../protocol/summary.ts';

const number = (value: number | null): string => (value === null ? '–' : value.toFixed(3));
const range = ({ low, high, p }: EstimateView): string =>
  `${number(low)} to ${number(high)}, p ${p === null ? '–' : p.toPrecision(2)}`;
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
      lines.push(`| ${label} | ${number(estimate.mean)} ${unit} | ${range(estimate)} |`);
    }
    for (const { against, ratio, high } of summary.retention) {
      lines.push(
        `| everyday perplexity against ${against} | × ${number(ratio)} | at most ${number(high)} |`,
      );
    }
  }
  if (summary.reasons.length > 0) lines.push('', '## The gate', '');
  for (const { rule, passes, text } of summary.reasons) {
    lines.push(`- ${passes ? 'passed' : 'FAILED'}: ${rule}: ${text}`);
  }
  if (summary.training !== null) {
    const { examples, steps, relativeNorm } = summary.training;
    const moved = (100 * relativeNorm).toFixed(2);
    lines.push('', `Trained on ${examples} examples in ${steps} steps; W_q moved by ${moved} %.`);
  }
  if (summary.back !== null) lines.push('', `To go back: \`${summary.back}\``);
  return `${lines.join('\n')}\n`;
}
