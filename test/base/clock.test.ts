import { describe, expect, it, vi } from 'vitest';
import { sleep, systemClock } from '../../src/base/clock.ts';
import { createFakeClock } from '../fakes/fake-clock.ts';

describe('the fake clock', () => {
  it('fires timers in their order, each at its own moment', async () => {
    const clock = createFakeClock(1000);
    const fired: string[] = [];
    clock.setTimeout(() => fired.push(`late ${clock.now()}`), 50);
    clock.setTimeout(() => {
      fired.push(`early ${clock.now()}`);
      clock.setTimeout(() => fired.push(`nested ${clock.now()}`), 10);
    }, 20);
    clock.setTimeout(() => fired.push('never'), 500);
    await clock.advance(60);
    expect(fired).toEqual(['early 1020', 'nested 1030', 'late 1050']);
    expect([clock.now(), clock.monotonicMs(), clock.pendingTimers]).toEqual([1060, 60, 1]);
  });

  it('fires nothing while the machine sleeps and is late afterwards', async () => {
    const clock = createFakeClock(0);
    let firedAt: number | undefined;
    clock.setTimeout(() => {
      firedAt = clock.now();
    }, 100);
    await clock.sleepMachine(1_000_000);
    expect(firedAt).toBeUndefined();
    await clock.advance(100);
    expect(firedAt).toBe(1_000_100);
  });

  it('lets a person set the wall back without moving durations', () => {
    const clock = createFakeClock(5000);
    clock.setWall(10);
    expect([clock.now(), clock.monotonicMs()]).toEqual([10, 0]);
  });

  it('wakes sleepers, and rejects those whose signal aborts', async () => {
    const clock = createFakeClock();
    const abort = new AbortController();
    const slept = sleep(clock, 100);
    const aborted = sleep(clock, 100, abort.signal);
    abort.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    await clock.advance(100);
    await slept;
    await expect(sleep(clock, 1, abort.signal)).rejects.toThrow('enough');
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('the system clock', () => {
  it('holds delays that are longer than a timer of the runtime can be', async () => {
    vi.useFakeTimers();
    try {
      let fired = 0;
      const month = 40 * 24 * 3_600_000;
      systemClock.setTimeout(() => {
        fired += 1;
      }, month);
      const cancelled = systemClock.setTimeout(() => {
        fired += 100;
      }, month);
      await vi.advanceTimersByTimeAsync(month - 1);
      expect(fired).toBe(0);
      cancelled.cancel();
      await vi.advanceTimersByTimeAsync(1);
      expect(fired).toBe(1);
    } finally {
      vi.useRealTimers();
    }
  });
});
