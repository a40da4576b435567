// A clock that stands still until a test moves it; it fires timers in their order.
import type { Clock, Timer } from '../../src/base/clock.ts';

export interface FakeClock extends Clock {
  /** Time passes: every timer that falls due fires, in order, each at its own moment. */
  advance(ms: number): Promise<void>;
  /** The machine sleeps: wall time goes on, timers do not; they fire late, after waking. */
  sleepMachine(ms: number): Promise<void>;
  /** A person sets the clock. No timer fires for it. */
  setWall(ms: number): void;
  readonly pendingTimers: number;
}

interface Pending {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** Lets promise callbacks run, so that what a timer set off can set timers of its own. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

/** @param startMs wall time at the start, ms since 1970 */
export function createFakeClock(startMs = 0): FakeClock {
  let wallMs = startMs;
  let runMs = 0;
  let order = 0;
  const pending = new Set<Pending>();

  const nextDue = (untilMs: number): Pending | undefined =>
    [...pending]
      .filter((timer) => timer.dueMs <= untilMs)
      .sort((a, b) => a.dueMs - b.dueMs || a.order - b.order)[0];

  async function advance(ms: number): Promise<void> {
    const untilMs = runMs + ms;
    await settle();
    for (let timer = nextDue(untilMs); timer !== undefined; timer = nextDue(untilMs)) {
      pending.delete(timer);
      const stepMs = Math.max(0, timer.dueMs - runMs);
      runMs += stepMs;
      wallMs += stepMs;
      timer.callback();
      await settle();
    }
    wallMs += untilMs - runMs;
    runMs = untilMs;
  }

  return {
    now: () => wallMs,
    monotonicMs: () => runMs,
    setTimeout(callback, delayMs): Timer {
      const timer = { dueMs: runMs + Math.max(0, delayMs), order: order++, callback };
      pending.add(timer);
      return { cancel: () => void pending.delete(timer) };
    },
    advance,
    async sleepMachine(ms) {
      wallMs += ms;
      await settle();
    },
    setWall(ms) {
      wallMs = ms;
    },
    get pendingTimers() {
      return pending.size;
    },
  };
}
