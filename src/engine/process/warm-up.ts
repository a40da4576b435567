// Does once, when nobody is answered, what the first probe of a swap would otherwise wait for.

export interface WarmUpOptions {
  readonly isBusy: () => boolean;
  readonly warmUp: () => void;
  /** How long after now, and again as long as it is busy then. */
  readonly afterMs: number;
}

/** Keeps no process alive. */
export function warmUpWhenIdle(options: WarmUpOptions): void {
  const { isBusy, warmUp, afterMs } = options;
  setTimeout(() => {
    if (isBusy()) warmUpWhenIdle(options);
    else warmUp();
  }, afterMs).unref();
}
