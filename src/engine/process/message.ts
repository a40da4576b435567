// What crosses the pipe between the server's process and the engine's: ids, numbers and paths only.
// Both ends are of one build, so messages are not checked again when they arrive.
import { AttuneError, ERROR_STATUS, type ErrorCode, isAttuneError } from '../../base/errors.ts';
import type { ServingOptions } from '../../runtime/device.ts';
import type { DecodedToken } from '../engine.ts';
import type { EngineOptions } from '../in-process-engine.ts';
import type { Method } from './call.ts';

/** Everything a child needs to open its engine. */
export type EngineProcessOptions = Omit<EngineOptions, 'executor'> & Required<ServingOptions>;

/** To the engine's process. */
export type ToEngine =
  | { readonly type: 'engine-open'; readonly options: EngineProcessOptions }
  | {
      readonly type: 'request';
      readonly id: number;
      readonly method: Method;
      readonly argument: unknown;
    }
  | { readonly type: 'request-abort'; readonly id: number }
  | { readonly type: 'engine-close' };

/** From the engine's process. */
export type FromEngine =
  | { readonly type: 'engine-opened' }
  | { readonly type: 'engine-refused'; readonly error: SentError }
  | { readonly type: 'token-batch'; readonly tokens: readonly (readonly [number, DecodedToken])[] }
  | { readonly type: 'request-end'; readonly id: number; readonly value: unknown }
  | { readonly type: 'request-fail'; readonly id: number; readonly error: SentError };

/** An error as it crosses; a `code` that is not an AttuneError's is a programmer's mistake. */
export interface SentError {
  readonly code: string | undefined;
  readonly message: string;
  readonly facts: Readonly<Record<string, string | number | boolean | null>>;
}

/** Codes and facts arrive as they were thrown. */
export function packError(error: unknown): SentError {
  if (isAttuneError(error)) {
    return { code: error.code, message: error.message, facts: error.facts };
  }
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof RangeError ? 'RangeError' : undefined;
  return { code, message, facts: {} };
}

export function unpackError({ code, message, facts }: SentError): Error {
  if (code !== undefined && Object.hasOwn(ERROR_STATUS, code)) {
    return new AttuneError(code as ErrorCode, message, facts);
  }
  if (code === 'RangeError') return new RangeError(message);
  return new AttuneError('engine-failed', message, { ...facts, isUnexpected: true });
}
