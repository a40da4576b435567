// When nights come by themselves, and what tells the person of a morning.
import { spawn } from 'node:child_process';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Config } from '../config/schema.ts';
import { createSchedule, type Schedule } from '../schedule/job-schedule.ts';
import type { NightService } from './service.ts';

export interface NightlyOptions {
  readonly settings: Config['night'];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The schedule, not started yet; undefined where no night comes by itself. @throws config-invalid for a cron expression or time zone that is none */
export async function scheduleNights(
  nights: NightService,
  { settings, clock, logger }: NightlyOptions,
): Promise<Schedule | undefined> {
  if (!settings.isEnabled) return undefined;
  const { ledger } = nights;
  const { path, ops } = ledger.folder;
  const begun = await ops.stat(path);
  const last = (await ledger.list()).at(-1);
  let doneAt = last === undefined ? undefined : Date.parse(last.startedAt);
  return createSchedule({
    expression: settings.schedule,
    timeZone: settings.timeZone,
    clock,
    since: begun?.createdAt ?? clock.now(),
    lastDoneAt: () => doneAt,
    lastActiveAt: () => nights.activeAt,
    idleMinutes: settings.idleMinutes,
    isMissedCaughtUp: settings.isMissedNightCaughtUp,
    async run() {
      const startedAt = clock.now();
      await nights.runToEnd();
      doneAt = startedAt;
    },
    onFailure: (error, willRetry) => logger.error({ error, willRetry }, 'the scheduled night'),
  });
}

// Tells the person of a morning with a program of theirs; what becomes of it changes no night.

/** One that hangs is ended. */
const TIMEOUT_MS = 30_000;

/** @param command a program and its arguments; empty: nobody is told */
export function notify(
  command: readonly string[],
  { headline, url }: { readonly headline: string; readonly url: string },
  logger: Logger,
): void {
  const [program, ...given] = command;
  if (program === undefined) return;
  const child = spawn(program, [...given, headline, url], {
    stdio: 'ignore',
    timeout: TIMEOUT_MS,
  });
  const failed = (facts: object): void =>
    logger.warn({ program, ...facts }, 'notify.command did not do its work');
  child.on('error', (error) => failed({ error }));
  child.on('exit', (code, signal) => {
    if (code !== 0) failed({ code, signal });
  });
  child.unref();
}
