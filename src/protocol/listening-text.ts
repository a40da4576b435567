// The words for how a night listens: one table by distance, and what is said of the gap.
import { percent } from './number-text.ts';
import { pointsText } from './replies-text.ts';
import type { ArmShares, ListeningView } from './summary.ts';

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
