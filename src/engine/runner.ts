// What the scheduler needs of a device: sequences that can be extended, and batches that decode.
import type { HostTensor, Value } from '../runtime/executor.ts';
import type { Scores } from './sampling.ts';

/** The weights of one version, as fed. */
export type WeightFeeds = Readonly<Record<string, Value>>;

/** The cache of one sequence. Whoever opened it closes it once. */
export interface Row {
  /** Positions whose keys and values it holds. */
  readonly tokens: number;
}

/** Sequences that decode together, one token each a step. */
export interface Batch {
  /** In the order of a step's ids and logits. */
  readonly rows: readonly Row[];
  join(row: Row): void;
  /** The row's cache is its own again. */
  leave(row: Row): void;
  /**
   * Appends `ids[i]` to `rows[i]`.
   * @returns those of each row, the caller's until the next step
   */
  step(ids: Int32Array, weights: WeightFeeds): Promise<readonly Scores[]>;
}

/** `past.<layer>.key|value` (1, kvHeads, capacity, headDim); a row's tokens come first. */
export interface Past {
  readonly feeds: Readonly<Record<string, HostTensor | Value>>;
  /** At least the row's tokens; what lies beyond them must be masked. */
  readonly capacity: number;
}

export interface Runner {
  /** Bytes of cache that one token takes. */
  readonly bytesPerToken: number;
  /** Bytes of all caches now, padding included. */
  readonly bytes: number;
  open(): Row;
  /**
   * Appends `ids` to a row that is in no batch, in one run.
   * @param scored how many of the last ids scores are wanted after; 1 when absent
   * @returns those, in their order
   */
  extend(
    row: Row,
    ids: Int32Array,
    weights: WeightFeeds,
    scored?: number,
  ): Promise<readonly Scores[]>;
  /** Forgets what lies beyond `tokens`, or more; the row is in no batch. */
  truncate(row: Row, tokens: number): void;
  /** Frees the cache; a row in a batch leaves it. */
  close(row: Row): void;
  createBatch(): Batch;
  /** The row's cache as other graphs read it; the row is in no batch. */
  pastOf(row: Row): Past;
}
