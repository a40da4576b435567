// One HTTP request to the daemon, its refusals as coded errors.
import { AttuneError, isErrorCode } from '../base/errors.ts';
import { HttpError } from '../protocol/http.ts';
import type { Address } from './address.ts';

/** GET without a body, POST with one. @throws daemon-unreachable, and the daemon's own codes */
export async function callDaemon(
  { url, token }: Address,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const response = await fetch(`${url}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }).catch((cause: unknown) => {
    const message = `No daemon answers at ${url}. Start it with \`attune start\`.`;
    throw new AttuneError('daemon-unreachable', message, { url }, { cause });
  });
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok) return answer;
  const refusal = HttpError.safeParse(answer);
  if (!refusal.success) {
    throw new AttuneError('daemon-unreachable', `${url} answered ${response.status}.`, { url });
  }
  const { code, message, facts } = refusal.data.error;
  throw new AttuneError(isErrorCode(code) ? code : 'daemon-unreachable', message, facts);
}
