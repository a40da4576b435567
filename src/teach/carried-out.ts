// Whether a reply carries a direction out, by its words: chooses teachers, and judges no night.
import { brokenness } from '../scenario/kind.ts';
import { featureText, type Marked } from '../scenario/span.ts';
import { contentWords } from '../scenario/words.ts';

const stemsOf = (text: string): string[] => contentWords(text).map((word) => word.text);

/**
 * A reply takes up a word of the direction before any word of the model's own idea. Where the
 * direction has no words but those of the idea (it only declines it), the reply has none of them.
 * Where nothing can be told by words (no idea is marked, and none of the direction's words is to be
 * expected in a reply), any whole reply will do.
 */
export function carriesOut(moment: Marked, reply: string): boolean {
  if (brokenness(reply) !== undefined) return false;
  const ideas = new Set(stemsOf(featureText(moment, 'own-idea').join(' ')));
  const wanted = new Set(
    stemsOf(featureText(moment, 'direction').join(' ')).filter((stem) => !ideas.has(stem)),
  );
  const said = stemsOf(reply);
  const ideaAt = said.findIndex((stem) => ideas.has(stem));
  const wantedAt = said.findIndex((stem) => wanted.has(stem));
  if (wantedAt >= 0) return ideaAt < 0 || wantedAt < ideaAt;
  return wanted.size === 0 && ideaAt < 0;
}
