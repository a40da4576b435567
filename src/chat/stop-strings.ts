// Finds stop strings in text that arrives in pieces, and holds back what may be the start of one.

export interface StopFinder {
  /** What of the text so far can be shown; `isStopped`: a stop string came, and it is not shown. */
  push(piece: string): { readonly text: string; readonly isStopped: boolean };
  /** What was held back, once no more text will come. */
  end(): string;
}

/** Length of the longest end of `text` that begins one of the stop strings. */
function heldBack(text: string, stops: readonly string[]): number {
  const longest = Math.max(0, ...stops.map((stop) => stop.length - 1));
  for (let length = Math.min(longest, text.length); length > 0; length--) {
    const end = text.slice(text.length - length);
    if (stops.some((stop) => stop.startsWith(end))) return length;
  }
  return 0;
}

/** The earliest stop string wins; of two at the same place either one ends the text there. */
export function createStopFinder(stops: readonly string[]): StopFinder {
  let pending = '';
  let isStopped = false;
  return {
    push(piece) {
      if (isStopped) return { text: '', isStopped };
      pending += piece;
      const found = stops.map((stop) => pending.indexOf(stop)).filter((at) => at !== -1);
      isStopped = found.length > 0;
      const shown = isStopped ? Math.min(...found) : pending.length - heldBack(pending, stops);
      const text = pending.slice(0, shown);
      pending = isStopped ? '' : pending.slice(shown);
      return { text, isStopped };
    },
    end() {
      const text = pending;
      pending = '';
      return text;
    },
  };
}
