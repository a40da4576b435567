// Recognises words that were said before: what begins with the words of another conversation is a
// copy, and what the person decided about the first holds for it as well.
import { createHash } from 'node:crypto';
import { fold } from './fold.ts';
import type { Entry } from './state.ts';

/** Shorter messages are said in many conversations. */
const CHARACTERS_MIN = 16;
/** Characters of a hash, 48 bits. */
const WIDTH = 8;

/** The hash of a message; empty where it is too short to be recognised. */
export function wordHash(text: string): string {
  const folded = fold(text).trim();
  if (folded.length < CHARACTERS_MIN) return '';
  return createHash('sha256').update(folded).digest('base64url').slice(0, WIDTH);
}

const known = new WeakMap<readonly Entry[], { readonly count: number; readonly words: string }>();

/** Hashes of all messages, one after the other; what was hashed before is not hashed again. */
export function wordsOf(entries: readonly Entry[], upTo = entries.length): string {
  const { count, words } = known.get(entries) ?? { count: 0, words: '' };
  if (count >= upTo) return words;
  const grown =
    words +
    entries
      .slice(count, upTo)
      .map(({ text }) => wordHash(text))
      .join('');
  known.set(entries, { count: upTo, words: grown });
  return grown;
}

/** How many of the messages behind `words` are among these hashes. */
export function countShared(words: string, hashes: ReadonlySet<string>): number {
  let shared = 0;
  for (let at = 0; at < words.length; at += WIDTH) {
    if (hashes.has(words.slice(at, at + WIDTH))) shared++;
  }
  return shared;
}
