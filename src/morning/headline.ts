// The first line of a morning: what became of a night, in plain words.
import type { NightVerdict } from '../protocol/night.ts';
import { percent } from '../protocol/number-text.ts';
import type { NightSummary } from '../protocol/summary.ts';

export interface HeadlineInput extends Pick<NightSummary, 'listening' | 'reasons' | 'isOffered'> {
  readonly verdict: NightVerdict;
  readonly number: number;
}

export function headlineOf(input: HeadlineInput): string {
  const { verdict, number, listening, reasons, isOffered } = input;
  const night = `Night ${number}`;
  const numbers = listening === null ? '' : `: ${listeningLine(listening)}`;
  switch (verdict) {
    case 'nothing-to-learn':
      return `${night} had nothing to learn.`;
    case 'refused':
      return `${night} was refused by the gate: ${refusal(reasons)}.`;
    case 'awaiting-review':
      return isOffered
        ? `${night} offers itself for a day's trial${numbers}; too small a gain to be sure of.`
        : `${night} waits for you${numbers}.`;
    case 'swapped':
      return `${night} is in force${numbers}.`;
    default:
      return `${night} failed.`;
  }
}

/** `both right on 25 % of 80 judged pairs, 10 % before, 59 % when told` */
function listeningLine({ shares, pairs }: NonNullable<NightSummary['listening']>): string {
  const { untold = 0, after = 0, told } = shares;
  const ceiling = told === undefined ? '' : `, ${percent(told)} when told`;
  return `it listens in ${percent(after)} of ${pairs} judged pairs, ${percent(untold)} before${ceiling}`;
}

/** What a rule that failed means to a person, by the beginning of its name. */
const MEANINGS: readonly (readonly [string, string])[] = [
  ['finite', 'a number is not finite'],
  ['only W_q moved', 'more than W_q moved'],
  ['listening', 'listening did not gain enough'],
  ['beyond the placebo', 'it is not clear that it gained more than the placebo'],
  ['held replies, KL', 'its replies moved too far elsewhere'],
  ['held replies', 'replies elsewhere may have become worse'],
  ['perplexity', 'everyday conversation is predicted worse'],
];

/** Every rule that failed; the numbers are in the reasons below. */
function refusal(reasons: NightSummary['reasons']): string {
  const failed = reasons
    .filter(({ passes }) => !passes)
    .map(({ rule }) => MEANINGS.find(([name]) => rule.startsWith(name))?.[1] ?? rule);
  const [last = 'no reason was given', ...others] = [...new Set(failed)].reverse();
  return others.length === 0 ? last : `${others.reverse().join(', ')} and ${last}`;
}
