// Errors on their way between the two processes: codes and facts arrive as they were thrown.
import { AttuneError, ERROR_STATUS, type ErrorCode, isAttuneError } from '../../base/errors.ts';
import type { SentError } from './message.ts';

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
