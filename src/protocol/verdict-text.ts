// What a night came to, in the sentences that a person decides by; the same words everywhere.
import { percent } from './number-text.ts';
import type { NightSummary } from './summary.ts';

type Came = Pick<NightSummary, 'flagged' | 'listening' | 'reasons'>;

/** `use`: it is better. `try`: too little is known. `leave`: it is not shown to be better, or costs something. */
export type Advice = 'use' | 'try' | 'leave';

interface Yours {
  readonly moments: number;
  readonly before: number;
  readonly after: number;
}

/** The person's moments that can be read; null where nobody can say. */
function yoursOf({ flagged }: Came): Yours | null {
  const read = flagged.flatMap(({ does }) => does ?? []);
  if (read.length === 0) return null;
  const count = (when: 'before' | 'after'): number => read.filter((one) => one[when]).length;
  return { moments: read.length, before: count('before'), after: count('after') };
}

/** "In 7 of your 9 moments it now does what you said (2 before)." Empty where nothing was seen. */
export function changeText(came: Came): string {
  const yours = yoursOf(came);
  if (yours !== null) {
    const { moments, before, after } = yours;
    if (moments > 1) {
      return `In ${after} of your ${moments} moments it now does what you said (${before} before).`;
    }
    const did = before === 1;
    if (after === 1) return `In your moment it ${did ? 'still' : 'now'} does what you said.`;
    return `In your moment it ${did ? 'no longer does' : 'still does not do'} what you said.`;
  }
  if (came.listening === null) return '';
  const { shares, pairs } = came.listening;
  const { untold = 0, after = 0 } = shares;
  return `In ${percent(after)} of ${pairs} tests it does what was asked (${percent(untold)} before).`;
}

const isElsewhere = ({ rule }: NightSummary['reasons'][number]): boolean =>
  /^(?:held replies|perplexity)/.test(rule);

/** Empty where it was not measured. */
export function elsewhereText({ reasons }: Came): string {
  const rules = reasons.filter(isElsewhere);
  if (rules.length === 0) return '';
  return rules.every(({ passes }) => passes)
    ? 'Everyday conversation is unchanged.'
    : 'Everyday conversation may have become worse.';
}

/** What a rule that failed means to a person, by the beginning of its name. */
const MEANINGS: readonly (readonly [string, string])[] = [
  ['finite', 'its numbers are damaged'],
  ['only W_q moved', 'more changed than may change'],
  ['listening', 'tests do not show that it listens better'],
  ['beyond the placebo', 'a training without your words did about as much'],
  ['held replies', 'other replies may have become worse'],
  ['perplexity', 'everyday conversation may have become worse'],
];

/** Why it should be left, in plain words, each once; the numbers are in the reasons. */
export function againstReasons({ reasons }: Pick<Came, 'reasons'>): string[] {
  const failed = reasons
    .filter(({ passes }) => !passes)
    .map(({ rule }) => MEANINGS.find(([name]) => rule.startsWith(name))?.[1] ?? rule);
  return [...new Set(failed)];
}

/** The same as one clause; empty where every rule held. */
export function againstText(came: Pick<Came, 'reasons'>): string {
  const [last, ...others] = againstReasons(came).reverse();
  if (last === undefined) return '';
  return others.length === 0 ? last : `${others.reverse().join(', ')} and ${last}`;
}

/** @param isVeto the person preferred the old replies without knowing which they were */
export function adviceOf(
  came: Came & Pick<NightSummary, 'isOffered'>,
  { isVeto = false } = {},
): Advice {
  const yours = yoursOf(came);
  const isWorse = yours !== null && yours.after < yours.before;
  const passes = came.reasons.length > 0 && came.reasons.every((reason) => reason.passes);
  if (isVeto || (isWorse && !passes)) return 'leave';
  if (came.isOffered || isWorse) return 'try';
  return passes ? 'use' : 'leave';
}

/** "Recommended: use it." and why. */
export function adviceText(
  came: Came & Pick<NightSummary, 'isOffered'>,
  options: { readonly isVeto?: boolean } = {},
): string {
  switch (adviceOf(came, options)) {
    case 'use':
      return 'Recommended: use it.';
    case 'try':
      return came.isOffered
        ? 'Too few flags to be sure. Recommended: try it today.'
        : 'The tests are better, your moments are not. Recommended: try it today.';
    default: {
      if (options.isVeto) return 'You preferred the old replies. Recommended: leave it.';
      const why = againstText(came);
      if (why === '') return 'Recommended: leave it.';
      return `Recommended: leave it, because ${why}.`;
    }
  }
}
