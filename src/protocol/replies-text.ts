// The words for a night's checked replies, the same in Markdown, in a terminal and on the page.
import type { EstimateView, RepliesView } from './summary.ts';

export const percent = (share: number): string => `${Math.round(100 * share)} %`;

function points(share: number): string {
  const rounded = Math.round(100 * share);
  if (rounded === 0) return '0';
  return `${rounded < 0 ? '−' : '+'}${Math.abs(rounded)}`;
}

/** `42 % → 50 %` */
export const beforeAfter = ({ before, after }: Pick<RepliesView, 'before' | 'after'>): string =>
  `${percent(before)} → ${percent(after)}`;

/** The change in percentage points with its interval, as far as it is known. */
export function pointsText({ mean, low, high }: EstimateView): string {
  if (mean === null) return 'not known';
  if (low === null || high === null) return `${points(mean)} points, too few sources for more`;
  return `${points(mean)} points, 95 % ${points(low)} to ${points(high)}`;
}

/** One line: what was counted, and how many. */
export function repliesLine(replies: RepliesView): string {
  const deaf = replies.deaf === null ? '' : `, deaf arm ${percent(replies.deaf)}`;
  const counted = `${beforeAfter(replies)} (n ${replies.replies}${deaf})`;
  return `replies that pass their check: ${counted}; ${pointsText(replies.change)}`;
}

/** Stands beside the numbers wherever they are shown. */
export const REPLIES_JUDGE_NOTHING =
  'Greedy first takes to test conversations and held-back flags, checked by fixed rules. ' +
  'They judge nothing: the gate reads margins.';
