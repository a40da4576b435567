// What the person decided for, as the direction names it.
import { featureText, type Marked } from './span.ts';
import { contentWords } from './words.ts';

/** Words of deciding: they say that something was chosen, and never what. */
const DECIDING =
  /^(?:bought|buy|choos|chose|decid|final|giv|going|have|like|need|pick|plan|prefer|settl|stay|stick|tak|tickets?|us(?:e|ing)|vot|want|went)/i;
/** What comes after these is what the person does not want, up to the next stop. */
export const UNWANTED = /\b(?:not|no|never|without|instead of|rather than|don['’]?t)\b[^,;.!?]*/gi;

/**
 * The longest run of words of the direction that are neither of deciding nor in the last message or
 * the model's own idea. Undefined: there is none.
 * @param isNamed which runs count; all by default
 */
export function thingOf(
  moment: Marked,
  isNamed: (phrase: string) => boolean = () => true,
): string | undefined {
  const { messages, spans } = moment;
  const direction = featureText(moment, 'direction').join('. ');
  const directed = spans.findLast(({ feature }) => feature === 'direction')?.message;
  const asked = directed === messages.length - 1 ? '' : (messages.at(-1)?.content ?? '');
  const taken = [asked, ...featureText(moment, 'own-idea')].join(' ');
  const others = new Set(contentWords(taken).map(({ text }) => text));
  const isOwn = (word: string): boolean => {
    const [content] = contentWords(word);
    return content !== undefined && !others.has(content.text) && !DECIDING.test(word);
  };
  let longest: string | undefined;
  for (const phrase of direction.replace(UNWANTED, '.').split(/[^\p{L}\p{N}'’ -]+/u)) {
    let run: string[] = [];
    for (const word of phrase.trim().split(/\s+/)) {
      const longer = [...run, word];
      if (!isOwn(word)) run = [];
      else if (isNamed(longer.join(' '))) run = longer;
      else run = isNamed(word) ? [word] : [];
      const text = run.join(' ');
      if (run.length > 0 && text.length >= (longest?.length ?? 0)) longest = text;
    }
  }
  return longest;
}
