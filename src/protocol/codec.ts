// Text of the wire to a checked message and back; whatever is wrong becomes a coded error.
import type { z } from 'zod';
import { AttuneError, describeIssues } from '../base/errors.ts';
import { ServerMessage } from './server-message.ts';

/** @throws message-invalid */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AttuneError(
      'message-invalid',
      'this is not JSON: send one JSON object',
      {},
      { cause },
    );
  }
}

/** Checks a value from outside against a schema. @throws message-invalid */
export function parseWith<S extends z.ZodType>(schema: S, value: unknown): z.infer<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new AttuneError('message-invalid', describeIssues(result.error));
}

/** For clients. @throws message-invalid */
export function parseServerMessage(text: string): ServerMessage {
  return parseWith(ServerMessage, parseJson(text));
}

/** The `requestId` of a message that did not parse, so that its error can still name it. */
export function requestIdOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('requestId' in value)) return undefined;
  const id = value.requestId;
  return typeof id === 'string' && id.length > 0 && id.length <= 64 ? id : undefined;
}
