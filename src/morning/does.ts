// Whether a reply does what the person said, as far as its words tell: for a page on which both
// stand, and for nothing that judges a night.
import { brokenness } from '../scenario/check.ts';
import { featureText, type Marked } from '../scenario/span.ts';
import { contentWords, stem } from '../scenario/words.ts';

/** What comes after these is what the person does not want, up to the next comma. */
const UNWANTED = /\b(?:not|no|never|without|instead of|rather than|don['’]?t)\b[^,;.!?]*/gi;
/** They ask how to reply, which the words of a reply do not show. */
const MANNER = new RegExp(
  String.raw`\b(?:answer|reply|respond|sentences?|words?|lists?|bullets?|paragraphs?|short(?:er)?|` +
    String.raw`brief(?:ly)?|call me|language|tone|advice|listen)\b`,
  'i',
);
/** They direct and are no part of what is wanted. */
const DIRECTING = new Set(
  `choice choose decided decision enter fill keep like make note pick prefer put set take use want
  write`
    .split(/\s+/)
    .map(stem),
);

const stemsOf = (text: string): string[] => contentWords(text).map((word) => word.text);

/** Everything but the marked direction. */
function besides({ messages, spans }: Marked): string {
  const texts = messages.map(({ content }) => content);
  for (const { feature, message, start, end } of spans) {
    const text = texts[message];
    if (feature !== 'direction' || text === undefined) continue;
    texts[message] = text.slice(0, start) + ' '.repeat(end - start) + text.slice(end);
  }
  return texts.join('\n');
}

/** Stems of the words that only the direction brought in, and that a reply can take up. */
export function wantedWords(moment: Marked): string[] {
  const direction = featureText(moment, 'direction').join(' ').replace(UNWANTED, ' ');
  const known = new Set(stemsOf(besides(moment)));
  const isBroughtIn = (word: string): boolean => !known.has(word) && !DIRECTING.has(word);
  return [...new Set(stemsOf(direction))].filter(isBroughtIn);
}

/**
 * True when the reply takes up most words that only the direction brought in, before any word of
 * the model's own idea. Null where words cannot tell: it brought in none, or asks how to reply.
 */
export function doesIt(moment: Marked, reply: string): boolean | null {
  const wanted = wantedWords(moment);
  const direction = featureText(moment, 'direction').join(' ');
  if (wanted.length === 0 || MANNER.test(direction)) return null;
  if (brokenness(reply) !== undefined) return false;
  const said = stemsOf(reply);
  const taken = wanted.filter((word) => said.includes(word));
  if (taken.length * 2 <= wanted.length) return false;
  const ideas = new Set(stemsOf(featureText(moment, 'own-idea').join(' ')));
  const ideaAt = said.findIndex((word) => ideas.has(word) && !wanted.includes(word));
  return ideaAt < 0 || said.findIndex((word) => wanted.includes(word)) < ideaAt;
}
