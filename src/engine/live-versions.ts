// The weights versions that are loaded in an engine: at most two, one of them current.
import { AttuneError } from '../base/errors.ts';
import { createQueue } from '../base/queue.ts';
import type { Model } from '../model/model.ts';
import { loadVersion } from '../model/versions.ts';
import type { Executor, Value } from '../runtime/executor.ts';
import type { VersionSource } from './engine.ts';
import type { WeightFeeds } from './runner.ts';

interface LiveVersion {
  readonly weights: WeightFeeds;
  /** Requests that are bound to it by name. */
  uses: number;
}

const LIVE_MAX = 2;

export class LiveVersions {
  readonly #model: Model;
  readonly #executor: Executor;
  readonly #live = new Map<string, LiveVersion>();
  /** Loads happen one after another. */
  readonly #loading = createQueue();
  #current: string;

  private constructor(model: Model, executor: Executor, current: string) {
    this.#model = model;
    this.#executor = executor;
    this.#current = current;
  }

  /** @throws version-mismatch, delta-damaged, model-not-found */
  static async open(
    model: Model,
    executor: Executor,
    source: VersionSource,
  ): Promise<LiveVersions> {
    const versions = new LiveVersions(model, executor, source.id);
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

  /** Loads a version beside the current one and retires a third. A live one stays as it is. */
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
    const { weights } = await loadVersion(this.#model, deltas, { id });
    this.#assertRoom(id);
    const feeds: Record<string, Value> = {};
    for (const [name, weight] of Object.entries(weights)) {
      feeds[name] = await this.#executor.upload(weight);
    }
    for (const other of this.#retirable()) this.#drop(other);
    this.#live.set(id, { weights: feeds, uses: 0 });
  }

  #retirable(): string[] {
    return this.#live.size < LIVE_MAX
      ? []
      : [...this.#live.keys()].filter((id) => id !== this.#current);
  }

  #assertRoom(id: string): void {
    const busy = this.#retirable().find((other) => this.#find(other).uses > 0);
    if (busy === undefined) return;
    const message =
      `${id} cannot be loaded beside ${this.#current}: requests still run under ${busy}, ` +
      'and at most two versions are live; wait for them or abort them';
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
