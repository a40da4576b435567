// Lessons of crossed pairs: a reply and the same with two words exchanged stand against each other
// in two conversations, in which opposite ones are right. What both have in common teaches nothing.
import { apart, exchange, exchangeAll } from '../scenario/exchange.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { lastMessage, placeboMessage } from './teacher.ts';

/**
 * Both sides of a pair out of the lesson of one: its reply against the exchanged one, and the same
 * in the conversation of its twin, which the same teacher teaches. Undefined where the reply does
 * not name what was asked for, or would not be English with the other word.
 */
export function crossLesson(
  lesson: Scenario,
  twin: Scenario,
): readonly [Scenario, Scenario] | undefined {
  const { chosen, teacher } = lesson;
  const drifted = exchanged(chosen, lesson, twin);
  if (teacher === undefined || drifted === undefined) return undefined;
  const { way } = teacher;
  const { placebo: _, ...other } = twin;
  const last = placeboMessage(twin);
  return [
    { ...lesson, rejected: drifted },
    {
      ...other,
      chosen: drifted,
      rejected: chosen,
      teacher: { way, last: lastMessage(twin, way, { better: drifted }) },
      ...(last !== undefined && { placebo: { last, reply: drifted } }),
    },
  ];
}

/**
 * A moment of a conversation as one side of a pair: the other side is the same conversation with
 * what the person chose and something else exchanged throughout.
 */
export function withTwin(
  lesson: Scenario,
  thing: string,
  other: string,
): readonly [Scenario, Scenario] {
  const { chosen, teacher: _, placebo: __, rejected: ___, id, ...rest } = lesson;
  const twin: Scenario = {
    ...rest,
    id: `${id}-twin`,
    chosen,
    ...exchangeAll(lesson, thing, other),
    facts: { ...rest.facts, needs: [[other]] },
    pair: { id, side: 'b' },
  };
  const facts = { ...rest.facts, needs: [[thing]] };
  return [{ ...lesson, facts, pair: { id, side: 'a' } }, twin];
}

/** A lesson in which one of two replies is chosen. */
export const isCrossed = ({ pair, rejected, teacher }: Scenario): boolean =>
  pair !== undefined && rejected !== undefined && teacher !== undefined;

const needOf = ({ facts }: Scenario): string => facts?.needs?.[0]?.[0] ?? '';

/** Undefined also where "an" would stand before "leek". */
function exchanged(reply: string, lesson: Scenario, twin: Scenario): string | undefined {
  const [wish, other] = apart(needOf(lesson), needOf(twin)) ?? [];
  if (wish === undefined || other === undefined) return undefined;
  const { text } = exchange(reply, wish, other);
  const isVowel = (word: string): boolean => /^[aeiou]/i.test(word);
  const isAfterArticle = exchange(reply, `a ${wish}`, `an ${wish}`).text !== reply;
  if (text === reply || (isAfterArticle && isVowel(wish) !== isVowel(other))) return undefined;
  return text;
}
