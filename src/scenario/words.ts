// Words of a text, the ones that carry content, and where phrases stand; no judgement in here.
import { phrases } from './phrases.ts';

/** A word and the position of its first character. */
export interface Word {
  readonly text: string;
  readonly at: number;
}

const stopWords: ReadonlySet<string> = new Set(phrases.stopWords);

/** All words in lower case; apostrophes stay inside a word. */
export function wordsOf(text: string): Word[] {
  const normal = text.replaceAll('’', "'").toLowerCase();
  return [...normal.matchAll(/[\p{L}\p{N}]+(?:'[\p{L}]+)*/gu)].map((match) => ({
    text: match[0],
    at: match.index,
  }));
}

/** Words that carry content, cut to a crude stem so that "tables" meets "table". */
export function contentWords(text: string): Word[] {
  return wordsOf(text)
    .filter((word) => !stopWords.has(word.text))
    .map((word) => ({ text: stem(word.text), at: word.at }));
}

/** A light stem: possessive, plural, -ing and -ed endings of longer words. */
export function stem(word: string): string {
  const bare = word.replace(/'s$/, '');
  if (bare.length > 5 && bare.endsWith('ing')) return undouble(bare.slice(0, -3));
  if (bare.length > 4 && bare.endsWith('ied')) return `${bare.slice(0, -3)}y`;
  if (bare.length > 4 && bare.endsWith('ed')) return undouble(bare.slice(0, -2));
  if (bare.length > 4 && bare.endsWith('ies')) return `${bare.slice(0, -3)}y`;
  if (bare.length > 4 && /(?:s|x|z|ch|sh)es$/.test(bare)) return bare.slice(0, -2);
  if (bare.length > 3 && bare.endsWith('s') && !bare.endsWith('ss'))
    return dropE(bare.slice(0, -1));
  return dropE(bare);
}

const undouble = (root: string): string => root.replace(/([bdgmnprt])\1$/, '$1');
const dropE = (root: string): string => (root.length > 3 ? root.replace(/e$/, '') : root);

/** Position of the first of `phrases` (whole words, any case), or −1. */
export function firstPhrase(text: string, phrases: readonly string[]): number {
  const joined = ` ${wordsOf(text)
    .map((word) => word.text)
    .join(' ')} `;
  const hits = phrases
    .map((phrase) => joined.indexOf(` ${normalPhrase(phrase)} `))
    .filter((index) => index >= 0);
  return hits.length === 0 ? -1 : Math.min(...hits);
}

export function hasPhrase(text: string, phrases: readonly string[]): boolean {
  return firstPhrase(text, phrases) >= 0;
}

function normalPhrase(phrase: string): string {
  return wordsOf(phrase)
    .map((word) => word.text)
    .join(' ');
}

/** Sentences, with their punctuation. */
export function sentencesOf(text: string): string[] {
  return (text.match(/[^.!?\n]+[.!?]*/g) ?? []).map((s) => s.trim()).filter((s) => /\w/.test(s));
}
