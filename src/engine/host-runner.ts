// Runs the chat graph with caches in host memory: single rows in prefill, joint batches in decode.
import type { HostTensor, Program, Value } from '../runtime/executor.ts';
import { bytesPerToken, CacheBlock, type CacheLayout, type Gauge } from './cache-block.ts';
import type { Batch, Past, Row, Runner, WeightFeeds } from './runner.ts';

/** A batch's cache grows by this many tokens at once; each row reads no more than its own. */
const GROWTH_TOKENS = 64;
/** … and, from the second row on, by this factor of rows, so that joining is seldom a copy. */
const SPARE_ROWS = 1.5;
/** A cache this many times larger than its rows need is made anew. */
const WASTE_MAX = 4;

class HostRow implements Row {
  tokens = 0;
  /** Its own cache (1 row, capacity = tokens) while it is in no batch. */
  block: CacheBlock | undefined;
  batch: HostBatch | undefined;

  constructor(block: CacheBlock) {
    this.block = block;
  }
}

export class HostRunner implements Runner {
  readonly bytesPerToken: number;
  readonly layout: CacheLayout;
  readonly gauge: Gauge = { bytes: 0 };
  readonly #program: Program;

  /** @param program the fused graph, kept `own`, compiled */
  constructor(program: Program, layout: CacheLayout) {
    this.#program = program;
    this.layout = layout;
    this.bytesPerToken = bytesPerToken(layout);
  }

  get bytes(): number {
    return this.gauge.bytes;
  }

  open(): Row {
    return new HostRow(new CacheBlock(this.layout, 1, 0, this.gauge));
  }

  async extend(row: Row, ids: Int32Array, weights: WeightFeeds): Promise<Float32Array> {
    const { block, tokens } = asFree(row);
    const length = ids.length;
    const own = await this.run(block.feeds(), weights, {
      ids: i32([1, length], ids),
      positions: i32(
        [1, length],
        Int32Array.from(ids, (_, i) => tokens + i),
      ),
      lengths: i32([1], Int32Array.of(tokens + length - 1)),
      total: i32([], Int32Array.of(tokens + length)),
      last: i32([1], Int32Array.of(length - 1)),
    });
    const grown = this.#resized(row, tokens + length);
    grown.append(own, { row: 0, at: tokens, ownRow: 0, length });
    (row as HostRow).tokens = tokens + length;
    return own.logits?.data as Float32Array; // (1, vocabularySize)
  }

  truncate(row: Row, tokens: number): void {
    if (asFree(row).tokens === tokens) return;
    (row as HostRow).tokens = tokens;
    this.#resized(row, tokens);
  }

  close(row: Row): void {
    const host = row as HostRow;
    host.batch?.drop(host);
    host.block?.release();
    host.block = undefined;
  }

  createBatch(): Batch {
    return new HostBatch(this);
  }

  pastOf(row: Row): Past {
    const { block } = asFree(row);
    return { feeds: block.feeds(), capacity: block.capacity };
  }

  /** One run of the chat graph. @returns all outputs at home */
  async run(
    past: Readonly<Record<string, HostTensor>>,
    weights: WeightFeeds,
    inputs: Readonly<Record<string, HostTensor>>,
  ): Promise<Record<string, HostTensor>> {
    return atHome(await this.#program.run({ ...weights, ...past, ...inputs }));
  }

  /** Gives a free row a cache of another capacity that holds what of it fits. */
  #resized(row: Row, capacity: number): CacheBlock {
    const { block } = asFree(row);
    const next = new CacheBlock(this.layout, 1, capacity, this.gauge);
    next.copyRow(block, 0, 0, Math.min(block.capacity, capacity));
    block.release();
    (row as HostRow).block = next;
    return next;
  }
}

class HostBatch implements Batch {
  readonly rows: HostRow[] = [];
  readonly #runner: HostRunner;
  #block: CacheBlock | undefined;
  #feeds: Record<string, HostTensor> | undefined;

  constructor(runner: HostRunner) {
    this.#runner = runner;
  }

