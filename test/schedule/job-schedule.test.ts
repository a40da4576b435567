import { beforeEach, describe, expect, it } from 'vitest';
import { createDueTimes } from '../../src/schedule/due-time.ts';
import { createSchedule, type ScheduleOptions } from '../../src/schedule/job-schedule.ts';
import { createFakeClock, type FakeClock } from '../fakes/fake-clock.ts';

const at = (text: string): number => Date.parse(text);
const iso = (ms: number | undefined): string => new Date(ms ?? Number.NaN).toISOString();
const HOUR = 3_600_000;
const NIGHTLY = '30 2 * * *';
const BERLIN = 'Europe/Berlin';

describe('due times', () => {
  it('fall at the same wall time in summer and in winter', () => {
    const times = createDueTimes(NIGHTLY, BERLIN);
    expect(iso(times.next(at('2026-01-10T12:00:00Z')))).toBe('2026-01-11T01:30:00.000Z');
    expect(iso(times.next(at('2026-07-10T12:00:00Z')))).toBe('2026-07-11T00:30:00.000Z');
  });

  it('fall right after the jump on a day without 02:30', () => {
    const times = createDueTimes(NIGHTLY, BERLIN);
    // 29 March 2026: 02:00 becomes 03:00 at 01:00 UTC.
    expect(iso(times.next(at('2026-03-28T12:00:00Z')))).toBe('2026-03-29T01:00:00.000Z');
    expect(iso(times.latest(at('2026-03-29T01:00:00Z')))).toBe('2026-03-29T01:00:00.000Z');
    expect(iso(times.latest(at('2026-03-29T00:59:00Z')))).toBe('2026-03-28T01:30:00.000Z');
  });

  it('fall once, at the first 02:30, on a day with two', () => {
    const times = createDueTimes(NIGHTLY, BERLIN);
    // 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC.
    expect(iso(times.next(at('2026-10-24T12:00:00Z')))).toBe('2026-10-25T00:30:00.000Z');
    expect(iso(times.next(at('2026-10-25T00:30:00Z')))).toBe('2026-10-26T01:30:00.000Z');
  });

  it.each([
    ['America/New_York', '2026-03-07T12:00:00Z', '2026-03-08T07:00:00.000Z'],
    ['America/New_York', '2026-10-31T12:00:00Z', '2026-11-01T07:30:00.000Z'],
    // Lord Howe moves its clocks by half an hour: 02:00 becomes 02:30 on 4 October 2026.
    ['Australia/Lord_Howe', '2026-10-03T10:00:00Z', '2026-10-03T15:30:00.000Z'],
    ['Asia/Kathmandu', '2026-05-01T00:00:00Z', '2026-05-01T20:45:00.000Z'],
    // Samoa had no 30 December 2011 at all.
    ['Pacific/Apia', '2011-12-29T20:00:00Z', '2011-12-30T12:30:00.000Z'],
  ])('are right in %s after %s', (zone, now, expected) => {
    expect(iso(createDueTimes(NIGHTLY, zone).next(at(now)))).toBe(expected);
  });

  it('come once a day over years of both changes', () => {
    const times = createDueTimes(NIGHTLY, BERLIN);
    let now = at('2025-12-31T12:00:00Z');
    const seen: number[] = [];
    for (let night = 0; night < 730; night++) {
      now = times.next(now) ?? Number.NaN;
      seen.push(now);
    }
    const gaps = new Set(seen.slice(1).map((moment, index) => moment - (seen[index] ?? 0)));
    expect([...gaps].sort()).toEqual(
      [23.5 * HOUR, 23 * HOUR, 24 * HOUR, 24.5 * HOUR, 25 * HOUR]
        .filter((gap) => gaps.has(gap))
        .sort(),
    );
    expect(iso(seen.at(-1))).toBe('2027-12-31T01:30:00.000Z');
  });

  it('keep to weekdays, days of the month and several times a day', () => {
    const now = at('2026-05-06T12:00:00Z'); // a Wednesday
    expect(iso(createDueTimes('0 3 * * 0', 'UTC').next(now))).toBe('2026-05-10T03:00:00.000Z');
    expect(iso(createDueTimes('0 3 1 * *', 'UTC').next(now))).toBe('2026-06-01T03:00:00.000Z');
    expect(iso(createDueTimes('0 3 1 * *', 'UTC').latest(now))).toBe('2026-05-01T03:00:00.000Z');
    expect(iso(createDueTimes('15 */6 * * *', 'UTC').next(now))).toBe('2026-05-06T12:15:00.000Z');
  });

  it.each(['', 'x', '* * *', '61 2 * * *', '0 30 2 * * *', '30 2 * * * *'])(
    'refuse the expression "%s"',
    (expression) => {
      const make = () => createDueTimes(expression, 'UTC');
      expect(make).toThrow(expect.objectContaining({ code: 'config-invalid' }));
    },
  );

  it('refuse a zone that is none, and say never for a day that never comes', () => {
    expect(() => createDueTimes(NIGHTLY, 'Middle/Earth')).toThrow(
      expect.objectContaining({ code: 'config-invalid' }),
    );
    expect(createDueTimes('0 3 29 2 *', 'UTC').next(0)).toBeUndefined();
    expect(() => createDueTimes('0 3 31 2 *', 'UTC')).toThrow('impossible');
  });
});

