// Long work on the event loop gives way: requests, signals and heartbeats are heard in between.
import { yieldToEventLoop } from './clock.ts';

const SLICE_MS = 10;

/** To be awaited between two pieces of work, each of them short; it waits only when it is time. */
export type Pace = () => Promise<void>;

export function createPace(): Pace {
  let begunAt = performance.now();
  return async () => {
    if (performance.now() - begunAt < SLICE_MS) return;
    await yieldToEventLoop();
    begunAt = performance.now();
  };
}
