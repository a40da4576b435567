// Errors on their way to another process or thread; codes and facts arrive as they were thrown.
import {
  AttuneError,
  type ErrorCode,
  type ErrorFacts,
  isAttuneError,
  isErrorCode,
} from './errors.ts';

/** A `code` that is not an AttuneError's is a programmer's mistake. */
export interface SentError {
  readonly code: string | undefined;
  readonly message: string;
  readonly facts: ErrorFacts;
}

export function packError(error: unknown): SentError {
  if (isAttuneError(error)) {
    return { code: error.code, message: error.message, facts: error.facts };
  }
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof RangeError ? 'RangeError' : undefined;
  return { code, message, facts: {} };
}

/** @param otherwise the code of an error that had none */
export function unpackError({ code = '', message, facts }: SentError, otherwise: ErrorCode): Error {
  if (isErrorCode(code)) return new AttuneError(code, message, facts);
  if (code === 'RangeError') return new RangeError(message);
  return new AttuneError(otherwise, message, { ...facts, isUnexpected: true });
}