describe('a schedule', () => {
  let clock: FakeClock;
  let started: string[];
  let doneAt: number | undefined;
  let failures: boolean[];
  let work: () => Promise<void>;

  function schedule(changes: Partial<ScheduleOptions> = {}) {
    return createSchedule({
      expression: NIGHTLY,
      timeZone: BERLIN,
      clock,
      since: clock.now(),
      lastDoneAt: () => doneAt,
      lastActiveAt: () => undefined,
      idleMinutes: 0,
      isMissedCaughtUp: true,
      run: async () => {
        const begun = clock.now();
        started.push(iso(begun));
        await work();
        doneAt = begun;
      },
      onFailure: (_error, willRetry) => failures.push(willRetry),
      ...changes,
    });
  }

  beforeEach(() => {
    clock = createFakeClock(at('2026-03-27T12:00:00Z'));
    started = [];
    failures = [];
    doneAt = undefined;
    work = async () => undefined;
  });

  it('runs every night over the spring change, also on the day without 02:30', async () => {
    schedule().start();
    await clock.advance(3 * 24 * HOUR);
    expect(started).toEqual([
      '2026-03-28T01:30:00.000Z',
      '2026-03-29T01:00:00.000Z',
      '2026-03-30T00:30:00.000Z',
    ]);
  });

  it('runs once on the day with two 02:30', async () => {
    clock = createFakeClock(at('2026-10-24T12:00:00Z'));
    schedule().start();
    await clock.advance(2 * 24 * HOUR);
    expect(started).toEqual(['2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z']);
  });

  it('catches a night up that the machine slept through, once', async () => {
    schedule().start();
    await clock.advance(HOUR);
    await clock.sleepMachine(5 * 24 * HOUR);
    await clock.advance(60_000);
    expect(started).toHaveLength(1);
    await clock.advance(6 * HOUR);
    expect(started).toHaveLength(1);
  });

  it('leaves a missed night out when told so, and takes one that is a little late', async () => {
    schedule({ isMissedCaughtUp: false }).start();
    await clock.sleepMachine(24 * HOUR);
    await clock.advance(2 * HOUR);
    expect(started).toEqual([]);
    await clock.advance(11 * HOUR);
    await clock.sleepMachine(37 * 60_000);
    await clock.advance(60_000);
    expect(started).toHaveLength(1);
  });

  it('catches up what an earlier daemon left, but nothing from before the store was made', async () => {
    clock = createFakeClock(at('2026-05-06T12:00:00Z'));
    const fresh = schedule({ since: at('2026-05-06T11:00:00Z') });
    fresh.start();
    await clock.advance(HOUR);
    expect(started).toEqual([]);
    fresh.stop();
    doneAt = at('2026-05-05T00:30:00Z');
    schedule({ since: at('2026-01-01T00:00:00Z') }).start();
    await clock.advance(0);
    expect(started).toHaveLength(1);
  });

  it('takes a night that was run by hand after the due moment for done', async () => {
    doneAt = at('2026-03-28T02:00:00Z');
    clock = createFakeClock(at('2026-03-28T08:00:00Z'));
    schedule({ since: 0 }).start();
    await clock.advance(HOUR);
    expect(started).toEqual([]);
  });

  it('comes each night where the clock was ahead once', async () => {
    doneAt = at('2029-01-01T00:00:00Z');
    const ahead = schedule({ since: at('2028-12-01T00:00:00Z') });
    ahead.start();
    await clock.advance(72 * HOUR);
    expect(started.length).toBeGreaterThanOrEqual(3);
  });

  it('never runs two at once', async () => {
    let finish = (): void => undefined;
    work = () => new Promise((resolve) => (finish = resolve));
    const one = schedule();
    one.start();
    one.start();
    await clock.advance(14 * HOUR);
    expect(one.isRunning).toBe(true);
    await clock.advance(30 * HOUR);
    expect(started).toHaveLength(1);
    finish();
    await clock.advance(60_000);
    expect(started).toHaveLength(2);
  });

  it('waits until the person has been quiet for long enough', async () => {
    let activeAt = at('2026-03-28T01:25:00Z');
    schedule({ idleMinutes: 30, lastActiveAt: () => activeAt }).start();
    await clock.advance(14 * HOUR - 10 * 60_000);
    expect(started).toEqual([]);
    activeAt = at('2026-03-28T01:45:00Z');
    await clock.advance(HOUR);
    expect(started).toEqual(['2026-03-28T02:15:00.000Z']);
  });

  it('tries a failed night again, later each time, and gives up after three', async () => {
    work = () => Promise.reject(new Error('no'));
    schedule().start();
    await clock.advance(20 * HOUR);
    expect(failures).toEqual([true, true, false]);
    expect(started).toEqual([
      '2026-03-28T01:30:00.000Z',
      '2026-03-28T01:45:00.000Z',
      '2026-03-28T02:15:00.000Z',
    ]);
    await clock.advance(24 * HOUR);
    expect(started.length).toBeGreaterThan(3);
  });

  it('neither repeats a night nor waits for ever when the clock is set back', async () => {
    schedule().start();
    await clock.advance(14 * HOUR);
    expect(started).toHaveLength(1);
    clock.setWall(clock.now() - 2 * HOUR);
    await clock.advance(3 * HOUR);
    expect(started).toHaveLength(1);
    await clock.advance(24 * HOUR);
    expect(started).toHaveLength(2);
  });

  it('starts nothing after it was stopped, and says when the next one is', async () => {
    const one = schedule();
    expect(iso(one.next())).toBe('2026-03-28T01:30:00.000Z');
    one.start();
    one.stop();
    await clock.advance(48 * HOUR);
    expect(started).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
  });
});
