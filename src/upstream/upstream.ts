// A server that speaks in place of the engine: which of its models is asked, whether it is up, and
// how other weights come to it while replies run.
import { AttuneError, isAttuneError, reasonOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { VersionSource } from '../engine/engine.ts';
import type { UpstreamView } from '../protocol/server-message.ts';
import type { AdapterFile, AdapterForm } from './adapter-file.ts';
import { loadAdapter, type ServedModel, type UpstreamSettings } from './adapter-host.ts';
import {
  compare,
  compareChange,
  type Probed,
  probeEngine,
  probeServer,
  type Reference,
} from './check.ts';
import { UpstreamHttp } from './http.ts';

export interface UpstreamOptions {
  readonly settings: UpstreamSettings;
  readonly reference: Reference;
  /** Writes the adapter of a version. */
  readonly write: (source: VersionSource, form: AdapterForm, name: string) => Promise<AdapterFile>;
  /** The version that should speak. */
  readonly wanted: () => Promise<VersionSource>;
  readonly onChange: (view: UpstreamView) => void;
  readonly logger: Logger;
}

/** A request's hold on a model: it stays where it is until the last one lets go. */
export interface Lease {
  readonly served: ServedModel;
  /** As the request has to name it. */
  readonly name: string;
  /** Another model of the server: nothing that it says is learnt from. */
  readonly isForeign: boolean;
  release(): void;
}

/** Loaded beside what speaks, and not used yet. */
export interface Brought {
  /** What a person should know of it. */
  readonly receipt: string;
  /** New turns go to it; the model before is unloaded when its replies have ended. */
  use(): void;
  drop(): Promise<void>;
}

/** Names under which clients ask for the model of a daemon, whatever it is. */
const ALIAS = 'attune';
const ALIVE_MS = 10_000;
const DOWN_MS = 1_000;
const LOOK_MS_MAX = 5_000;

export class Upstream {
  readonly #options: UpstreamOptions;
  readonly #base: ServedModel;
  readonly #holds = new Map<ServedModel, number>();
  readonly #retired = new Set<ServedModel>();
  /** What our engine said under a version, and the server. */
  readonly #here = new Map<string, Probed>();
  readonly #there = new WeakMap<ServedModel, Probed>();
  readonly #stop = new AbortController();
  #current: ServedModel;
  #message: string | null = 'it has not answered yet';
  #check = 'not checked yet';
  #isSame = true;
  #wake = (): void => undefined;
  #watching: Promise<void> = Promise.resolve();
  #bringing: Promise<unknown> = Promise.resolve();

  constructor(options: UpstreamOptions, source: VersionSource) {
    const { url, key, model: name } = options.settings;
    this.#options = options;
    const http = new UpstreamHttp(url, key);
    const unload = async (): Promise<void> => undefined;
    this.#base = { name, source, http, how: '', unload };
    this.#current = this.#base;
  }

  get settings(): UpstreamSettings {
    return this.#options.settings;
  }

  view(): UpstreamView {
    const { kind, url } = this.settings;
    const { name: model, source } = this.#current;
    const status = this.#message === null ? 'ready' : 'down';
    return {
      kind,
      url,
      model,
      version: source.id,
      status,
      message: this.#message,
      check: this.#check,
    };
  }

  /** Looks after the server from now on. */
  start(): void {
    this.#watching = this.#watch();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake();
    await this.#watching;
    await this.#bringing.catch(() => undefined);
    // A server that was started here ends with the daemon; what others serve stays.
    const own = [this.#current, ...this.#retired].filter(({ ended }) => ended !== undefined);
    for (const served of own) await served.unload().catch(() => undefined);
    this.#base.http.close();
  }

  /** @param asked the model that a request names */
  lease(asked?: unknown): Lease {
    const { kind, model } = this.settings;
    const own = [undefined, ALIAS, `${ALIAS}:latest`, model, this.#current.name];
    // A llama.cpp server has one model, and takes any name.
    const isOwn = kind === 'llama-cpp' || own.includes(asked as string);
    const served = isOwn ? this.#current : this.#base;
    this.#holds.set(served, (this.#holds.get(served) ?? 0) + 1);
    let isHeld = true;
    return {
      served,
      name: isOwn ? served.name : String(asked),
      isForeign: !isOwn,
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#holds.set(served, (this.#holds.get(served) ?? 1) - 1);
        void this.#letGo(served);
      },
    };
  }

  /** Something that was asked of it failed: was it the server? */
  onFailure(error: unknown): void {
    if (!isAttuneError(error, 'upstream-failed') || 'upstreamStatus' in error.facts) return;
    this.#set(reasonOf(error));
    this.#wake();
  }

  /**
   * Loads a version beside what speaks and checks it there; our engine loads it, too.
   * @throws swap-refused, upstream-failed
   */
  bring(source: VersionSource): Promise<Brought> {
    const bringing = this.#bringing.catch(() => undefined).then(() => this.#bring(source));
    this.#bringing = bringing;
    return bringing;
  }

  async #bring(source: VersionSource): Promise<Brought> {
    const before = this.#current;
    if (source.id === before.source.id) {
      return { receipt: before.how, use: () => undefined, drop: async () => undefined };
    }
    if (!this.#isSame) {
      const message = `${this.settings.kind} keeps what it serves: ${this.#check}.`;
      throw new AttuneError('swap-refused', message);
    }
    const served = await this.#load(source);
    const drop = async (): Promise<void> => {
      if (served !== this.#base) await served.unload().catch(() => undefined);
    };
    try {
      const check = await this.#checkChange(before, served);
      if (check.sameness === 'different') {
        const message = `${this.settings.kind} does not run the adapter as our engine does: ${check.text}. It keeps what it serves.`;
        throw new AttuneError('swap-refused', message);
      }
      const receipt = `${served.how} Checked: ${check.text}.`.trim();
      return { receipt, drop, use: () => this.#use(served, before) };
    } catch (error) {
      await drop();
      throw error;
    }
  }

  async #load(source: VersionSource): Promise<ServedModel> {
    if (source.deltas.length === 0) return this.#base;
    const { settings, write } = this.#options;
    const name = `${ALIAS}-${source.id.replace(/[^a-z0-9]/gi, '').slice(-12)}`;
    return loadAdapter({
      ...{ name, source, base: this.#base, settings },
      write: (form) => write(source, form, name),
    });
  }

  async #checkChange(before: ServedModel, after: ServedModel) {
    const [here, there] = await this.#probe(before);
    const [hereAfter, thereAfter] = await this.#probe(after);
    return compareChange({ before: here, after: hereAfter }, { before: there, after: thereAfter });
  }

  /** Of our engine under its version, and of the server. */
  async #probe(served: ServedModel): Promise<readonly [here: Probed, there: Probed]> {
    const { source } = served;
    const here = this.#here.get(source.id) ?? (await probeEngine(this.#options.reference, source));
    this.#here.set(source.id, here);
    const there = this.#there.get(served) ?? (await probeServer(served, this.#stop.signal));
    this.#there.set(served, there);
    return [here, there];
  }

  #use(served: ServedModel, before: ServedModel): void {
    this.#current = served;
    this.#retired.delete(served);
    if (before !== this.#base) this.#retired.add(before);
    void served.ended?.then(() => this.#onEnd(served));
    void this.#letGo(before);
    this.#options.onChange(this.view());
  }

  /** A server that was started here has died: it is started again. */
  #onEnd(served: ServedModel): void {
    if (served !== this.#current || this.#stop.signal.aborted) return;
    this.#current = this.#base;
    this.#set('the server with the adapter has ended, and is started again');
    this.#wake();
  }

  async #letGo(served: ServedModel): Promise<void> {
    if ((this.#holds.get(served) ?? 0) > 0 || !this.#retired.delete(served)) return;
    this.#holds.delete(served);
    await served.unload().catch((error: unknown) => {
      this.#options.logger.warn({ error, model: served.name }, 'an adapter was not unloaded');
    });
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const late = AbortSignal.any([signal, AbortSignal.timeout(LOOK_MS_MAX)]);
        await this.#current.http.json({ path: '/v1/models', signal: late });
        if (this.#message !== null) await this.#settle();
        this.#set(null);
      } catch (error) {
        if (!signal.aborted) this.#set(reasonOf(error));
      }
      if (signal.aborted) return;
      const waitMs = this.#message === null ? ALIVE_MS : DOWN_MS;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** It is there (again): is it the right model, and has it the adapter? */
  async #settle(): Promise<void> {
    const { wanted, logger } = this.#options;
    this.#current = this.#base;
    this.#check = 'being compared with the file that trains';
    const source = await wanted();
    const isBase = source.id === this.#base.source.id;
    this.#set(isBase ? null : 'the active nights are being brought to it');
    this.#there.delete(this.#base);
    const { sameness, text } = compare(...(await this.#probe(this.#base)));
    this.#check = text;
    this.#isSame = sameness !== 'different';
    logger[this.#isSame ? 'info' : 'warn']({ upstream: this.settings.url }, text);
    this.#options.onChange(this.view());
    if (isBase) return;
    try {
      (await this.bring(source)).use();
    } catch (error) {
      // It speaks without what the nights have learnt, which is said, rather than not at all.
      this.#check = `it speaks without the active nights: ${reasonOf(error)}`;
      logger.error({ error }, 'the upstream server speaks without the active nights');
    }
  }

  #set(message: string | null): void {
    if (message === this.#message) return;
    this.#message = message;
    this.#options.onChange(this.view());
  }
}
