// When a bench has to be over: at a time of day, or when it is told to end; never otherwise.

export interface Deadline {
  /** Aborted when it is time to end: what is under way stops and what is there is told. */
  readonly signal: AbortSignal;
  /** Milliseconds until then; infinite without a time of day, 0 when it is over. */
  leftMs(): number;
  /** Takes its timer and its signal handlers away. */
  close(): void;
}

const DAY_MS = 24 * 3_600_000;
/** What is left for the last report and for processes to end. */
const SPARE_MS = 15_000;

/** @param until HH:MM by this machine's clock, the nearest one; absent: only Ctrl-C and SIGTERM */
export function openDeadline(until: string | undefined): Deadline {
  const end = until === undefined ? Number.POSITIVE_INFINITY : timeOf(until) - SPARE_MS;
  const over = new AbortController();
  const stop = (): void => over.abort(new Error('the time is over'));
  const leftMs = (): number => (over.signal.aborted ? 0 : Math.max(0, end - Date.now()));
  const timer = Number.isFinite(end) ? setTimeout(stop, leftMs()) : undefined;
  process.on('SIGTERM', stop).on('SIGINT', stop);
  return {
    signal: over.signal,
    leftMs,
    close() {
      clearTimeout(timer);
      process.off('SIGTERM', stop).off('SIGINT', stop);
    },
  };
}

function timeOf(until: string): number {
  const [, hours, minutes] = /^(\d{1,2}):(\d{2})$/.exec(until) ?? [];
  if (hours === undefined) throw new Error(`--until ${until} is no time of day such as 12:40`);
  const at = new Date().setHours(Number(hours), Number(minutes), 0, 0);
  if (at < Date.now() - DAY_MS / 2) return at + DAY_MS;
  return at;
}

/** Settles as `work` does, or rejects when the time is over. */
export function beforeEnd<T>(work: Promise<T>, { signal }: Deadline): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/** "about 12 min, until 12:41" */
export function estimated(ms: number): string {
  const end = new Date(Date.now() + ms).toTimeString().slice(0, 5);
  return `about ${(ms / 60_000).toFixed(ms < 600_000 ? 1 : 0)} min, until ${end}`;
}
