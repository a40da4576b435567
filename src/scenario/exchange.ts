// Two words exchanged throughout a text: what makes the two sides of a crossed pair.
import type { Span } from './span.ts';

const escaped = (value: string): string => value.replace(/[$()*+.?[\\\]^{|}]/g, '\\$&');

/** The value as a word of its own: 4 is neither in 14 nor in 4:30 nor in 4.5. */
const pattern = (...values: readonly string[]): RegExp =>
  new RegExp(`(?<![\\w:$]|\\d[.,])(?:${values.map(escaped).join('|')})(?![\\w:]|[.,]\\d)`, 'gi');

/** The value stands in the text as a word of its own. */
export const mentions = (text: string, value: string): boolean => pattern(value).test(text);

export interface Exchanged {
  readonly text: string;
  /** Where a place of the text has gone. */
  moved(at: number): number;
}

/** Each of the two in the place of the other. Capitals at the beginning of a sentence stay. */
export function exchange(text: string, one: string, other: string): Exchanged {
  const places: { end: number; shift: number }[] = [];
  const isOne = (found: string): boolean => found.toLowerCase() === one.toLowerCase();
  const changed = text.replace(pattern(one, other), (found, at: number) => {
    const value = isOne(found) ? other : one;
    const put = /^\p{Lu}/u.test(found) ? value.charAt(0).toUpperCase() + value.slice(1) : value;
    places.push({ end: at + found.length, shift: put.length - found.length });
    return put;
  });
  return {
    text: changed,
    // A mark begins and ends outside of values, or exactly at their edges.
    moved: (at) => places.reduce((sum, { end, shift }) => (end <= at ? sum + shift : sum), at),
  };
}

/** The words by which two phrases differ: leek and lentil of "leek soup" and "lentil soup". */
export function apart(one: string, other: string): readonly [string, string] | undefined {
  const [a, b] = [one.trim().split(/\s+/), other.trim().split(/\s+/)];
  const isSame = (x = '', y = ''): boolean => x.toLowerCase() === y.toLowerCase();
  while (a.length > 0 && b.length > 0 && isSame(a[0], b[0])) {
    a.shift();
    b.shift();
  }
  while (a.length > 0 && b.length > 0 && isSame(a.at(-1), b.at(-1))) {
    a.pop();
    b.pop();
  }
  return a.length === 0 || b.length === 0 ? undefined : [a.join(' '), b.join(' ')];
}

/** Messages in which two texts are exchanged throughout; spans stay on the same words. */
export function exchangeAll<M extends { readonly content: string }, S extends Span>(
  { messages, spans }: { readonly messages: readonly M[]; readonly spans: readonly S[] },
  one: string,
  other: string,
): { messages: M[]; spans: S[] } {
  const exchanged = messages.map(({ content }) => exchange(content, one, other));
  return {
    messages: messages.map((message, at) => ({ ...message, content: exchanged[at]?.text ?? '' })),
    spans: spans.map((span) => ({
      ...span,
      start: exchanged[span.message]?.moved(span.start) ?? span.start,
      end: exchanged[span.message]?.moved(span.end) ?? span.end,
    })),
  };
}
