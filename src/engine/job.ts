// Work that is done in units between decode steps, and settles one promise whatever happens to it.
import { AttuneError } from '../base/errors.ts';

export interface JobOptions {
  readonly signal: AbortSignal | undefined;
  /** Called once, whether it succeeded, failed, was aborted or never began. */
  readonly onEnd: () => void;
}

/** What the scheduler does with a job. */
export interface Advancing {
  /** Does one unit. @returns whether it was the last; never rejects */
  advance(): Promise<boolean>;
  cancel(error: Error): Promise<void>;
}

export class Job<T> implements Advancing {
  readonly result: Promise<T>;
  readonly #options: JobOptions;
  readonly #start: () => Promise<AsyncGenerator<void, T>>;
  #work: AsyncGenerator<void, T> | undefined;
  #resolve: (value: T) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;

  /** @param start makes the work, which yields after each unit and returns its result */
  constructor(start: () => Promise<AsyncGenerator<void, T>>, options: JobOptions) {
    this.#start = start;
    this.#options = options;
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  async advance(): Promise<boolean> {
    try {
      if (this.#options.signal?.aborted === true) {
        throw new AttuneError('aborted', 'the request was aborted');
      }
      this.#work ??= await this.#start();
      const { done, value } = await this.#work.next();
      if (done !== true) return false;
      this.#options.onEnd();
      this.#resolve(value);
    } catch (error) {
      await this.cancel(error);
    }
    return true;
  }

  async cancel(error: unknown): Promise<void> {
    // Lets the generator's `finally` free what it holds; its result no longer matters.
    await this.#work?.return(undefined as T).catch(() => undefined);
    this.#options.onEnd();
    this.#reject(error);
  }
}
