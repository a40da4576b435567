// The runner of a CPU: KV caches in host memory, prompts one by one, replies decoded as one batch.
import type { Executor, HostTensor, Program, Value } from '../runtime/executor.ts';
import { ascending, i32, takeAll } from '../runtime/host-tensor.ts';
import { bytesPerToken, CacheBlock, type CacheLayout, type Gauge } from './cache-block.ts';
import type { Batch, Past, Row, Runner, WeightFeeds } from './runner.ts';
import type { Scores } from './sampling.ts';

/** A batch's cache grows by this many tokens at once; each row reads no more than its own. */
const GROWTH_TOKENS = 64;
/** … and, from the second row on, by this factor of rows, so that joining is seldom a copy. */
const SPARE_ROWS = 1.5;
/** A cache this many times larger than its rows need is made again. */
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
  readonly #executor: Executor;
  readonly #program: Program;

  /** @param program the fused graph, kept `own`, compiled by `executor` */
  constructor(executor: Executor, program: Program, layout: CacheLayout) {
    this.#executor = executor;
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

  async extend(
    row: Row,
    ids: Int32Array,
    weights: WeightFeeds,
    scored = 1,
  ): Promise<readonly Scores[]> {
    const { block, tokens } = asFree(row);
    const length = ids.length;
    const results = await this.run({
      ...weights,
      ...block.feeds(),
      ids: i32([1, length], ids),
      positions: ascending([1, length], tokens),
      lengths: i32([1], Int32Array.of(tokens + length - 1)),
      total: i32([], Int32Array.of(tokens + length)),
      last: ascending([scored], length - scored),
    });
    const grown = this.#resized(row, tokens + length);
    grown.append(dataOf(results.own), { row: 0, at: tokens, ownRow: 0, length });
    (row as HostRow).tokens = tokens + length;
    return scoresOf(results);
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

  /** What is fed run after run is wrapped once; on a CPU that copies nothing. */
  upload(tensor: HostTensor): Promise<Value> {
    return this.#executor.upload(tensor);
  }

  /** One run of the chat graph. @returns all outputs, in host memory */
  async run(
    feeds: Readonly<Record<string, HostTensor | Value>>,
  ): Promise<Record<string, HostTensor>> {
    return takeAll(await this.#program.run(feeds));
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
  #steady: SteadyFeeds | undefined;

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

  /** Takes a row out and drops its cache; the last row moves into its place. */
  drop(row: HostRow): void {
    const at = this.rows.indexOf(row);
    const last = this.rows.pop() as HostRow;
    row.batch = undefined;
    this.#dropSteady();
    if (last !== row) {
      this.rows[at] = last;
      this.#block?.copyRow(this.#block, this.rows.length, at, last.tokens);
    }
    if (this.rows.length > 0) return;
    this.#block?.release();
    this.#block = undefined;
  }

  async step(ids: Int32Array, weights: WeightFeeds): Promise<readonly Scores[]> {
    const { rows } = this;
    const count = rows.length;
    const longest = Math.max(...rows.map((row) => row.tokens));
    this.#reserve(count, longest + 1);
    const block = this.#block as CacheBlock;
    const { feeds } = await this.#steadyFeeds(block, weights);
    const tokens = Int32Array.from(rows, (row) => row.tokens);
    const results = await this.#runner.run({
      ...feeds,
      ids: i32([count, 1], ids),
      positions: i32([count, 1], tokens),
      lengths: i32([count], tokens),
      total: i32([], Int32Array.of(longest + 1)),
      last: ascending([count]),
    });
    const own = dataOf(results.own); // (rows, 1, layers * 2 * kvHeads * headDim)
    rows.forEach((row, i) => {
      block.append(own, { row: i, at: row.tokens, ownRow: i, length: 1 });
      row.tokens++;
    });
    return scoresOf(results);
  }

  /** Makes room for `count` rows of `tokens` tokens; what is cached moves along. */
  #reserve(count: number, tokens: number): void {
    const old = this.#block;
    if (count !== this.rows.length) this.#dropSteady();
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
    this.#dropSteady();
  }

  async #steadyFeeds(block: CacheBlock, weights: WeightFeeds): Promise<SteadyFeeds> {
    if (this.#steady?.weights === weights) return this.#steady;
    this.#dropSteady();
    const past: Record<string, Value> = {};
    for (const [name, tensor] of Object.entries(block.feeds(this.rows.length))) {
      past[name] = await this.#runner.upload(tensor);
    }
    this.#steady = { weights, past, feeds: { ...weights, ...past } };
    return this.#steady;
  }

  #dropSteady(): void {
    for (const value of Object.values(this.#steady?.past ?? {})) value.release();
    this.#steady = undefined;
  }
}

/** What steps have in common until the batch, its cache or the weights change. */
interface SteadyFeeds {
  readonly weights: WeightFeeds;
  readonly past: Readonly<Record<string, Value>>;
  readonly feeds: Readonly<Record<string, Value>>;
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

const dataOf = (tensor: HostTensor | undefined): Float32Array => tensor?.data as Float32Array;

/** Those of each row, from `logits` (rows, vocabularySize) and `logSums` (rows) of a run. */
export function scoresOf({ logits, logSums }: Readonly<Record<string, HostTensor>>): Scores[] {
  const size = logits?.shape[1] as number;
  return Array.from(dataOf(logSums), (logSum, row) => ({
    logits: dataOf(logits).subarray(row * size, (row + 1) * size),
    logSum,
  }));
}
