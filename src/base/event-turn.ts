// A breath in long work: what waits in the event loop meanwhile is done first.

/** Resolves after the events that are due now; a decode step of a reply is one of them. */
export function eventTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
