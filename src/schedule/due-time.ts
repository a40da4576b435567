// When a cron expression falls due in a time zone. node-cron parses it and matches days. Its own
// `getNextRuns` is not used: it counts from the machine's clock only, looks forward only, and
// leaves out a night whose hour the clock skips in spring.
import { createTask, parse, validateDetailed } from 'node-cron';
import { AttuneError } from '../base/errors.ts';

export interface DueTimes {
  /** The latest due moment at or before `now`, ms since 1970; undefined when there is none near. */
  latest(now: number): number | undefined;
  /** The earliest due moment after `now`. */
  next(now: number): number | undefined;
}

/** What the clock on the wall of a zone shows at a moment, written as if it were UTC, in ms. */
type WallClock = (at: number) => number;

/** 29 February on a weekday may be 28 years away, but nobody waits for it here. */
const DAYS_MAX = 400;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

function invalid(message: string, facts: Record<string, string>): AttuneError {
  return new AttuneError('config-invalid', message, facts);
}

/** To the minute. @throws config-invalid for an unknown zone */
function createWallClock(timeZone: string): WallClock {
  let format: Intl.DateTimeFormat;
  try {
    // Swedish writes a date as ISO 8601 does: 2026-03-29 02:30.
    format = new Intl.DateTimeFormat('sv-SE-u-ca-gregory-nu-latn', {
      ...(timeZone === '' ? {} : { timeZone }),
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
    });
  } catch {
    const message = `night.timeZone: "${timeZone}" is not a time zone; write e.g. Europe/Berlin.`;
    throw invalid(message, { timeZone });
  }
  return (at) => Date.parse(`${format.format(at).replace(' ', 'T')}Z`);
}

/**
 * The first moment at which the wall clock shows this time; where the clock jumps over it, the
 * first moment after the jump.
 */
function momentOf(wall: number, wallAt: WallClock): number {
  const moments = [wall - DAY_MS, wall + DAY_MS].map((near) => wall - (wallAt(near) - near));
  const to = Math.max(...moments);
  for (let at = Math.min(...moments); at < to; at += MINUTE_MS) if (wallAt(at) >= wall) return at;
  return to;
}

/** The due times of a matching day, in ms after midnight, earliest first. */
function timesOfDay(expression: string): number[] {
  const { hour, minute } = parse(expression);
  return hour.flatMap((h) => minute.map((m) => h * HOUR_MS + m * MINUTE_MS)).sort((a, b) => a - b);
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
    const why = checked.errors[0]?.message ?? 'it must have five fields';
    const message = `night.schedule: "${expression}" is not a valid cron expression: ${why}.`;
    throw invalid(message, { expression });
  }
  const wallAt = createWallClock(timeZone);
  const times = timesOfDay(expression);
  const zone = timeZone === '' ? {} : { timezone: timeZone };
  const days = createTask(`* * ${fields.slice(2).join(' ')}`, () => undefined, zone);

  /** A day that does not exist (Samoa left one out) has no moment of its own. */
  function isOn(midnight: number, moment: number): boolean {
    const sinceMidnight = wallAt(moment) - midnight;
    return sinceMidnight >= 0 && sinceMidnight < DAY_MS && days.match(new Date(moment));
  }

  function find(now: number, step: 1 | -1): number | undefined {
    const today = Math.floor(wallAt(now) / DAY_MS);
    for (let count = 0; count <= DAYS_MAX; count++) {
      const midnight = (today + step * count) * DAY_MS;
      const moments = times.map((time) => momentOf(midnight + time, wallAt));
      const fits = moments.filter((moment) => (step === 1 ? moment > now : moment <= now));
      const due = (step === 1 ? fits : fits.reverse()).find((moment) => isOn(midnight, moment));
      if (due !== undefined) return due;
    }
    return undefined;
  }

  function around(now: number) {
    const [latest, next] = [find(now, -1), find(now, 1)];
    return { from: latest ?? now, to: next ?? now + DAY_MS, latest, next };
  }
  // Asked every minute, and the answer changes once a day.
  let known = around(0);
  function knownAt(now: number): typeof known {
    if (now < known.from || now >= known.to) known = around(now);
    return known;
  }

  return { latest: (now) => knownAt(now).latest, next: (now) => knownAt(now).next };
}
