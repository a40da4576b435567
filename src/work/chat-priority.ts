// Lets the chat go first: a night's work pauses before its next micro-step while a reply is made.

/** Not reentrant; one per night. */
export class ChatPriority {
  #waiting: (() => void)[] = [];
  #isPaused = false;
  /** Aborted when the night is stopped. */
  readonly signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.signal = signal;
    signal.addEventListener('abort', () => this.#release(), { once: true });
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#release();
  }

  #release(): void {
    for (const go of this.#waiting.splice(0)) go();
  }

  /** Resolves when no reply is being made, or the night is stopped. */
  async untilIdle(): Promise<void> {
    // A macro-task: messages that came meanwhile (a pause among them) are heard first.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#isPaused && !this.signal.aborted) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Resolves when no reply is being made. @throws the signal's reason when the night is stopped */
  async pauseWhileBusy(): Promise<void> {
    await this.untilIdle();
    this.signal.throwIfAborted();
  }
}
