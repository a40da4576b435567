// The runner of a GPU: KV caches stay on the device, one row a run, in prefill and in decode.
import type { HostTensor, Program, Value } from '../runtime/executor.ts';
import { ascending, f32, i32, takeAll } from '../runtime/host-tensor.ts';
import { bytesPerToken, type CacheLayout } from './cache-block.ts';
import { scoresOf } from './host-runner.ts';
import type { Batch, Past, Row, Runner, WeightFeeds } from './runner.ts';
import type { Scores } from './sampling.ts';

class DeviceRow implements Row {
  tokens = 0;
  /** `past.<layer>.key|value` (1, kvHeads, tokens, headDim); none while it is empty. */
  cache: Readonly<Record<string, Value>> | undefined;
  batch: DeviceBatch | undefined;
}

/** WebGPU has no buffer of no bytes: an empty past is one token that is masked. */
const EMPTY_CAPACITY = 1;

export class DeviceRunner implements Runner {
  readonly bytesPerToken: number;
  readonly #program: Program;
  readonly #layout: CacheLayout;
  #tokens = 0;

  /** @param program the fused graph, kept `present` and on the device, compiled */
  constructor(program: Program, layout: CacheLayout) {
    this.#program = program;
    this.#layout = layout;
    this.bytesPerToken = bytesPerToken(layout);
  }

  get bytes(): number {
    return this.#tokens * this.bytesPerToken;
  }

  open(): Row {
    return new DeviceRow();
  }

  async extend(
    row: Row,
    ids: Int32Array,
    weights: WeightFeeds,
    scored = 1,
  ): Promise<readonly Scores[]> {
    const own = row as DeviceRow;
    const length = ids.length;
    const total = own.tokens + length;
    const results = await this.#program.run({
      ...weights,
      ...(own.cache ?? this.#emptyPast(0)),
      ids: i32([1, length], ids),
      lengths: i32([1], Int32Array.of(total - 1)),
      total: i32([], Int32Array.of(total)),
      last: ascending([scored], length - scored),
    });
    const { logits, logSums, ...present } = results;
    this.#release(own);
    own.cache = Object.fromEntries(
      Object.entries(present).map(([name, value]) => [name.replace('present', 'past'), value]),
    );
    own.tokens = total;
    this.#tokens += total;
    return scoresOf(await takeAll({ logits: logits as Value, logSums: logSums as Value }));
  }

  /** A cache on the device is not cut: what reaches too far goes whole. */
  truncate(row: Row, tokens: number): void {
    if (row.tokens > tokens) this.#release(row as DeviceRow);
  }

  close(row: Row): void {
    const own = row as DeviceRow;
    own.batch?.leave(own);
    this.#release(own);
  }

  pastOf(row: Row): Past {
    const { cache, tokens } = row as DeviceRow;
    if (cache !== undefined) return { feeds: cache, capacity: tokens };
    return { feeds: this.#emptyPast(EMPTY_CAPACITY), capacity: EMPTY_CAPACITY };
  }

  createBatch(): Batch {
    return new DeviceBatch(this);
  }

  #release(row: DeviceRow): void {
    for (const value of Object.values(row.cache ?? {})) value.release();
    this.#tokens -= row.tokens;
    row.cache = undefined;
    row.tokens = 0;
  }

  #emptyPast(capacity: number): Record<string, HostTensor> {
    const { layers, kvHeads, headDim } = this.#layout;
    const shape = [1, kvHeads, capacity, headDim];
    const past: Record<string, HostTensor> = {};
    for (let layer = 0; layer < layers; layer++) {
      for (const part of ['key', 'value']) {
        const data = new Float32Array(kvHeads * capacity * headDim);
        past[`past.${layer}.${part}`] = f32(shape, data);
      }
    }
    return past;
  }
}

/** Rows that take turns: a step is one run of each. */
class DeviceBatch implements Batch {
  readonly rows: DeviceRow[] = [];
  readonly #runner: DeviceRunner;

  constructor(runner: DeviceRunner) {
    this.#runner = runner;
  }

  join(row: Row): void {
    (row as DeviceRow).batch = this;
    this.rows.push(row as DeviceRow);
  }

  leave(row: Row): void {
    (row as DeviceRow).batch = undefined;
    this.rows.splice(this.rows.indexOf(row as DeviceRow), 1);
  }

  async step(ids: Int32Array, weights: WeightFeeds): Promise<readonly Scores[]> {
    const scores: Scores[] = [];
    for (const [i, row] of this.rows.entries()) {
      scores.push(...(await this.#runner.extend(row, ids.subarray(i, i + 1), weights)));
    }
    return scores;
  }
}
