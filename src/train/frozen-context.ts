// Frozen contexts: each example's keys and values, kept between epochs within a memory budget.
import { KeptContexts } from '../reading/kept-contexts.ts';
import { klOfLogits } from '../reading/logits.ts';
import type { ContextCache, Reader, TrainableWeights } from '../reading/reader.ts';
import type { Example } from '../scenario/example.ts';

/**
 * All contexts of a generation are run under one snapshot of the weights, so a kept cache and one
 * that is run again are the same bits, and a resumed training needs the snapshot only. When the
 * weights have moved on too far, a new generation begins.
 */
export class FrozenContexts {
  readonly #reader: Reader;
  readonly #kept: KeptContexts;
  #snapshot: TrainableWeights;

  constructor(reader: Reader, snapshot: TrainableWeights, bytesMax: number) {
    this.#reader = reader;
    this.#snapshot = snapshot;
    this.#kept = new KeptContexts(reader, bytesMax);
  }

  /** Weights under which contexts are run. */
  get snapshot(): TrainableWeights {
    return this.#snapshot;
  }

  get keptBytes(): number {
    return this.#kept.bytes;
  }

  /** Runs `use` with the example's context; it stays valid until `use` settles. */
  async with<T>(example: Example, use: (cache: ContextCache) => Promise<T>): Promise<T> {
    const cache = await this.#kept.get(example.contextIds, this.#snapshot);
    return use(cache).finally(() => cache.release());
  }

  /**
   * How far the contexts are behind `current`: mean KL, over the probes' first decision rows, from
   * the prediction on a context run now to that on the kept one, nats.
   */
  async drift(probes: readonly Example[], current: TrainableWeights): Promise<number> {
    let total = 0;
    for (const probe of probes) {
      const row = {
        ids: probe.chosen.ids.slice(0, 1),
        targets: probe.chosen.targets.slice(0, 1),
        lossMask: [1],
      };
      const stale = await this.with(probe, (cache) => this.#reader.logits(cache, row, current));
      const cache = await this.#reader.prefill(probe.contextIds, current);
      const fresh = await this.#reader.logits(cache, row, current);
      cache.release();
      total += klOfLogits(fresh, stale);
    }
    return probes.length === 0 ? 0 : total / probes.length;
  }

  /** Begins a new generation under `snapshot`; all kept contexts are dropped. */
  renew(snapshot: TrainableWeights): void {
    this.release();
    this.#snapshot = snapshot;
  }

  /** Drops all kept contexts. */
  release(): void {
    this.#kept.release();
  }
}
