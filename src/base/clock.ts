// Time as a part that can be exchanged: the machine's clock here, a fake one in the tests.

export interface Timer {
  /** Safe to call twice and after the timer fired. */
  cancel(): void;
}

export interface Clock {
  /** Wall time in ms since 1970 (UTC). May jump: a person sets the clock, a machine sleeps. */
  now(): number;
  /** Ms from an arbitrary start, never backwards. For durations. */
  monotonicMs(): number;
  /** Calls back once after `delayMs`; any delay up to years. Keeps the process alive unless `unref`. */
  setTimeout(callback: () => void, delayMs: number, options?: { readonly unref?: boolean }): Timer;
}

/** Node's timers overflow beyond this and would fire at once. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimeout(callback, delayMs, options = {}) {
    let handle: NodeJS.Timeout;
    const arm = (remainingMs: number): void => {
      const stretch = Math.min(remainingMs, TIMEOUT_MS_MAX);
      const rest = remainingMs - stretch;
      handle = setTimeout(() => (rest > 0 ? arm(rest) : callback()), stretch);
      if (options.unref) handle.unref();
    };
    arm(Math.max(0, delayMs));
    return { cancel: () => clearTimeout(handle) };
  },
};

/**
 * Lets what is due in the event loop happen first, as a decode step of a reply; for long work that
 * would hold it up.
 */
export function yieldToEventLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Resolves after `delayMs`, or rejects with the signal's reason. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, delayMs);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
