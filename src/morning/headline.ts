// The first line of a morning: what became of a night, in plain words.
import type { NightVerdict } from '../protocol/night.ts';
import { signed } from '../protocol/number-text.ts';
import type { NightSummary } from '../protocol/summary.ts';
import type { NightMeasures } from '../record/phase-result.ts';

export interface HeadlineInput {
  readonly verdict: NightVerdict;
  readonly number: number;
  readonly measured: NightMeasures | undefined;
  /** The gate's, passed or not. */
  readonly reasons: NightSummary['reasons'];
}

export function headlineOf({ verdict, number, measured, reasons }: HeadlineInput): string {
  const night = `Night ${number}`;
  const margin = measured?.measures.gate.margin.mean ?? 0;
  const beyond = measured?.measures.realMinusDeaf?.mean;
  const numbers =
    `listening margin ${signed(margin)} nats a token` +
    (beyond === undefined ? '' : `, ${signed(beyond)} beyond the placebo`);
  switch (verdict) {
    case 'nothing-to-learn':
      return `${night} had nothing to learn from.`;
    case 'refused':
      return `${night} was refused by the gate: ${refusal(reasons)}.`;
    case 'awaiting-review':
      return `${night} waits for you: ${numbers}.`;
    case 'swapped':
      return `${night} is in force: ${numbers}.`;
    default:
      return `${night} failed.`;
  }
}

/** What a rule that failed means to a person, by the beginning of its name. */
const MEANINGS: readonly (readonly [string, string])[] = [
  ['finite', 'a number is not finite'],
  ['only W_q moved', 'more than W_q moved'],
  ['sources', 'it learnt from too few sources'],
  ['margin', 'listening did not gain enough'],
  ['real −', 'the placebo gained as much'],
  ['listening elsewhere', 'listening in other words may have suffered'],
  ['push-back', 'push-back may have suffered'],
  ['invite', 'ideas that are asked for may have suffered'],
  ['ordinary', 'everyday turns may have suffered'],
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
