// Starts a job when it is due: when, not what. It survives sleep, clock changes and failures.
import type { Clock, Timer } from '../base/clock.ts';
import { createDueTimes } from './due-time.ts';

export interface ScheduleOptions {
  /** Five fields. */
  readonly expression: string;
  /** IANA name, or empty for the machine's. */
  readonly timeZone: string;
  readonly clock: Clock;
  /** Due moments before this never count (ms since 1970): when the store was made. */
  readonly since: number;
  /** When the last job that finished had begun; a due moment before it is done. */
  readonly lastDoneAt: () => number | undefined;
  /** When the person was last active. */
  readonly lastActiveAt: () => number | undefined;
  readonly idleMinutes: number;
  /** False: what was not started within ten minutes of its moment waits for the next one. */
  readonly isMissedCaughtUp: boolean;
  /** Never called while it runs. When it rejects, the due moment is tried again, later. */
  readonly run: (due: number) => Promise<void>;
  /** A run that rejected, and whether it will be tried again. */
  readonly onFailure: (error: unknown, willRetry: boolean) => void;
}

export interface Schedule {
  start(): void;
  /** Starts nothing more. A running job goes on; await it elsewhere. */
  stop(): void;
  readonly isRunning: boolean;
  /** The next moment at which the job falls due. */
  next(): number | undefined;
}

/** Timers do not tell when a machine slept or its clock was set, so the clock is read this often. */
const LOOK_MS = 60_000;
const LATE_MS_MAX = 10 * 60_000;
const ATTEMPTS_MAX = 3;
const RETRY_MS = 15 * 60_000;

/** @throws config-invalid for an invalid expression or an unknown time zone */
export function createSchedule(options: ScheduleOptions): Schedule {
  const { clock } = options;
  const dueTimes = createDueTimes(options.expression, options.timeZone);
  let timer: Timer | undefined;
  let isStarted = false;
  let isRunning = false;
  /** The due moment that was last tried, how often, and when again at the earliest. */
  let tried = { due: Number.NEGATIVE_INFINITY, attempts: 0, againAt: 0 };

  /** A moment in the future means that the clock was ahead: it counts as long ago. */
  const past = (moment: number | undefined, now: number): number =>
    moment === undefined || moment > now ? Number.NEGATIVE_INFINITY : moment;

  function isDue(due: number, now: number): boolean {
    if (due < past(options.since, now) || past(options.lastDoneAt(), now) >= due) return false;
    if (due === tried.due) {
      return tried.attempts < ATTEMPTS_MAX && clock.monotonicMs() >= tried.againAt;
    }
    return options.isMissedCaughtUp || now - due <= LATE_MS_MAX;
  }

  function isIdle(now: number): boolean {
    return now - past(options.lastActiveAt(), now) >= options.idleMinutes * 60_000;
  }

  async function attempt(due: number): Promise<void> {
    isRunning = true;
    const attempts = due === tried.due ? tried.attempts + 1 : 1;
    tried = { due, attempts, againAt: Number.POSITIVE_INFINITY };
    try {
      await options.run(due);
      tried = { due, attempts: ATTEMPTS_MAX, againAt: Number.POSITIVE_INFINITY };
    } catch (error) {
      tried = { due, attempts, againAt: clock.monotonicMs() + RETRY_MS * attempts };
      options.onFailure(error, attempts < ATTEMPTS_MAX);
    } finally {
      isRunning = false;
    }
  }

  function look(): void {
    const now = clock.now();
    const due = isRunning ? undefined : dueTimes.latest(now);
    if (due !== undefined && isDue(due, now) && isIdle(now)) void attempt(due);
    const next = dueTimes.next(now);
    const waitMs = next === undefined ? LOOK_MS : Math.min(LOOK_MS, Math.max(1, next - now));
    timer = clock.setTimeout(look, waitMs, { unref: true });
  }

  return {
    start() {
      if (isStarted) return;
      isStarted = true;
      look();
    },
    stop() {
      isStarted = false;
      timer?.cancel();
    },
    get isRunning() {
      return isRunning;
    },
    next: () => dueTimes.next(clock.now()),
  };
}
