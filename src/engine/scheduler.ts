// Decides what runs next: prompts in chunks between decode steps, jobs in units, everyone in turn.
import { at } from '../base/at.ts';
import type { Advancing } from './job.ts';
import type { LiveVersions } from './live-versions.ts';
import { cutRuns, type PrefixCache, reusableTokens } from './prefix-cache.ts';
import type { Reply } from './reply.ts';
import type { Batch, Row, Runner } from './runner.ts';
import type { Scores, Scratch } from './sampling.ts';

export interface SchedulerOptions {
  readonly runner: Runner;
  readonly versions: LiveVersions;
  readonly prefixes: PrefixCache;
  readonly cacheBytesMax: number;
  /** Replies that are prefilled or decoded at once. */
  readonly batchMax: number;
  readonly prefillChunkTokens: number;
  readonly vocabularySize: number;
  /** Milliseconds; decides when things run, never what they give. */
  readonly now?: () => number;
}

/** Replies that decode together: those that follow the current version, or those bound to one. */
interface Group {
  readonly batch: Batch;
  readonly replies: Map<Row, Reply>;
}

export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #scratch: Scratch;
  readonly #waiting: Reply[] = [];
  readonly #prefilling: Reply[] = [];
  /** By bound version; '' holds those that follow the current one. */
  readonly #groups = new Map<string, Group>();
  readonly #jobs: Advancing[] = [];
  readonly #now: () => number;
  /** What the last round of decode steps took. */
  #decodeMs = 0;
  #isTurnOfOldest = true;
  #running: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#scratch = new Float64Array(options.vocabularySize);
    this.#now = options.now ?? (() => performance.now());
  }

  get repliesInFlight(): number {
    return this.#waiting.length + this.#active;
  }

  /** @throws version-unknown when the reply is bound to a version that is not live */
  submit(reply: Reply): void {
    if (reply.request.version !== undefined) this.#options.versions.use(reply.request.version);
    this.#waiting.push(reply);
    this.#wake();
  }

  addJob(job: Advancing): void {
    this.#jobs.push(job);
    this.#wake();
  }

  /** A conversation was deleted: its cache goes now, or with the reply that uses it. */
  forget(cacheKey: string): void {
    this.#options.prefixes.forget(cacheKey);
    for (const reply of this.#everyone()) {
      if (reply.request.cacheKey === cacheKey) reply.keepsCache = false;
    }
  }

  /** Waits for the current run, then fails whatever is left. */
  async close(error: Error): Promise<void> {
    this.#isClosed = true;
    await this.#running;
    for (const reply of [...this.#everyone()]) this.#end(reply, error);
    for (const job of this.#jobs.splice(0)) await job.cancel(error);
  }

  get #active(): number {
    let decoding = 0;
    for (const { replies } of this.#groups.values()) decoding += replies.size;
    return this.#prefilling.length + decoding;
  }

  *#everyone(): Generator<Reply> {
    yield* this.#waiting;
    yield* this.#prefilling;
    for (const { replies } of this.#groups.values()) yield* replies.values();
  }

  #wake(): void {
    // A failed reply has been told; what escapes here is a mistake of ours and must be seen.
    this.#running ??= this.#loop();
  }

  async #loop(): Promise<void> {
    await new Promise(setImmediate); // what is submitted together starts together
    while (!this.#isClosed) {
      this.#endAborted();
      this.#admit();
      if (this.#active === 0 && this.#jobs.length === 0) {
        this.#running = undefined;
        return;
      }
      await this.#prefill();
      await this.#decodeAll();
      if (this.#jobs.length === 0) continue;
      await this.#advanceJobs();
      await this.#decodeAll();
    }
  }

  #endAborted(): void {
    for (const reply of [...this.#everyone()]) {
      if (!reply.isAborted && !reply.isDone) continue;
      this.#end(reply);
    }
  }

  /** Starts waiting replies, oldest first, while places and cache bytes last. */
  #admit(): void {
    const { batchMax, prefixes, cacheBytesMax } = this.#options;
    for (;;) {
      const [next] = this.#waiting;
      if (next === undefined || this.#active >= batchMax) return;
      const planned = this.#plannedBytes(next);
      if (this.#active > 0 && planned > cacheBytesMax) return;
      this.#waiting.shift();
      this.#start(next);
      prefixes.shrinkTo(Math.max(0, cacheBytesMax - planned));
    }
  }

  /** Bytes of all replies at work with one more, each padded to the longest it may become. */
  #plannedBytes(next: Reply): number {
    let longest = next.tokensMax;
    for (const reply of this.#everyone()) {
      if (reply.row !== undefined) longest = Math.max(longest, reply.tokensMax);
    }
    return (this.#active + 1) * longest * this.#options.runner.bytesPerToken;
  }

  /** Takes over what is cached of its prompt, else an empty row. */
  #start(reply: Reply): void {
    const { runner, prefixes } = this.#options;
    const { cacheKey, ids, keepCache = false } = reply.request;
    const version = this.#versionOf(reply);
    const cached = cacheKey === undefined ? undefined : prefixes.take(cacheKey);
    const reused = cached === undefined ? 0 : reusableTokens(cached, ids, { version, keepCache });
    if (cached === undefined || reused === 0) {
      if (cached !== undefined) runner.close(cached.row);
      reply.start(runner.open(), [], version);
    } else {
      runner.truncate(cached.row, reused);
      reply.start(cached.row, cutRuns(cached.runs, reused), version);
    }
    this.#prefilling.push(reply);
  }

  #versionOf(reply: Reply): string {
    return reply.request.version ?? this.#options.versions.current;
  }

  /**
   * Chunks of prompts for about as long as the last round of decode steps took, one at least: so
   * replies under way are slowed to no less than half, and prompts do not wait for one step each.
   */
  async #prefill(): Promise<void> {
    const start = this.#now();
    do {
      const reply = this.#nextToPrefill();
      if (reply === undefined) return;
      await this.#prefillChunk(reply);
      this.#endAborted();
      this.#admit();
    } while (!this.#isClosed && this.#now() - start < this.#decodeMs);
  }

  /** The oldest and the one that is nearest to its first token, in turns: none starves. */
  #nextToPrefill(): Reply | undefined {
    const [oldest] = this.#prefilling;
    this.#isTurnOfOldest = !this.#isTurnOfOldest;
    if (oldest === undefined || this.#isTurnOfOldest) return oldest;
    return this.#prefilling.reduce((a, b) => (b.waitingTokens < a.waitingTokens ? b : a));
  }

  /** A prompt that is finished joins its batch. */
  async #prefillChunk(reply: Reply): Promise<void> {
    const { runner, versions, prefillChunkTokens } = this.#options;
    const row = reply.row as Row;
    const version = this.#versionOf(reply);
    // Chunks do not depend on what else runs, so neither do the rounding errors.
    const chunk = reply.chunk(prefillChunkTokens);
    const from = row.tokens;
    try {
      const [scores] = await runner.extend(row, chunk, versions.weightsOf(version));
      reply.recordRun(from, version);
      if (reply.waitingTokens > 0) return;
      reply.take(scores as Scores, this.#scratch, version);
      this.#prefilling.splice(this.#prefilling.indexOf(reply), 1);
      if (reply.isDone || reply.isAborted) this.#end(reply);
      else this.#join(reply);
    } catch (error) {
      this.#end(reply, error);
    }
  }

  #join(reply: Reply): void {
    const key = reply.request.version ?? '';
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = { batch: this.#options.runner.createBatch(), replies: new Map() };
      this.#groups.set(key, group);
    }
    const row = reply.row as Row;
    group.batch.join(row);
    group.replies.set(row, reply);
  }

  /** One step of every group. */
  async #decodeAll(): Promise<void> {
    const start = this.#now();
    await this.#decodeGroups();
    this.#decodeMs = this.#groups.size === 0 ? 0 : this.#now() - start;
  }

  async #decodeGroups(): Promise<void> {
    for (const [key, group] of [...this.#groups]) {
      this.#endAborted();
      if (group.replies.size === 0) this.#groups.delete(key);
      else await this.#decode(key, group);
      if (this.#isClosed) return;
    }
  }

  async #decode(key: string, { batch, replies }: Group): Promise<void> {
    const { versions } = this.#options;
    const version = key === '' ? versions.current : key;
    const members = batch.rows.map((row) => replies.get(row) as Reply);
    const ids = Int32Array.from(members, (reply) => reply.lastId);
    try {
      const scores = await batch.step(ids, versions.weightsOf(version));
      members.forEach((reply, i) => {
        this.#takeToken(reply, at(scores, i), version);
      });
    } catch (error) {
      for (const reply of members) this.#end(reply, error);
    }
  }

  #takeToken(reply: Reply, scores: Scores, version: string): void {
    try {
      reply.recordRun((reply.row as Row).tokens - 1, version);
      reply.take(scores, this.#scratch, version);
      if (reply.isDone) this.#end(reply);
    } catch (error) {
      this.#end(reply, error);
    }
  }

  /** Takes a reply out of wherever it is, keeps its cache for the next turn, and settles it. */
  #end(reply: Reply, error?: unknown): void {
    const { runner, prefixes, versions, cacheBytesMax } = this.#options;
    for (const list of [this.#waiting, this.#prefilling]) {
      const at = list.indexOf(reply);
      if (at >= 0) list.splice(at, 1);
    }
    const { row, request } = reply;
    if (row !== undefined) {
      const group = this.#groups.get(request.version ?? '');
      const key = error === undefined && reply.keepsCache ? request.cacheKey : undefined;
      if (group?.replies.delete(row) && key !== undefined) group.batch.leave(row);
      if (key !== undefined) {
        prefixes.put(key, { row, ids: reply.sequence, runs: reply.cacheRuns });
        prefixes.shrinkTo(cacheBytesMax);
      } else runner.close(row);
      reply.row = undefined;
    }
    if (request.version !== undefined) versions.release(request.version);
    if (error === undefined) reply.finish();
    else reply.fail(error);
  }

  /**
   * Units of jobs, in turn, for up to half as long as the last round of decode steps took, and one
   * at least: a reply under way waits for less than one step more.
   */
  async #advanceJobs(): Promise<void> {
    const start = this.#now();
    do {
      const [job] = this.#jobs;
      if (job === undefined) return;
      const isDone = await job.advance();
      this.#jobs.shift();
      if (!isDone) this.#jobs.push(job);
    } while (!this.#isClosed && this.#now() - start < this.#decodeMs / 2);
  }
}