  join(row: Row): void {
    const { block, tokens } = asFree(row);
    const longest = Math.max(tokens, ...this.rows.map((each) => each.tokens));
    this.#reserve(this.rows.length + 1, longest + 1);
    this.#block?.copyRow(block, 0, this.rows.length, tokens);
    block.release();
    const host = row as HostRow;
    host.block = undefined;
    host.batch = this;
    this.rows.push(host);
  }

  leave(row: Row): void {
    const host = row as HostRow;
    const { layout, gauge } = this.#runner;
    const own = new CacheBlock(layout, 1, host.tokens, gauge);
    own.copyRow(this.#block as CacheBlock, this.rows.indexOf(host), 0, host.tokens);
    this.drop(host);
    host.block = own;
  }

  /** Takes a row out and lets its cache go; the last row moves into its place. */
  drop(row: HostRow): void {
    const at = this.rows.indexOf(row);
    const last = this.rows.pop() as HostRow;
    row.batch = undefined;
    this.#feeds = undefined;
    if (last !== row) {
      this.rows[at] = last;
      this.#block?.copyRow(this.#block, this.rows.length, at, last.tokens);
    }
    if (this.rows.length > 0) return;
    this.#block?.release();
    this.#block = undefined;
  }

  async step(ids: Int32Array, weights: WeightFeeds): Promise<Float32Array> {
    const { rows } = this;
    const count = rows.length;
    const longest = Math.max(...rows.map((row) => row.tokens));
    this.#reserve(count, longest + 1);
    const block = this.#block as CacheBlock;
    this.#feeds ??= block.feeds(count);
    const tokens = Int32Array.from(rows, (row) => row.tokens);
    const own = await this.#runner.run(this.#feeds, weights, {
      ids: i32([count, 1], ids),
      positions: i32([count, 1], tokens),
      lengths: i32([count], tokens),
      total: i32([], Int32Array.of(longest + 1)),
      last: i32([count], new Int32Array(count)),
    });
    rows.forEach((row, i) => {
      block.append(own, { row: i, at: row.tokens, ownRow: i, length: 1 });
      row.tokens++;
    });
    return own.logits?.data as Float32Array; // (rows, vocabularySize)
  }

  /** Makes room for so many rows of so many tokens; what is there moves along. */
  #reserve(count: number, tokens: number): void {
    const old = this.#block;
    if (count !== this.rows.length) this.#feeds = undefined;
    const wanted = Math.ceil(tokens / GROWTH_TOKENS) * GROWTH_TOKENS;
    if (old !== undefined && fits(old, count, tokens) && !isWasteful(old, count, wanted)) return;
    const isMoreRows = old !== undefined && count > old.rows;
    const rows = isMoreRows ? Math.ceil(count * SPARE_ROWS) : count;
    const { layout, gauge } = this.#runner;
    const next = new CacheBlock(layout, rows, wanted, gauge);
    this.rows.forEach((row, i) => {
      next.copyRow(old as CacheBlock, i, i, row.tokens);
    });
    old?.release();
    this.#block = next;
    this.#feeds = undefined;
  }
}

const fits = (block: CacheBlock, rows: number, tokens: number): boolean =>
  block.rows >= rows && block.capacity >= tokens;

const isWasteful = (block: CacheBlock, rows: number, capacity: number): boolean =>
  block.rows * block.capacity > WASTE_MAX * rows * capacity;

function asFree(row: Row): { block: CacheBlock; tokens: number } {
  const { block, tokens } = row as HostRow;
  if (block === undefined) throw new Error('this row is closed or in a batch');
  return { block, tokens };
}

export function i32(shape: readonly number[], data: Int32Array): HostTensor {
  return { dtype: 'i32', shape, data };
}

/** Reads every value and releases it. */
export async function atHome(
  values: Readonly<Record<string, Value>>,
): Promise<Record<string, HostTensor>> {
  const home: Record<string, HostTensor> = {};
  for (const [name, value] of Object.entries(values)) {
    home[name] = await value.read();
    value.release();
  }
  return home;
}
