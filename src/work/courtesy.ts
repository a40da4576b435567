// Standing aside for the living: a night asks before each micro-step whether it may go on.

/** Not reentrant; one per night. */
export class Courtesy {
  #waiting: (() => void)[] = [];
  #isPaused = false;
  #pausedMs = 0;
  #since = 0;
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#since = this.#nowMs();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#pausedMs += this.#nowMs() - this.#since;
    for (const go of this.#waiting.splice(0)) go();
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** How long the night has stood aside so far; budgets do not count it. */
  get pausedMs(): number {
    return this.#pausedMs + (this.#isPaused ? this.#nowMs() - this.#since : 0);
  }

  /** Resolves when the night may go on. @throws the signal's reason when the night is aborted */
  async turn(signal?: AbortSignal): Promise<void> {
    // A macro-task: messages that came meanwhile (a pause among them) are heard first.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#isPaused) {
      signal?.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        this.#waiting.push(resolve);
        signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      });
    }
    signal?.throwIfAborted();
  }
}
