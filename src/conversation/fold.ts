// Text as a search compares it: whatever its normal form, its case, its accents and its blanks.

/** Accents, umlauts and the like; marks that make another letter stay. */
const ACCENTS = /[\u0300-\u036f]+/g;

/** Composed letters and compatibility forms are taken apart; ß is ss, a final sigma a sigma. */
export function fold(text: string): string {
  const letters = text.normalize('NFKD').replace(ACCENTS, '').toUpperCase().toLowerCase();
  return letters.replaceAll('ς', 'σ').replace(/\s+/g, ' ');
}

/** A run of blanks, or a letter with its marks. */
const LETTER = /\s+|[^\s\p{M}]\p{M}*|\p{M}+/gu;

/** `[start, end)` in the text as it is, in UTF-16 code units, where a folded query first stands. */
export function findFolded(
  text: string,
  query: string,
): { readonly start: number; readonly end: number } | undefined {
  // Most texts are done with here.
  if (query === '' || !fold(text).includes(query)) return undefined;
  let folded = '';
  /** Where each character of the folded text begins and ends in the text. */
  const starts: number[] = [];
  const ends: number[] = [];
  for (const { 0: part, index } of text.matchAll(LETTER)) {
    const own = fold(part);
    folded += own;
    for (let at = 0; at < own.length; at++) {
      starts.push(index);
      ends.push(index + part.length);
    }
  }
  const at = folded.indexOf(query);
  const end = ends[at + query.length - 1];
  return at < 0 || end === undefined ? undefined : { start: starts[at] as number, end };
}
