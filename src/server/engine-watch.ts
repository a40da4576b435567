// Knows how the engine is: what it last said of itself, and whether it is up right now.
import { type Clock, sleep } from '../base/clock.ts';
import { isAttuneError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Engine, EngineDescription } from '../engine/engine.ts';
import type {
  EngineStatus,
  EngineView,
  ModelSuggestion,
  UpstreamView,
} from '../protocol/server-message.ts';

export interface EngineWatchOptions {
  readonly engine: Engine;
  /** The server that speaks in its place. */
  readonly upstream: () => UpstreamView | undefined;
  /** What its tokenizer has to say, beside what the engine says of itself. */
  readonly tokenizerNotices: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called whenever the view has changed. */
  readonly onChange: (view: EngineView) => void;
}

const ASK_INTERVAL_MS = 200;

export class EngineWatch {
  readonly #options: EngineWatchOptions;
  readonly #stop = new AbortController();
  #status: EngineStatus = 'starting';
  #description: EngineDescription | undefined;
  #asking: Promise<void> | undefined;
  #suggestion: ModelSuggestion | null = null;

  constructor(options: EngineWatchOptions) {
    this.#options = options;
  }

  /** What it last said; undefined while it was never up. */
  get description(): EngineDescription | undefined {
    return this.#description;
  }

  view(): EngineView {
    const last = this.#description;
    const upstream = this.#options.upstream();
    const isDown = this.#status === 'ready' && upstream?.status === 'down';
    return {
      status: isDown ? 'restarting' : this.#status,
      modelId: last?.modelId ?? null,
      base: last?.baseHash ?? null,
      device: last?.device ?? null,
      windowTokens: last?.windowTokens ?? null,
      parameters: last?.parameters ?? null,
      version: last?.version ?? null,
      notices: [...(last?.notices ?? []), ...this.#options.tokenizerNotices],
      suggestion: this.#suggestion,
      ...(upstream && { upstream }),
    };
  }

  /** Asks until the engine answers. Asked twice at once, it asks once. */
  refresh(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  /** A request failed: was it the engine? Then the view says so until it is back. */
  onFailure(error: unknown): void {
    if (!isAttuneError(error, 'engine-failed')) return;
    this.#set(this.#description === undefined ? 'starting' : 'restarting');
    void this.refresh();
  }

  /** Whoever keeps the engine alive says how it is. */
  note(state: 'starting' | 'ready' | 'restarting' | 'failed' | 'closed'): void {
    if (state === 'closed') return;
    if (state === 'ready' || state === 'restarting') void this.refresh();
    if (state !== 'ready') this.#set(state);
  }

  /** What a person should start instead. */
  suggest(suggestion: ModelSuggestion): void {
    this.#suggestion = suggestion;
    this.#options.onChange(this.view());
  }

  /** The server that speaks in place of the engine has changed. */
  tell(): void {
    this.#options.onChange(this.view());
  }

  close(): void {
    this.#stop.abort();
  }

  async #ask(): Promise<void> {
    const { engine, clock, logger } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const before = this.#description?.version;
        this.#description = await engine.describe();
        this.#set('ready', before !== this.#description.version);
        return;
      } catch (error) {
        if (!isAttuneError(error, 'engine-failed')) {
          // A model that cannot be read will not get better by asking.
          logger.error({ error }, 'the engine cannot be used');
          this.#set('failed');
          return;
        }
      }
      await sleep(clock, ASK_INTERVAL_MS, signal).catch(() => undefined);
    }
  }

  #set(status: EngineStatus, isChanged = false): void {
    if (status === this.#status && !isChanged) return;
    this.#status = status;
    this.#options.onChange(this.view());
  }
}
