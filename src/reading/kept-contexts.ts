// Contexts that were run, kept within a bound: training asks for the same ones again under the same
// weights. It changes no number.
import type { ContextCache, Reader, TrainableWeights } from './reader.ts';

interface Kept {
  readonly cache: ContextCache;
  /** Handed out and not given back. */
  users: number;
}

/** Contexts within a bound, by the weights that they were run under. */
export class KeptContexts {
  readonly #reader: Reader;
  readonly #bytesMax: number;
  /** Least recently used first. */
  readonly #kept = new Map<string, Kept>();
  readonly #names = new WeakMap<TrainableWeights, number>();
  #weightsSeen = 0;
  #bytes = 0;

  constructor(reader: Reader, bytesMax: number) {
    this.#reader = reader;
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  async get(contextIds: readonly number[], weights: TrainableWeights): Promise<ContextCache> {
    const key = `${this.#nameOf(weights)}:${contextIds.join(' ')}`;
    const known = this.#kept.get(key);
    const kept = known ?? { cache: await this.#reader.prefill(contextIds, weights), users: 0 };
    if (known === undefined) this.#bytes += kept.cache.bytes;
    kept.users += 1;
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    this.#shrink();
    return this.#shared(kept);
  }

  #nameOf(weights: TrainableWeights): number {
    const known = this.#names.get(weights);
    if (known !== undefined) return known;
    this.#weightsSeen += 1;
    this.#names.set(weights, this.#weightsSeen);
    return this.#weightsSeen;
  }

  /** The cache for one more user, whose `release` gives it back. */
  #shared(kept: Kept): ContextCache {
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

  release(): void {
    for (const { cache } of this.#kept.values()) cache.release();
    this.#kept.clear();
    this.#bytes = 0;
  }
}
