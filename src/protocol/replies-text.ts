// The words for a night's checked replies, the same in Markdown, in a terminal and on the page.
import { percent, signed } from './number-text.ts';
import type { EstimateView, RepliesView } from './summary.ts';

const points = (share: number): string => signed(Math.round(100 * share), 0);

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
  if (replies.held !== null) {
    const { replies: count, held } = replies;
    return (
      `of ${count} replies that must not become worse, ${heldText(held)}; ` +
      `at most ${percent(Math.max(0, held.lossBound), 1)} worse (upper bound)`
    );
  }
  const placebo = replies.deaf === null ? '' : `, placebo ${percent(replies.deaf)}`;
  const counted = `${beforeAfter(replies)} (n ${replies.replies}${placebo})`;
  return `replies that pass their check: ${counted}; ${pointsText(replies.change)}`;
}

/** `80 are the same to the token, 1 better, 2 worse` */
export const heldText = ({ same, won, lost }: NonNullable<RepliesView['held']>): string =>
  `${same} are the same to the token, ${won} better, ${lost} worse`;

/** Stands beside the numbers wherever they are shown. */
export const repliesMethod = ({ held }: RepliesView): string =>
  held === null
    ? 'Greedy replies to test conversations and held-back flags, checked by fixed rules. ' +
      'They judge nothing: the gate reads margins.'
    : 'Greedy replies to moments that nothing trained on, checked by fixed rules. All but ' +
      '“listen” must not become worse; the gate judges them together.';
