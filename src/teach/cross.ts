// Lessons of crossed pairs: a reply and the same with two words exchanged stand against each other
// in two conversations, in which opposite ones are right. What both have in common teaches nothing.
import { apart, exchange } from '../scenario/exchange.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { lastMessage, placeboMessage } from './teacher.ts';

/**
 * Each lesson whose pair's other side is among `moments`, and whose reply names what was asked for,
 * becomes two: its reply against the exchanged one, and the same in the other conversation. All
 * others stay as they are.
 * @param moments what lessons were looked for in, also where nobody taught them
 */
export function crossLessons(
  lessons: readonly Scenario[],
  moments: readonly Scenario[],
): Scenario[] {
  const sides = new Map(
    moments.flatMap((one) => (one.pair === undefined ? [] : [[keyOf(one.pair), one]])),
  );
  return lessons.flatMap((lesson) => {
    const { pair, chosen, teacher } = lesson;
    if (pair === undefined || teacher === undefined) return [lesson];
    const twin = sides.get(keyOf({ id: pair.id, side: pair.side === 'a' ? 'b' : 'a' }));
    const drifted = twin && exchanged(chosen, lesson, twin);
    if (twin === undefined || drifted === undefined) return [lesson];
    const last = lastMessage(twin, teacher.way);
    const placebo = placeboMessage(twin);
    return [
      { ...lesson, rejected: drifted },
      {
        ...twin,
        id: `${twin.id}-crossed`,
        chosen: drifted,
        rejected: chosen,
        teacher: { way: teacher.way, last },
        ...(placebo !== undefined && { placebo: { last: placebo, reply: drifted } }),
      },
    ];
  });
}

/** A lesson in which one of two replies is chosen. */
export const isCrossed = ({ pair, rejected, teacher }: Scenario): boolean =>
  pair !== undefined && rejected !== undefined && teacher !== undefined;

const keyOf = ({ id, side }: NonNullable<Scenario['pair']>): string => `${id} ${side}`;

const needOf = ({ facts }: Scenario): string => facts?.needs?.[0]?.[0] ?? '';

/** Undefined where the reply does not name what was asked for, or "an" would stand before "leek". */
function exchanged(reply: string, lesson: Scenario, twin: Scenario): string | undefined {
  const [wish, other] = apart(needOf(lesson), needOf(twin)) ?? [];
  if (wish === undefined || other === undefined) return undefined;
  const { text } = exchange(reply, wish, other);
  const isVowel = (word: string): boolean => /^[aeiou]/i.test(word);
  const hasArticle = new RegExp(`\\ban? ${other.slice(0, 1)}`, 'i').test(text);
  if (text === reply || (hasArticle && isVowel(wish) !== isVowel(other))) return undefined;
  return text;
}
