// Long work on the event loop gives way: requests, signals and heartbeats are heard in between.
import { yieldToEventLoop } from './clock.ts';

const SLICE_MS = 3;

/** To be awaited between two pieces of work, each of them short; it waits only when it is time. */
export type Pace = () => Promise<void>;

/** Of all works that wait, one goes on in each turn of the event loop, however many there are. */
let next: Promise<void> = Promise.resolve();

/** Waits for a turn of the event loop in which no other long work goes on. */
export function ownTurn(): Promise<void> {
  next = next.then(yieldToEventLoop);
  return next;
}

export function createPace(): Pace {
  let begunAt = performance.now();
  return async () => {
    if (performance.now() - begunAt < SLICE_MS) return;
    await ownTurn();
    begunAt = performance.now();
  };
}
