// A second click or key that comes right after the first means nothing.

const ECHO_MS = 500;

/** The action, deaf for half a second after it was done. */
export function withoutEcho(action: () => void): () => void {
  let doneAt = Number.NEGATIVE_INFINITY;
  return () => {
    const now = performance.now();
    if (now - doneAt < ECHO_MS) return;
    doneAt = now;
    action();
  };
}
