// Runs a night in a child process at low priority and brings a dead one back to where it was.
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { AttuneError } from '../base/errors.ts';
import { withHugePages } from '../base/huge-pages.ts';
import type { Logger } from '../base/logger.ts';
import { lowerPriority } from '../base/priority.ts';
import { installationFolder } from '../config/load.ts';
import type { Manifest } from '../ledger/manifest.ts';
import {
  DEVICE_LOST,
  type FromNight,
  fromNightSchema,
  type NightPlan,
  type Progress,
  type ToNight,
} from '../record/message.ts';
import { mayHaveCard } from '../runtime/graphics-card.ts';

export interface NightProcessOptions {
  readonly plan: NightPlan;
  readonly logger: Logger;
  readonly onProgress: (progress: Progress) => void;
  /** Its graphics card failed, and it goes on on the CPU. */
  readonly onDeviceLost?: (reason: string) => void;
  /** How often a night that dies is resumed. */
  readonly restartsMax?: number;
  /** Compiled entry, where it is another than the night's own. */
  readonly entry?: string;
}

export interface NightProcess {
  pause(): void;
  resume(): void;
  /** The night ends between two micro-steps. Without a reason it is to be resumed later. */
  abort(why?: string): void;
  /** The committed night. @throws night-failed, and whatever code the night failed with */
  readonly result: Promise<Manifest>;
  /** For tests that kill it. */
  readonly pid: () => number | undefined;
}

const RESTARTS_MAX = 5;
/** The code of a process that ended without a word. */
const DIED = 'died';

/** Compiled: a process cannot be forked from sources. */
const OWN_ENTRY = join(installationFolder, 'dist', 'work', 'child.js');

export function startNightProcess(options: NightProcessOptions): NightProcess {
  const { plan, logger, onProgress, restartsMax = RESTARTS_MAX, entry = OWN_ENTRY } = options;
  let child: ChildProcess | undefined;
  let isPaused = false;
  let isAborted = false;
  let isOnCpu = false;
  let reason: string | undefined;

  const tell = (message: ToNight): void => {
    if (child?.connected === true) child.send(message, () => undefined);
  };

  /** One life of the process: the last that it said, or how it died. */
  function live(): Promise<Exclude<FromNight, Progress>> {
    return new Promise((resolve) => {
      const own = fork(entry, [], {
        env: withHugePages(process.env),
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      });
      child = own;
      lowerPriority(own, plan.config.night.niceness);
      const died = (how: unknown): void =>
        resolve({ type: 'failed', code: DIED, message: `its process ended: ${how}` });
      let last: Exclude<FromNight, Progress> | undefined;
      own.on('message', (raw) => {
        const message = fromNightSchema.parse(raw);
        if (message.type === 'progress') onProgress(message);
        else last = message;
      });
      own.once('error', died);
      own.once('exit', (code, signal) =>
        last === undefined ? died(signal ?? `exit code ${code}`) : resolve(last),
      );
      tell({ type: 'start', plan, isOnCpu });
      if (isPaused) tell({ type: 'pause' });
    });
  }

  async function run(): Promise<Manifest> {
    const { night } = plan;
    // A driver that fails can take the process along.
    let mayBeOnCard = plan.config.train.device !== 'cpu' && mayHaveCard();
    for (let life = 0; life <= restartsMax && !isAborted; life += 1) {
      const last = await live();
      if (last.type === 'committed') return last.manifest;
      if (isAborted) break;
      const { code, message } = last;
      if (code !== DEVICE_LOST && code !== DIED) {
        throw new AttuneError('night-failed', message, { night, cause: code });
      }
      logger.warn({ night, life, reason: message }, 'the night died and is resumed on the CPU');
      const [why = ''] = message.split('\n');
      if (mayBeOnCard || code === DEVICE_LOST) options.onDeviceLost?.(why);
      isOnCpu = true;
      mayBeOnCard = false;
    }
    if (isAborted) {
      const message = reason ?? `${plan.night} was stopped; \`attune night run\` resumes it.`;
      throw new AttuneError('night-failed', message, { night: plan.night });
    }
    const message = `The process of ${plan.night} died ${restartsMax + 1} times.`;
    throw new AttuneError('night-failed', message, { night: plan.night, cause: DIED });
  }

  return {
    pause() {
      // One that is to end does not wait for a chat to end.
      if (isAborted) return;
      isPaused = true;
      tell({ type: 'pause' });
    },
    resume() {
      isPaused = false;
      tell({ type: 'resume' });
    },
    abort(why) {
      isAborted = true;
      reason = why;
      tell({ type: 'abort' });
      tell({ type: 'resume' });
    },
    result: run(),
    pid: () => child?.pid,
  };
}
