// When a cron expression falls due in a time zone, also on days on which its hour does not exist.
import { createTask, parse, type ScheduledTask, validateDetailed } from 'node-cron';
import { AttuneError } from '../base/errors.ts';

export interface DueTimes {
  /** The latest due moment at or before `now`, ms since 1970; undefined when there is none near. */
  latest(now: number): number | undefined;
  /** The earliest due moment after `now`. */
  next(now: number): number | undefined;
}

interface Day {
  readonly year: number;
  /** 1 … 12 */
  readonly month: number;
  readonly day: number;
}

interface WallTime extends Day {
  readonly hour: number;
  readonly minute: number;
}

/** 29 February on a weekday may be 28 years away, but nobody waits for it here. */
const DAYS_MAX = 400;
const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

function invalid(message: string, facts: Record<string, string>): AttuneError {
  return new AttuneError('config-invalid', message, facts);
}

/** Reads the wall clock of a zone. @throws config-invalid for a zone that is not known */
function createWallClock(timeZone: string): (at: number) => WallTime {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US-u-ca-gregory-nu-latn', {
      ...(timeZone === '' ? {} : { timeZone }),
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
    });
  } catch {
    throw invalid(`night.timeZone: "${timeZone}" is not a time zone; write e.g. Europe/Berlin.`, {
      timeZone,
    });
  }
  return (at) => {
    const parts = format.formatToParts(at).map(({ type, value }) => [type, Number(value)]);
    return Object.fromEntries(parts) as unknown as WallTime;
  };
}

const asUtc = ({ year, month, day, hour, minute }: WallTime): number =>
  Date.UTC(year, month - 1, day, hour, minute);

/** The day `count` days after another. */
function addDays({ year, month, day }: Day, count: number): Day {
  const date = new Date(Date.UTC(year, month - 1, day + count));
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
}

/**
 * The first moment at which the wall clock of the zone shows this time; where the clock jumps over
 * it, the first moment after the jump.
 */
function momentOf(wanted: WallTime, wallAt: (at: number) => WallTime): number {
  const wall = asUtc(wanted);
  const offsetAt = (at: number): number => asUtc(wallAt(at)) - at;
  const moments = [wall - DAY_MS, wall + DAY_MS].map((near) => wall - offsetAt(near));
  const from = Math.min(...moments);
  const to = Math.max(...moments);
  for (let at = from; at <= to; at += MINUTE_MS) {
    if (asUtc(wallAt(at)) >= wall) return at;
  }
  return to;
}

function hoursAndMinutes(expression: string): { hour: number; minute: number }[] {
  const fields = parse(expression);
  return fields.hour
    .flatMap((hour) => fields.minute.map((minute) => ({ hour, minute })))
    .sort((a, b) => a.hour - b.hour || a.minute - b.minute);
}

/**
 * @param expression five fields: minute, hour, day of month, month, weekday
 * @param timeZone IANA name, or empty for the machine's
 * @throws config-invalid
 */
export function createDueTimes(expression: string, timeZone: string): DueTimes {
  const checked = validateDetailed(expression);
  const fields = expression.trim().split(/\s+/);
  if (!checked.valid || fields.length !== 5) {
    const why = checked.errors[0]?.message ?? 'five fields are needed';
    throw invalid(`night.schedule: "${expression}" is not a cron expression: ${why}.`, {
      expression,
    });
  }
  const wallAt = createWallClock(timeZone);
  const times = hoursAndMinutes(expression);
  // Which days: asked of node-cron, for any minute of the day.
  const days: ScheduledTask = createTask(`* * ${fields.slice(2).join(' ')}`, () => undefined, {
    ...(timeZone === '' ? {} : { timezone: timeZone }),
  });

  /** A day that does not exist (Samoa left one out) has no moment of its own. */
  function isOn(day: Day, moment: number): boolean {
    const wall = wallAt(moment);
    return wall.day === day.day && wall.month === day.month && days.match(new Date(moment));
  }

  function find(now: number, step: 1 | -1): number | undefined {
    const today = wallAt(now);
    for (let count = 0; count <= DAYS_MAX; count++) {
      const day = addDays(today, step * count);
      const moments = times.map((time) => momentOf({ ...day, ...time }, wallAt));
      const fits = moments.filter((moment) => (step === 1 ? moment > now : moment <= now));
      const due = (step === 1 ? fits : fits.reverse()).find((moment) => isOn(day, moment));
      if (due !== undefined) return due;
    }
    return undefined;
  }

  // Asked every minute, and the answer changes once a day.
  let known = {
    from: 0,
    to: 0,
    latest: undefined as number | undefined,
    next: undefined as number | undefined,
  };
  function around(now: number): typeof known {
    if (now < known.from || now >= known.to) {
      const latest = find(now, -1);
      const next = find(now, 1);
      known = { from: latest ?? now, to: next ?? now + DAY_MS, latest, next };
    }
    return known;
  }

  return { latest: (now) => around(now).latest, next: (now) => around(now).next };
}
