// Finds stop strings in text that arrives in pieces; holds back what may be the start of one.

export interface StopFinder {
  /** The text that can be shown; `isStopped`: a stop string came, which is not shown. */
  push(piece: string): { readonly text: string; readonly isStopped: boolean };
  /** What was held back, once no more text will come. */
  end(): string;
}

/** Length of the longest end of `text` that begins one of the stop strings. */
export function heldBack(text: string, stops: readonly string[]): number {
  const longest = Math.max(0, ...stops.map((stop) => stop.length - 1));
  for (let length = Math.min(longest, text.length); length > 0; length--) {
    const end = text.slice(text.length - length);
    if (stops.some((stop) => stop.startsWith(end))) return length;
  }
  return 0;
}

/** Where the stop string begins that is complete first; -1 without one. */
function firstComplete(text: string, stops: readonly string[]): number {
  const found = stops
    .map((stop) => ({ start: text.indexOf(stop), end: text.indexOf(stop) + stop.length }))
    .filter(({ start }) => start !== -1)
    .sort((a, b) => a.end - b.end || a.start - b.start);
  return found[0]?.start ?? -1;
}

/** The one that is complete first wins, as if text came letter by letter; of two, the longer one. */
export function createStopFinder(stops: readonly string[]): StopFinder {
  let pending = '';
  let isStopped = false;
  return {
    push(piece) {
      if (isStopped) return { text: '', isStopped };
      pending += piece;
      const found = firstComplete(pending, stops);
      isStopped = found !== -1;
      const shown = isStopped ? found : pending.length - heldBack(pending, stops);
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
