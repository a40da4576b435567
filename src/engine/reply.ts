// One request to generate, from its prompt to its last token; it knows no other request.
import { at } from '../base/at.ts';
import type {
  DecodedToken,
  GenerateRequest,
  GenerateResult,
  StopReason,
  VersionRun,
} from './engine.ts';
import { assertVersion, withRun } from './prefix-cache.ts';
import type { Row } from './runner.ts';
import { Sampler, type Scores, type Scratch } from './sampling.ts';

export interface ReplyCallbacks {
  readonly onToken: (token: DecodedToken) => void;
  readonly resolve: (result: GenerateResult) => void;
  readonly reject: (error: unknown) => void;
  readonly signal: AbortSignal | undefined;
}

export class Reply {
  readonly request: GenerateRequest;
  readonly #callbacks: ReplyCallbacks;
  readonly #sampler: Sampler;
  readonly #stopIds: ReadonlySet<number>;
  readonly #tokensMax: number;
  readonly #ids: number[] = [];
  #tokenRuns: VersionRun[] = [];
  #cacheRuns: VersionRun[] = [];
  #reusedTokens = 0;
  #stopReason: StopReason | undefined;
  /** Set while it is at work. */
  row: Row | undefined;
  /** False once its conversation was forgotten. */
  keepsCache = true;

  constructor(request: GenerateRequest, windowTokens: number, callbacks: ReplyCallbacks) {
    this.request = request;
    this.#callbacks = callbacks;
    this.#sampler = new Sampler(request.sampling, request.ids, request.adjustment);
    this.#stopIds = new Set(request.stopIds);
    this.#tokensMax = Math.min(request.replyTokensMax, windowTokens - request.ids.length);
    if (this.#tokensMax <= 0) this.#stopReason = 'length';
  }

  /** Positions that prompt and reply can come to take in a cache. */
  get tokensMax(): number {
    return this.request.ids.length + Math.max(0, this.#tokensMax);
  }

  get isAborted(): boolean {
    return this.#callbacks.signal?.aborted === true;
  }

  get isDone(): boolean {
    return this.#stopReason !== undefined;
  }

  /** Prompt tokens that are not in the cache yet. */
  get waitingTokens(): number {
    return Math.max(0, this.request.ids.length - (this.row?.tokens ?? 0));
  }

  /** What the next decode step runs. */
  get lastId(): number {
    return at(this.#ids, -1);
  }

  /** Ids of all positions that its cache can hold. */
  get sequence(): number[] {
    return [...this.request.ids, ...this.#ids];
  }

  get cacheRuns(): readonly VersionRun[] {
    return this.#cacheRuns;
  }

  /** Starts on a row that holds the first tokens of the prompt. */
  start(row: Row, runs: readonly VersionRun[], version: string): void {
    assertVersion(runs, version, { keepCache: this.request.keepCache === true });
    this.row = row;
    this.#cacheRuns = [...runs];
    this.#reusedTokens = row.tokens;
  }

  /** The next part of the prompt. */
  chunk(tokensMax: number): Int32Array {
    const from = this.row?.tokens ?? 0;
    return Int32Array.from(this.request.ids.slice(from, from + tokensMax));
  }

  /** The row has grown up to now by a run of this version. */
  recordRun(from: number, version: string): void {
    this.#cacheRuns = withRun(this.#cacheRuns, from, this.row?.tokens as number, version);
  }

  /** Draws the next token and reports it, unless it ends the reply. */
  take(scores: Scores, scratch: Scratch, version: string): void {
    const topCount = this.request.topLogprobs ?? 0;
    const { id, logprob, top } = this.#sampler.next(scores, scratch, topCount);
    if (this.#stopIds.has(id)) {
      this.#stopReason = 'stop';
      return;
    }
    const count = this.#ids.push(id);
    this.#tokenRuns = withRun(this.#tokenRuns, count - 1, count, version);
    const token = { id, logprob, version };
    this.#callbacks.onToken(topCount > 0 ? { ...token, top } : token);
    if (count >= this.#tokensMax) this.#stopReason = 'length';
  }

  finish(): void {
    this.#callbacks.resolve({
      ids: this.#ids,
      stopReason: this.#stopReason ?? 'aborted',
      promptTokens: this.request.ids.length,
      reusedTokens: this.#reusedTokens,
      versionRuns: this.#tokenRuns,
    });
  }

  fail(error: unknown): void {
    this.#callbacks.reject(error);
  }
}
