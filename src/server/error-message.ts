// Errors for those outside: coded ones as they are or in OpenAI's form, others without insides.
import { type AttuneError, codedError, PLACES, publicMessage } from '../base/errors.ts';
import type { OpenaiError } from '../protocol/openai.ts';
import type { ServerMessageOf } from '../protocol/server-message.ts';

/** When to try again, where the error knows. */
export function retryAfterMs(error: AttuneError): number | null {
  const { retryAfterMs: wait } = error.facts;
  return typeof wait === 'number' ? Math.ceil(wait) : null;
}

export function publicFacts(error: AttuneError): ServerMessageOf<'error'>['facts'] {
  return Object.fromEntries(Object.entries(error.facts).filter(([key]) => !PLACES.includes(key)));
}

export function errorMessage(error: unknown, requestId?: string): ServerMessageOf<'error'> {
  const coded = codedError(error);
  return {
    type: 'error',
    ...(requestId === undefined ? {} : { requestId }),
    code: coded.code,
    message: publicMessage(coded),
    facts: publicFacts(coded),
    retryAfterMs: retryAfterMs(coded),
  };
}

// Coded errors in the format of OpenAI's API.

function typeOf(status: number): string {
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  if (status === 404) return 'not_found_error';
  if (status === 429) return 'rate_limit_error';
  return status >= 500 ? 'server_error' : 'invalid_request_error';
}

/** Codes that clients of that API know by another name. */
const KNOWN_AS: Readonly<Record<string, string>> = {
  'window-overflow': 'context_length_exceeded',
  'message-too-long': 'context_length_exceeded',
  'model-not-found': 'model_not_found',
  'token-required': 'invalid_api_key',
  'rate-limit': 'rate_limit_exceeded',
};

export function openaiError(error: AttuneError): OpenaiError {
  const { param } = error.facts;
  return {
    error: {
      message: publicMessage(error),
      type: typeOf(error.status),
      param: typeof param === 'string' ? param : null,
      code: KNOWN_AS[error.code] ?? error.code,
    },
  };
}

/** That API calls a prompt that is too long a bad request. */
export function openaiStatus(error: AttuneError): number {
  return KNOWN_AS[error.code] === 'context_length_exceeded' ? 400 : error.status;
}
