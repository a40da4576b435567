// Text of the wire to a checked message and back; whatever is wrong becomes a coded error.
import type { z } from 'zod';
import { AttuneError, describeIssues } from '../base/errors.ts';
import { ServerMessage } from './server-message.ts';

/** Of a request. Empty lists by the hundred thousand take seconds to check. */
export const JSON_VALUES_MAX = 2 ** 15;

/** @throws message-invalid when it is not JSON, or has more values than that */
export function parseJson(text: string, valuesMax = Number.POSITIVE_INFINITY): unknown {
  if (text.length > valuesMax && hasMoreValues(text, valuesMax)) {
    const message = `this has more than ${valuesMax} values: send less at once`;
    throw new AttuneError('message-invalid', message, { valuesMax });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    const message = 'this is not JSON: send one JSON object';
    throw new AttuneError('message-invalid', message, {}, { cause });
  }
}

/** Each value but the first comes after one of `,[{` outside of a text. */
function hasMoreValues(text: string, valuesMax: number): boolean {
  let values = 1;
  for (let at = 0; at < text.length && values <= valuesMax; at++) {
    const character = text[at];
    if (character === '"') at = endOfText(text, at + 1);
    else if (character === ',' || character === '[' || character === '{') values++;
  }
  return values > valuesMax;
}

/** Where the next quotation mark is that no backslash escapes. */
function endOfText(text: string, from: number): number {
  for (let end = text.indexOf('"', from); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslash = end;
    while (text[backslash - 1] === '\\') backslash--;
    if ((end - backslash) % 2 === 0) return end;
  }
  return text.length;
}

/**
 * Checks a value from outside against a schema.
 * @param names by which whoever sent it knows its keys
 * @throws message-invalid
 */
export function parseWith<S extends z.ZodType>(
  schema: S,
  value: unknown,
  names: Readonly<Record<string, string>> = {},
): z.infer<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { issues } = result.error;
  for (const { path } of issues) path.splice(0, 1, ...renamed(path[0], names));
  const param = paramOf(issues[0]?.path ?? []);
  throw new AttuneError('message-invalid', describeIssues(result.error), {
    ...(param !== '' && { param }),
  });
}

function renamed(
  key: PropertyKey | undefined,
  names: Readonly<Record<string, string>>,
): PropertyKey[] {
  return key === undefined ? [] : [names[String(key)] ?? key];
}

/** `messages[0].content` */
function paramOf(path: readonly PropertyKey[]): string {
  return path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key).slice(0, 60)}`))
    .join('')
    .replace(/^\./, '');
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
