// Where each character of a rendered text stands in the source it was made from.

/** A text, and for each of its UTF-16 units the offset in the source. */
export interface Piece {
  readonly text: string;
  readonly at: readonly number[];
}

export const wholeOf = (text: string): Piece => ({
  text,
  at: Array.from({ length: text.length }, (_, i) => i),
});

const slice = (piece: Piece, from: number, to: number): Piece => ({
  text: piece.text.slice(from, to),
  at: piece.at.slice(from, to),
});

export interface Found {
  readonly piece: Piece;
  /** False: the text is not the source's (an escape), so its place is only about right. */
  readonly isExact: boolean;
  /** Where the search goes on. */
  readonly next: number;
}

/**
 * Finds `inner` in `outer` from `from` on. Where marks were taken off the beginning of lines (a
 * quote, an item of a list, indented code) each line is found by itself.
 */
export function findIn(outer: Piece, inner: string, from: number): Found {
  const start = outer.text.indexOf(inner, from);
  if (start >= 0) {
    const next = start + inner.length;
    return { piece: slice(outer, start, next), isExact: true, next };
  }
  return byLine(outer, inner, from) ?? about(outer, inner, from);
}

function byLine(outer: Piece, inner: string, from: number): Found | undefined {
  const at: number[] = [];
  let cursor = from;
  for (const [index, line] of inner.split('\n').entries()) {
    if (index > 0) {
      const lineBreak = outer.text.indexOf('\n', cursor);
      if (lineBreak < 0) return undefined;
      at.push(outer.at[lineBreak] as number);
      cursor = lineBreak + 1;
    }
    const start = startOfLine(outer.text, line, cursor);
    if (start === undefined) return undefined;
    at.push(...outer.at.slice(start, start + line.length));
    cursor = start + line.length;
  }
  return { piece: { text: inner, at }, isExact: true, next: cursor };
}

/** What is left of a line stands at its end: the marks came first. */
function startOfLine(text: string, line: string, from: number): number | undefined {
  const lineBreak = text.indexOf('\n', from);
  const end = lineBreak < 0 ? text.length : lineBreak;
  const start = text.slice(from, end).lastIndexOf(line);
  return start < 0 ? undefined : from + start;
}

function about(outer: Piece, inner: string, from: number): Found {
  const last = Math.max(0, outer.at.length - 1);
  const at = Array.from(
    { length: inner.length },
    (_, i) => outer.at[Math.min(from + i, last)] ?? 0,
  );
  const next = Math.min(from + inner.length, outer.text.length);
  return { piece: { text: inner, at }, isExact: false, next };
}

/** The piece in runs that stand together in the source. */
export function runsOf(piece: Piece): { text: string; start: number }[] {
  const runs: { text: string; start: number }[] = [];
  let from = 0;
  for (let i = 1; i <= piece.at.length; i += 1) {
    if (i < piece.at.length && piece.at[i] === (piece.at[i - 1] as number) + 1) continue;
    runs.push({ text: piece.text.slice(from, i), start: piece.at[from] as number });
    from = i;
  }
  return runs;
}
