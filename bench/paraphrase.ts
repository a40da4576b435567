// The same direction in other words, by script: what a night could do without dreaming.
import type { Random } from '../src/base/random.ts';
import { parseScenario, type Scenario } from '../src/scenario/scenario.ts';

const EXCHANGES: readonly (readonly [RegExp, string])[] = [
  [/\bI'd like\b/g, 'I would like'],
  [/\bI would like\b/g, 'I want'],
  [/\bI want\b/g, 'I would prefer'],
  [/\bcan you\b/gi, 'could you'],
  [/\bcould you\b/gi, 'would you'],
  [/\bdon't\b/gi, 'do not'],
  [/\bdo not\b/gi, "don't"],
  [/\bI'm\b/g, 'I am'],
  [/\bthat's\b/gi, 'that is'],
  [/\bit's\b/gi, 'it is'],
  [/\bno thanks\b/gi, 'no, thank you'],
  [/\bno\b/gi, 'nope'],
  [/\byes\b/gi, 'yeah'],
  [/\bactually\b/gi, 'in fact'],
  [/\binstead\b/gi, 'rather'],
];
const OPENINGS = ['Well, ', 'Hm. ', 'Okay. ', 'Listen, ', 'Oh, ', 'So, '];
/** Of the exchanges that fit, so many are made. */
const SHARE = 0.6;

/** The last turn reworded; its direction is the whole turn. */
export function paraphrase(scenario: Scenario, random: Random): Scenario {
  const last = scenario.messages.length - 1;
  let content = scenario.messages[last]?.content ?? '';
  for (const [words, others] of EXCHANGES) {
    if (random.uniform() < SHARE) content = content.replace(words, others);
  }
  content = `${random.pick(OPENINGS)}${content}`;
  const messages = scenario.messages.map((message, at) =>
    at === last ? { ...message, content } : message,
  );
  const spans = scenario.spans.filter(({ message }) => message !== last);
  return parseScenario({
    ...scenario,
    id: `${scenario.id}~paraphrase`,
    messages,
    spans: [...spans, { feature: 'direction', message: last, start: 0, end: content.length }],
  });
}
