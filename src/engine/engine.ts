// What the engine promises to the rest of the house: token ids in, token ids out, never text.
import type { Adjustment, SamplingSettings } from '../protocol/sampling.ts';

export interface GenerateRequest {
  /** The whole prompt. A cached prefix of `cacheKey` is reused, the rest is prefilled. */
  readonly ids: readonly number[];
  /** Whose KV cache this is (a conversation id); none = not kept. */
  readonly cacheKey?: string;
  /** Reuse what another version cached as well; by default only the same version's part is. */
  readonly keepCache?: boolean;
  readonly replyTokensMax: number;
  readonly sampling: SamplingSettings;
  readonly adjustment?: Adjustment | undefined;
  /** End the reply; a stop id itself is neither reported nor part of the reply. */
  readonly stopIds: readonly number[];
  /** How many of the likeliest tokens to report with each token. */
  readonly topLogprobs?: number;
  /** Run under this version instead of the current one. */
  readonly version?: string;
}

export interface DecodedToken {
  readonly id: number;
  /** Natural log of the model's probability, before temperature and filters. */
  readonly logprob: number;
  readonly version: string;
  readonly top?: readonly { readonly id: number; readonly logprob: number }[];
}

/** `[from, to)` in reply tokens. */
export type VersionRun = readonly [from: number, to: number, version: string];

export type StopReason = 'stop' | 'length' | 'aborted';

export interface GenerateResult {
  readonly ids: readonly number[];
  readonly stopReason: StopReason;
  readonly promptTokens: number;
  /** Prompt tokens that came from the cache. */
  readonly reusedTokens: number;
  readonly versionRuns: readonly VersionRun[];
}

export interface ScoreRequest {
  readonly sequences: readonly {
    readonly ids: readonly number[];
    /** Position of the first scored token (≥ 1). */
    readonly from: number;
  }[];
  readonly version?: string;
  /** Tokens that are run at once; few delay replies under way less. By default many. */
  readonly unitTokensMax?: number;
}

export interface CaptureRequest {
  readonly ids: readonly number[];
  /** Query rows, as positions in `ids`, ascending. */
  readonly rows: readonly number[];
  readonly version?: string;
}

export interface AttentionCapture {
  readonly layers: number;
  readonly heads: number;
  readonly rows: readonly number[];
  readonly keys: number;
  /** Softmax weights (layers, heads, rows, keys), row-major; 0 where masked. */
  readonly weights: Float32Array;
}

export interface EngineDescription {
  readonly modelId: string;
  readonly modelDir: string;
  readonly baseHash: string;
  readonly device: string;
  readonly layers: number;
  readonly heads: number;
  readonly vocabularySize: number;
  /** Tokens the window holds, prompt and reply together. */
  readonly windowTokens: number;
  readonly parameters: number;
  /** Matrices are kept as they were quantised, and products round activations to 8 bits. */
  readonly isQuantised: boolean;
  readonly version: string;
  /** What a person should know of how the model is used here, a sentence each. */
  readonly notices: readonly string[];
}

/** Where the W_q of a version come from: the base (no deltas) or delta files summed in order. */
export interface VersionSource {
  readonly id: string;
  /** Absolute paths of delta safetensors; empty = the base weights. */
  readonly deltas: readonly string[];
}

export interface SwitchResult {
  readonly from: string;
  readonly to: string;
  /** Replies that were in flight and go on under the new version on their kept cache. */
  readonly repliesInFlight: number;
  readonly stallMs: number;
}

/** The chat model behind an async interface. Every method may reject with a coded AttuneError. */
export interface Engine {
  describe(): Promise<EngineDescription>;
  /**
   * `onToken` is called in order; the promise settles after the last. A prompt that leaves no room
   * for one token rejects; a reply that fills the window ends with `length`. An abort resolves with
   * `aborted` and what was decoded so far. A dead engine rejects with `engine-failed`.
   * @throws window-overflow, version-unknown, engine-failed
   */
  generate(
    request: GenerateRequest,
    onToken: (token: DecodedToken) => void,
    signal?: AbortSignal,
  ): Promise<GenerateResult>;
  /**
   * Natural log p of each token from `from` on, given all before it, as the engine would draw it: a
   * quantised model rounds here as in a reply. @throws window-overflow
   */
  score(request: ScoreRequest, signal?: AbortSignal): Promise<Float32Array[]>;
  capture(request: CaptureRequest, signal?: AbortSignal): Promise<AttentionCapture>;
  /**
   * Loads a version beside the others. Where there is no room the oldest that is not used goes.
   * @throws version-mismatch when the one to retire still decodes, model-damaged
   */
  loadVersion(source: VersionSource): Promise<void>;
  /** Takes effect between two decode steps. @throws version-unknown */
  switchVersion(id: string): Promise<SwitchResult>;
  /** Drops the KV cache of a conversation (it was deleted). */
  forget(cacheKey: string): Promise<void>;
  close(): Promise<void>;
}
