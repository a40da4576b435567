// Errors for those outside: coded ones as they are, anything else without its insides.
import { type AttuneError, codedError, PLACES, publicMessage } from '../base/errors.ts';
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
