// When nights come by themselves.
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
