// Keys and values of some sequences in host memory, laid out as the graphs read them.
import { at } from '../base/at.ts';
import type { HostTensor } from '../runtime/executor.ts';
import { f32 } from '../runtime/host-tensor.ts';

export interface CacheLayout {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Bytes that one token of one sequence takes: keys and values of every layer, f32. */
export function bytesPerToken({ layers, kvHeads, headDim }: CacheLayout): number {
  return 2 * layers * kvHeads * headDim * Float32Array.BYTES_PER_ELEMENT;
}

/** Counts the bytes of all blocks of an engine. */
export interface Gauge {
  bytes: number;
}

/**
 * Right-padded caches: for each layer a key and a value array (rows, kvHeads, capacity, headDim).
 * What lies beyond a row's tokens is finite and never read.
 */
export class CacheBlock {
  readonly layout: CacheLayout;
  readonly rows: number;
  readonly capacity: number;
  readonly #arrays: readonly Float32Array[];
  readonly #gauge: Gauge;
  readonly #bytes: number;

  constructor(layout: CacheLayout, rows: number, capacity: number, gauge: Gauge) {
    this.layout = layout;
    this.rows = rows;
    this.capacity = capacity;
    this.#gauge = gauge;
    this.#bytes = rows * capacity * bytesPerToken(layout);
    const size = rows * layout.kvHeads * capacity * layout.headDim;
    this.#arrays = Array.from({ length: 2 * layout.layers }, () => new Float32Array(size));
    gauge.bytes += this.#bytes;
  }

  /** Takes it off the gauge; the memory goes with the last reference. */
  release(): void {
    this.#gauge.bytes -= this.#bytes;
  }

  /**
   * The first rows as `past.<layer>.key|value` (rows, kvHeads, capacity, headDim): views, no copy.
   */
  feeds(rows = this.rows): Record<string, HostTensor> {
    const { kvHeads, headDim } = this.layout;
    const shape = [rows, kvHeads, this.capacity, headDim];
    const size = shape.reduce((product, each) => product * each, 1);
    const feeds: Record<string, HostTensor> = {};
    this.#arrays.forEach((array, i) => {
      feeds[`past.${nameAt(i)}`] = f32(shape, array.subarray(0, size));
    });
    return feeds;
  }

  /**
   * Writes `length` tokens of one row of a run's new keys and values at position `at`.
   * @param own (batch, length, layers * 2 * kvHeads * headDim)
   */
  append(
    own: Float32Array,
    { row, at, ownRow, length }: { row: number; at: number; ownRow: number; length: number },
  ): void {
    const { kvHeads, headDim } = this.layout;
    const width = kvHeads * headDim;
    const step = this.#arrays.length * width;
    this.#arrays.forEach((array, i) => {
      for (let token = 0; token < length; token++) {
        let from = (ownRow * length + token) * step + i * width;
        for (let head = 0; head < kvHeads; head++) {
          const to = ((row * kvHeads + head) * this.capacity + at + token) * headDim;
          // A loop: `set` of a subarray costs more than these few numbers.
          for (let k = 0; k < headDim; k++) array[to + k] = own[from++] as number;
        }
      }
    });
  }

  /** The first `tokens` of a row of another block into a row of this one. */
  copyRow(source: CacheBlock, sourceRow: number, row: number, tokens: number): void {
    const { kvHeads, headDim } = this.layout;
    this.#arrays.forEach((array, i) => {
      const other = at(source.#arrays, i);
      for (let head = 0; head < kvHeads; head++) {
        const from = (sourceRow * kvHeads + head) * source.capacity * headDim;
        const to = (row * kvHeads + head) * this.capacity * headDim;
        if (other === array) array.copyWithin(to, from, from + tokens * headDim);
        else array.set(other.subarray(from, from + tokens * headDim), to);
      }
    });
  }
}

/** `0.key`, `0.value`, `1.key`, … */
function nameAt(index: number): string {
  return `${index >> 1}.${index % 2 === 0 ? 'key' : 'value'}`;
}
