// Which characters of a text each token stands for; it knows bytes and text, no templates.
import type { TokenBytes } from './token-bytes.ts';

/** Character places (UTF-16, `[start, end)`) of each token; tokens that share a character overlap. */
export interface Alignment {
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

export interface AlignOptions {
  /** White space around the text that the tokens have and the text lacks is no mismatch. */
  readonly isTrimmed?: boolean;
}

/** How many bytes at the end begin a character that is not complete yet. */
function incompleteTail(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] as number;
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return length > back ? back : 0;
    }
    if (byte < 0x80) return 0;
  }
  return 0;
}

/** What tokens say together, and where in it each stands. */
export function spell(
  ids: readonly number[],
  tokens: TokenBytes,
): { text: string; place: Alignment } {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const starts: number[] = [];
  const ends: number[] = [];
  const isOpen: boolean[] = [];
  let text = '';
  let tail: Uint8Array = new Uint8Array(0);
  for (const id of ids) {
    const bytes = tokens.bytesOf(id);
    starts.push(text.length);
    text += decoder.decode(bytes, { stream: true });
    tail = Buffer.concat([tail, bytes]).subarray(-4);
    ends.push(text.length);
    isOpen.push(incompleteTail(tail) > 0);
  }
  text += decoder.decode();
  isOpen.forEach((open, index) => {
    const end = ends[index] as number;
    if (open) ends[index] = end + String.fromCodePoint(text.codePointAt(end) ?? 0).length;
  });
  return { text, place: { starts, ends } };
}

/** Places in a normalized text → places in the text, whole clusters of characters at a time. */
function clusterMap(
  text: string,
  form: 'NFC' | 'NFKC',
): { normalized: string; starts: number[]; ends: number[] } {
  const starts: number[] = [];
  const ends: number[] = [];
  let normalized = '';
  for (const { segment, index } of new Intl.Segmenter('und').segment(text)) {
    const piece = segment.normalize(form);
    for (let at = 0; at < piece.length; at++) {
      starts.push(index);
      ends.push(index + segment.length);
    }
    normalized += piece;
  }
  return { normalized, starts, ends };
}

/** Shifts places by blanks that only the tokens have, and cuts them to the text. */
function shifted(place: Alignment, shift: number, length: number): Alignment {
  const cut = (at: number): number => Math.min(length, Math.max(0, at - shift));
  return { starts: place.starts.map(cut), ends: place.ends.map(cut) };
}

/** A lone surrogate becomes U+FFFD on its way to bytes, a typed metaspace a blank. */
function asEncoded(text: string, { metaspace }: TokenBytes): string {
  const wellFormed = text.replace(/\p{Surrogate}/gu, '\uFFFD');
  return metaspace === undefined ? wellFormed : wellFormed.replaceAll(metaspace, ' ');
}

/**
 * Aligns the tokens of a text to it.
 * @returns undefined when the tokens say something else than the text (unknown characters, a
 * normalizer that loses something)
 */
export function alignTokens(
  text: string,
  ids: readonly number[],
  tokens: TokenBytes,
  { isTrimmed = false }: AlignOptions = {},
): Alignment | undefined {
  const { text: said, place } = spell(ids, tokens);
  const wellFormed = asEncoded(text, tokens);
  if (said === wellFormed) return place;
  if (said === ` ${wellFormed}`) return shifted(place, 1, text.length);
  if (isTrimmed && said.trim() === wellFormed.trim()) {
    const lead = said.length - said.trimStart().length;
    const ownLead = text.length - text.trimStart().length;
    return shifted(place, lead - ownLead, text.length);
  }
  for (const form of ['NFC', 'NFKC'] as const) {
    const map = clusterMap(wellFormed, form);
    const shift = said === ` ${map.normalized}` ? 1 : said === map.normalized ? 0 : undefined;
    if (shift === undefined) continue;
    const inner = shifted(place, shift, map.normalized.length);
    return {
      starts: inner.starts.map((at) => map.starts[at] ?? text.length),
      ends: inner.ends.map((at) => (at === 0 ? 0 : (map.ends[at - 1] ?? text.length))),
    };
  }
  return undefined;
}
