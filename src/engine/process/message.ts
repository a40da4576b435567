// What crosses the pipe between the server's process and the engine's: ids, numbers and paths only.
import type {
  CaptureRequest,
  DecodedToken,
  EngineDescription,
  GenerateRequest,
  ScoreRequest,
  VersionSource,
} from '../engine.ts';

/** Everything a child needs to open its engine. */
export interface EngineProcessOptions {
  readonly modelDir: string;
  readonly cacheDir: string;
  readonly device: 'auto' | 'cpu' | 'webgpu' | 'cuda';
  /** 0 = the number of physical cores. */
  readonly threads: number;
  /** The version to start under; the base when absent. */
  readonly version?: VersionSource;
  readonly windowTokens?: number;
  readonly cacheBytesMax?: number;
  readonly batchMax?: number;
  readonly prefillChunkTokens?: number;
}

/** Methods of the engine that take one value and give one. */
export type Call =
  | { readonly method: 'describe' }
  | { readonly method: 'score'; readonly argument: ScoreRequest }
  | { readonly method: 'capture'; readonly argument: CaptureRequest }
  | { readonly method: 'loadVersion'; readonly argument: VersionSource }
  | { readonly method: 'switchVersion'; readonly argument: string }
  | { readonly method: 'forget'; readonly argument: string };

/** To the engine's process. */
export type ToEngine =
  | { readonly type: 'engine-open'; readonly options: EngineProcessOptions }
  | { readonly type: 'reply-ask'; readonly id: number; readonly request: GenerateRequest }
  | { readonly type: 'call-ask'; readonly id: number; readonly call: Call }
  | { readonly type: 'request-abort'; readonly id: number }
  | { readonly type: 'engine-close' };

/** An error as it crosses; a `code` that is not an AttuneError's is a programmer's mistake. */
export interface SentError {
  readonly code: string | undefined;
  readonly message: string;
  readonly facts: Readonly<Record<string, string | number | boolean | null>>;
}

/** From the engine's process. */
export type FromEngine =
  | { readonly type: 'engine-opened'; readonly description: EngineDescription }
  | { readonly type: 'engine-refused'; readonly error: SentError }
  | { readonly type: 'token-batch'; readonly tokens: readonly (readonly [number, DecodedToken])[] }
  | { readonly type: 'request-end'; readonly id: number; readonly value: unknown }
  | { readonly type: 'request-fail'; readonly id: number; readonly error: SentError };

/** Fields of each message with the type they must have. */
const SHAPES: Readonly<Record<string, Readonly<Record<string, 'number' | 'object' | 'any'>>>> = {
  'engine-open': { options: 'object' },
  'reply-ask': { id: 'number', request: 'object' },
  'call-ask': { id: 'number', call: 'object' },
  'request-abort': { id: 'number' },
  'engine-close': {},
  'engine-opened': { description: 'object' },
  'engine-refused': { error: 'object' },
  'token-batch': { tokens: 'object' },
  'request-end': { id: 'number', value: 'any' },
  'request-fail': { id: 'number', error: 'object' },
};

/** Both ends are ours: a message of another shape is a mistake, and named as one. */
export function checkMessage<T extends ToEngine | FromEngine>(raw: unknown): T {
  const message = raw as Readonly<Record<string, unknown>> | null;
  const type = typeof message === 'object' && message !== null ? message.type : undefined;
  const shape = typeof type === 'string' ? SHAPES[type] : undefined;
  if (shape === undefined) throw new Error(`no message of the engine: ${String(type)}`);
  for (const [field, wanted] of Object.entries(shape)) {
    const value = message?.[field];
    const isFit = wanted === 'any' || (typeof value === wanted && value !== null);
    if (!isFit) throw new Error(`${type}: ${field} is no ${wanted}`);
  }
  return raw as T;
}
