// Keeps an engine process alive: a dead one is started again, later and later, then no more.
import { type Clock, sleep, systemClock } from '../../base/clock.ts';
import { AttuneError } from '../../base/errors.ts';
import type { Engine, VersionSource } from '../engine.ts';
import { forwardCalls, performCall } from './call.ts';
import type { EngineProcess } from './client.ts';

export type EngineState = 'starting' | 'ready' | 'restarting' | 'failed' | 'closed';

export type EngineListener = (state: EngineState, reason?: Error) => void;

export interface SuperviseOptions {
  /**
   * Starts a process under a version (the base when undefined).
   * @param lost why it must be on the CPU, for a person: one died on a graphics card, or opening it
   */
  readonly open: (
    version: VersionSource | undefined,
    lost: string | undefined,
  ) => Promise<EngineProcess>;
  /** Restarts within ten minutes before it stays down. */
  readonly restartsMax: number;
  /** Called on every state change, with the exit reason when the process ended. */
  readonly onChange?: EngineListener;
  readonly clock?: Clock;
}

export interface SupervisedEngine extends Engine {
  readonly state: EngineState;
  /** Of the process that serves now. */
  readonly pid: number | undefined;
  /** Calls the listener, from now on, on every change. */
  subscribe(listener: EngineListener): void;
  /**
   * From now on asked before each restart, for the version to start under: its files may have moved
   * or changed since they were loaded. Until then it is the base.
   */
  restartUnder(ask: () => Promise<VersionSource | undefined>): void;
}

const RESTART_WINDOW_MS = 10 * 60_000;
const BACKOFF_FIRST_MS = 200;
const BACKOFF_MAX_MS = 10_000;

/**
 * Requests in flight when a process dies reject with `engine-failed` and the fact `interrupted`;
 * later ones wait for its successor.
 * @throws whatever the first start throws
 */
export async function superviseEngine(options: SuperviseOptions): Promise<SupervisedEngine> {
  const supervisor = new Supervisor(options);
  await supervisor.start();
  const forwarded = forwardCalls(async (call) => performCall(await supervisor.current, call));
  return {
    ...forwarded,
    restartUnder: (ask) => supervisor.restartUnder(ask),
    subscribe: (listener) => supervisor.subscribe(listener),
    close: () => supervisor.close(),
    get state() {
      return supervisor.state;
    },
    get pid() {
      return supervisor.pid;
    },
  };
}

class Supervisor {
  readonly #options: SuperviseOptions;
  readonly #clock: Clock;
  #current: Promise<EngineProcess>;
  #process: EngineProcess | undefined;
  #state: EngineState = 'starting';
  #versionNow: () => Promise<VersionSource | undefined> = async () => undefined;
  #lost: string | undefined;
  readonly #restarts: number[] = [];
  readonly #stop = new AbortController();
  readonly #listeners: EngineListener[];

  constructor(options: SuperviseOptions) {
    this.#options = options;
    this.#listeners = options.onChange === undefined ? [] : [options.onChange];
    this.#clock = options.clock ?? systemClock;
    this.#current = Promise.reject(new AttuneError('engine-failed', 'the engine did not start'));
    this.#current.catch(() => undefined);
  }

  get state(): EngineState {
    return this.#state;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** The engine that serves, or the one to come. */
  get current(): Promise<EngineProcess> {
    return this.#current;
  }

  subscribe(listener: EngineListener): void {
    this.#listeners.push(listener);
  }

  async start(): Promise<void> {
    this.#current = this.#open();
    await this.#current;
  }

  restartUnder(ask: () => Promise<VersionSource | undefined>): void {
    this.#versionNow = ask;
  }

  async close(): Promise<void> {
    this.#change('closed');
    this.#stop.abort();
    await this.#process?.close();
    await this.#current.then((engine) => engine.close()).catch(() => undefined);
  }

  async #open(): Promise<EngineProcess> {
    const open = async (): Promise<EngineProcess> =>
      this.#options.open(await this.#versionNow(), this.#lost);
    const engine = await open().catch((error: AttuneError) => {
      if (this.#lost !== undefined) throw error;
      this.#lost = cardLost(error);
      if (this.#lost === undefined) throw error;
      this.#change('restarting', error);
      return open();
    });
    this.#process = engine;
    void engine.ended.then((reason) => this.#onEnd(reason));
    if (this.#state !== 'closed') this.#change('ready');
    return engine;
  }

  #onEnd(reason: AttuneError | undefined): void {
    this.#process = undefined;
    this.#lost ??= cardLost(reason);
    if (this.#state === 'closed') return;
    this.#change('restarting', reason);
    this.#current = this.#restart();
    this.#current.catch(() => undefined); // whoever asks is told
  }

  async #restart(): Promise<EngineProcess> {
    const { restartsMax } = this.#options;
    for (;;) {
      const now = this.#clock.monotonicMs();
      while ((this.#restarts[0] ?? now) < now - RESTART_WINDOW_MS) this.#restarts.shift();
      if (this.#restarts.length >= restartsMax) {
        const message =
          `the engine died ${restartsMax + 1} times within ten minutes and stays down; ` +
          'see the log, then restart Attune';
        const failure = new AttuneError('engine-failed', message, { restartsMax });
        this.#change('failed', failure);
        throw failure;
      }
      const backoff = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** this.#restarts.length);
      this.#restarts.push(now);
      try {
        await sleep(this.#clock, backoff, this.#stop.signal);
        return await this.#open();
      } catch (error) {
        if (this.#stop.signal.aborted) {
          throw new AttuneError('engine-failed', 'the engine was closed', { interrupted: true });
        }
        this.#change('restarting', error as Error);
      }
    }
  }

  #change(state: EngineState, reason?: Error): void {
    this.#state = state;
    for (const listener of this.#listeners) listener(state, reason);
  }
}

/** A driver that fails can take the process along without a word. */
function cardLost(reason: AttuneError | undefined): string | undefined {
  const { device = 'cpu', reason: why = '' } = reason?.facts ?? {};
  if (device === 'cpu' || reason?.code !== 'engine-failed') return undefined;
  return `The graphics card failed (${String(why).split('\n')[0]}). Replies come from the CPU until Attune is restarted.`;
}
