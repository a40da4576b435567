// Actions one after the other: each reads, decides and writes without another in between.

/** Runs an action when those before it have ended; none may wait for another of its own queue. */
export type Queue = <T>(action: () => Promise<T>) => Promise<T>;

export function createQueue(): Queue {
  let last: Promise<unknown> = Promise.resolve();
  return (action) => {
    const own = last.then(action);
    last = own.catch(() => undefined);
    return own;
  };
}
