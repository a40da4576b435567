// A token bucket: so many in a minute, a burst of a quarter of them at once.
import type { Clock } from '../base/clock.ts';

const BURST_SHARE = 0.25;
const MINUTE_MS = 60_000;

export interface RateLimit {
  /** 0: go on. Else the number of ms after which there is room again; nothing was taken then. */
  take(): number;
}

export function createRateLimit(perMinuteMax: number, clock: Clock): RateLimit {
  const burst = Math.max(1, Math.ceil(perMinuteMax * BURST_SHARE));
  const perMs = perMinuteMax / MINUTE_MS;
  let level = burst;
  let filledAt = clock.monotonicMs();
  return {
    take() {
      const now = clock.monotonicMs();
      level = Math.min(burst, level + (now - filledAt) * perMs);
      filledAt = now;
      if (level < 1) return Math.ceil((1 - level) / perMs);
      level -= 1;
      return 0;
    },
  };
}
