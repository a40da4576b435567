// Who teaches a moment: the same model, told. What it is told, and what a placebo is told instead.
import { directiveOf, restate, saidAgain } from '../scenario/directive.ts';
import type { Scenario, ScenarioMessage, TeacherWay } from '../scenario/scenario.ts';
import { featureText, type Marked } from '../scenario/span.ts';
import { contentWords, sentencesOf, wordsOf } from '../scenario/words.ts';

/** A moment before it has a reply to learn. */
export interface Moment extends Marked {
  readonly messages: readonly Readonly<ScenarioMessage>[];
}

/** What the person asked for, as it was said. */
export function directionOf(moment: Moment): string {
  return featureText(moment, 'direction').join(' ');
}

const lastOf = ({ messages }: Moment): string => messages.at(-1)?.content ?? '';

/** Why and what for, where it is known. */
export interface Told {
  /** What was wrong with the reply, in the person's words. */
  readonly reason?: string | undefined;
  /** What the person would have liked to hear. */
  readonly better?: string | undefined;
}

/** The last message as each teacher gets it. */
export function lastMessage(moment: Moment, way: TeacherWay, told: Told = {}): string {
  const last = lastOf(moment);
  const direction = directionOf(moment);
  if (way === 'restated') return restate(moment.messages, direction).at(-1)?.content ?? last;
  if (way === 'better') {
    return `${saidAgain(direction, last)}\nWhat I would like to hear: "${told.better ?? ''}"`;
  }
  const [idea] = featureText(moment, 'own-idea').slice(-1);
  const not = idea === undefined ? [] : [`Not this: "${idea}"`];
  const why = told.reason === undefined ? [] : [told.reason];
  return [saidAgain(direction, last), ...not, ...why].join('\n');
}

/** A scenario whose reply was written by somebody, as a lesson; one that has a teacher stays. */
export function asLesson(scenario: Scenario): Scenario {
  const way = 'better';
  if (scenario.teacher !== undefined) return scenario;
  return {
    ...scenario,
    teacher: { way, last: lastMessage(scenario, way, { better: scenario.chosen }) },
  };
}

/**
 * What the placebo's teacher is told again: something else that the person said in this context,
 * that directs nothing and shares no word of substance with the direction or the model's own idea;
 * nearest to the direction in length. Undefined where nothing of the kind was said.
 */
export function placeboSentence(moment: Moment): string | undefined {
  const direction = directionOf(moment);
  const matter = [direction, ...featureText(moment, 'own-idea')];
  const taken = new Set(contentWords(matter.join(' ')).map(({ text }) => text));
  const isApart = (sentence: string): boolean =>
    wordsOf(sentence).length > 1 &&
    directiveOf(sentence) === undefined &&
    !contentWords(sentence).some(({ text }) => taken.has(text));
  const said = moment.messages.flatMap(({ role, content }, index) => {
    if (role !== 'user') return [];
    const isLast = index === moment.messages.length - 1;
    // The last message is said in any case: again it would be said three times.
    return isLast ? [] : sentencesOf(content);
  });
  const off = (text: string): number => Math.abs(text.length - direction.length);
  return said.filter(isApart).sort((a, b) => off(a) - off(b))[0];
}

/** The last message with that sentence said again. */
export function placeboMessage(moment: Moment): string | undefined {
  const sentence = placeboSentence(moment);
  return sentence && restate(moment.messages, sentence).at(-1)?.content;
}
