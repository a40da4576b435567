// The weights versions that are loaded in an engine, one of them current; bounded by their bytes.
import { AttuneError } from '../base/errors.ts';
import { createQueue } from '../base/queue.ts';
import { sizeOf } from '../model/delta.ts';
import type { Model } from '../model/model.ts';
import { loadFactors, loadVersion } from '../model/versions.ts';
import { isQProj } from '../model/weight-names.ts';
import type { Executor, Value } from '../runtime/executor.ts';
import type { VersionSource } from './engine.ts';
import type { WeightFeeds } from './runner.ts';

interface LiveVersion {
  readonly weights: WeightFeeds;
  /** Requests that are bound to it by name. */
  uses: number;
}

/** The current one and the one that is to be. */
const LIVE_MIN = 2;

interface LiveOptions {
  readonly model: Model;
  readonly executor: Executor;
  /** Of all live versions together; two are live whatever they take. */
  readonly bytesMax: number;
}

export class LiveVersions {
  readonly #model: Model;
  readonly #executor: Executor;
  readonly #liveMax: number;
  /** In the order of loading. */
  readonly #live = new Map<string, LiveVersion>();
  /** Loads happen one after another. */
  readonly #loading = createQueue();
  #current: string;

  private constructor({ model, executor, bytesMax }: LiveOptions, current: string) {
    this.#model = model;
    this.#executor = executor;
    this.#current = current;
    const trained = [...model.weights.values()].filter(({ name }) => isQProj(name));
    // What a delta takes when it is dense; factors take less.
    const bytes = trained.reduce((total, { shape }) => total + 4 * sizeOf(shape), 0);
    this.#liveMax = Math.max(LIVE_MIN, Math.floor(bytesMax / bytes));
  }

  /** @throws version-mismatch, delta-damaged, model-not-found */
  static async open(options: LiveOptions, source: VersionSource): Promise<LiveVersions> {
    const versions = new LiveVersions(options, source.id);
    await versions.load(source);
    return versions;
  }

  get current(): string {
    return this.#current;
  }

  /** @throws version-unknown */
  weightsOf(id: string): WeightFeeds {
    return this.#find(id).weights;
  }

  /** Not retired until one `release` for each call. @throws version-unknown */
  use(id: string): void {
    this.#find(id).uses++;
  }

  release(id: string): void {
    this.#find(id).uses--;
  }

  /** Loads a version beside the others; the oldest goes where there is no room. A live one stays. */
  load(source: VersionSource): Promise<void> {
    return this.#loading(() => this.#load(source));
  }

  /** From the next run on. @throws version-unknown */
  switchTo(id: string): void {
    this.#find(id);
    this.#current = id;
  }

  close(): void {
    for (const id of [...this.#live.keys()]) this.#drop(id);
  }

  async #load({ id, deltas }: VersionSource): Promise<void> {
    if (this.#live.has(id)) return;
    this.#assertRoom(id);
    const weights = this.#model.isQuantised
      ? await loadFactors(this.#model, deltas)
      : (await loadVersion(this.#model, deltas, { id })).weights;
    this.#assertRoom(id);
    const feeds: Record<string, Value> = {};
    for (const [name, weight] of Object.entries(weights)) {
      feeds[name] = await this.#executor.upload(weight);
    }
    const oldest = this.#oldest();
    if (oldest !== undefined) this.#drop(oldest);
    this.#live.set(id, { weights: feeds, uses: 0 });
  }

  /** What has to go for one more: the oldest that nobody uses. Undefined: there is room. */
  #oldest(): string | undefined {
    if (this.#live.size < this.#liveMax) return undefined;
    const others = [...this.#live].filter(([id]) => id !== this.#current);
    return (others.find(([, { uses }]) => uses === 0) ?? others[0])?.[0];
  }

  #assertRoom(id: string): void {
    const busy = this.#oldest();
    if (busy === undefined || this.#find(busy).uses === 0) return;
    const message =
      `${id} cannot be loaded beside ${this.#current}: requests still run under ${busy}, ` +
      `and at most ${this.#liveMax} versions are live; wait for them or abort them`;
    throw new AttuneError('version-mismatch', message, { version: id, busy });
  }

  #drop(id: string): void {
    for (const value of Object.values(this.#find(id).weights)) value.release();
    this.#live.delete(id);
  }

  #find(id: string): LiveVersion {
    const version = this.#live.get(id);
    if (version !== undefined) return version;
    const known = [...this.#live.keys()].join(', ');
    const message = `version ${id} is not loaded; live: ${known}`;
    throw new AttuneError('version-unknown', message, { version: id });
  }
}
