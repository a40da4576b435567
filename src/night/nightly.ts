// When nights come: the schedule of the configuration around the night service.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Config } from '../config/schema.ts';
import { createSchedule, type Schedule } from '../schedule/job-schedule.ts';
import type { NightService } from './service.ts';

export interface NightlyOptions {
  readonly nights: NightService;
  readonly settings: Config['night'];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Not started yet. @throws config-invalid for a cron expression or time zone that is none */
export async function createNightly(options: NightlyOptions): Promise<Schedule> {
  const { nights, settings, clock, logger } = options;
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
