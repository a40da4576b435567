// A reader that keeps contexts it has run, within a bound: measuring asks for the same ones again
// under the same weights (both cache conditions, attention, knock-out). It changes no number.
import { type ContextCache, Reader, type ReaderOptions, type TrainableWeights } from './reader.ts';

interface Kept {
  readonly cache: ContextCache;
  /** Handed out and not given back. */
  users: number;
}

export class KeptReader extends Reader {
  readonly #bytesMax: number;
  /** Least recently used first. */
  readonly #kept = new Map<string, Kept>();
  readonly #names = new WeakMap<TrainableWeights, number>();
  #weightsSeen = 0;
  #bytes = 0;

  /** @param bytesMax memory for contexts; those in use may pass it */
  constructor(options: ReaderOptions, bytesMax: number) {
    super(options);
    this.#bytesMax = bytesMax;
  }

  /** The caller releases the cache as always; it must not change the weights it gave. */
  override async prefill(
    contextIds: readonly number[],
    weights: TrainableWeights,
  ): Promise<ContextCache> {
    const key = `${this.#nameOf(weights)}:${contextIds.join(' ')}`;
    const known = this.#kept.get(key);
    const kept = known ?? { cache: await super.prefill(contextIds, weights), users: 0 };
    if (known === undefined) this.#bytes += kept.cache.bytes;
    kept.users += 1;
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    this.#shrink();
    return this.#lent(kept);
  }

  #nameOf(weights: TrainableWeights): number {
    const known = this.#names.get(weights);
    if (known !== undefined) return known;
    this.#weightsSeen += 1;
    this.#names.set(weights, this.#weightsSeen);
    return this.#weightsSeen;
  }

  #lent(kept: Kept): ContextCache {
    let isBack = false;
    const release = (): void => {
      if (isBack) return;
      isBack = true;
      kept.users -= 1;
      this.#shrink();
    };
    return { ...kept.cache, release };
  }

  #shrink(): void {
    for (const [key, { cache, users }] of this.#kept) {
      if (this.#bytes <= this.#bytesMax) return;
      if (users > 0) continue;
      this.#kept.delete(key);
      this.#bytes -= cache.bytes;
      cache.release();
    }
  }

  override async close(): Promise<void> {
    for (const { cache } of this.#kept.values()) cache.release();
    this.#kept.clear();
    this.#bytes = 0;
    await super.close();
  }
}
