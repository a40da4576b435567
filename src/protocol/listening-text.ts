// The words for how a night listens and replies: tables, lines, and what is said of the gap.
import { percent, signed } from './number-text.ts';
import type { ArmShares, EstimateView, ListeningView, RepliesView } from './summary.ts';

/** In the order of the columns. */
export const ARM_LABELS = {
  untold: 'before',
  rule: 'restated by rule',
  after: 'after',
  told: 'told',
  placebo: 'placebo',
} as const satisfies Record<keyof ArmShares, string>;

export const ARM_NAMES = Object.keys(ARM_LABELS) as (keyof ArmShares)[];

/** The arms that were measured. */
export const armsOf = ({ shares }: ListeningView): (keyof ArmShares)[] =>
  ARM_NAMES.filter((arm) => shares[arm] !== undefined);

export interface ListeningRow {
  readonly label: string;
  readonly pairs: number;
  /** `25 %`, one for each arm that was measured. */
  readonly shares: readonly string[];
}

/** One row for each distance, then all pairs. */
export function listeningRows(listening: ListeningView): ListeningRow[] {
  const arms = armsOf(listening);
  const row = (label: string, { pairs, shares }: Pick<ListeningView, 'pairs' | 'shares'>) => ({
    label,
    pairs,
    shares: arms.map((arm) => percent(shares[arm] ?? 0)),
  });
  return [
    ...listening.byDistance.map((one) => row(distanceText(one.distance), one)),
    row('all', listening),
  ];
}

const distanceText = (distance: string): string =>
  distance === '0' ? 'none' : distance === '1' ? '1 turn' : `${distance} turns`;

/** Of the first column. */
export const DISTANCE_LABEL = 'between direction and question';

/** `right on both sides: +15 points …; 13 pairs won, 1 lost; 31 % of the gap to told … is closed` */
export function listeningText({ change, won, lost, gap, gapClosed }: ListeningView): string {
  const closes =
    gapClosed === null
      ? 'the gap to told is too small to measure'
      : `${percent(Math.max(0, gapClosed))} of the gap to told (${pointsText(gap)}) is closed`;
  return `right on both sides: ${pointsText(change)}; ${won} pairs won, ${lost} lost; ${closes}`;
}

/** What the pairs are; stands beside the table. */
export const LISTENING_METHOD =
  'Two moments with the same beginnings of a reply, of which the opposite one is right in each. A ' +
  'pair counts when the model prefers the right one in both: whoever does not read gets 0 %.';

// The words for a night's checked replies, the same in Markdown, in a terminal and on the page.

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
