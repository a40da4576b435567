// HTTP routes: a pattern, a handler, and what a handler gets to see of a request.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { z } from 'zod';
import { AttuneError, isAttuneError } from '../base/errors.ts';
import { createPace, ownTurn } from '../base/pace.ts';
import { JSON_VALUES_MAX, parseJson, parseWith } from '../protocol/codec.ts';

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE' | 'PUT';

export interface RouteContext {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Decoded values of the pattern's `:names`. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Ends when the client goes away. */
  readonly signal: AbortSignal;
  /** The body, checked. @throws message-invalid … */
  readBody<S extends z.ZodType>(schema: S): Promise<z.infer<S>>;
  /** The body as it came; it is said to be JSON. @throws message-invalid, payload-too-large */
  readPieces(bytesMax: number): Promise<Uint8Array[]>;
}

export interface Route {
  readonly method: Method;
  /** "/api/conversations/:id"; a `:name` matches one part of the path, a last `:name*` the rest. */
  readonly pattern: string;
  /** True: no token is asked for (health). */
  readonly isPublic?: boolean;
  handle(context: RouteContext): Promise<void> | void;
}

/** @param answer the body of the answer; undefined where it has sent the answer itself */
export function route(
  method: Method,
  pattern: string,
  answer: (context: RouteContext) => unknown,
): Route {
  return {
    method,
    pattern,
    async handle(context) {
      const body = await answer(context);
      if (body !== undefined) sendJson(context.response, body);
    },
  };
}

export interface Match {
  readonly route: Route;
  readonly params: Record<string, string>;
}

function matchPattern(
  pattern: string,
  parts: readonly string[],
): Record<string, string> | undefined {
  const names = pattern.split('/');
  const hasRest = pattern.endsWith('*') && parts.length > names.length;
  if (names.length !== parts.length && !hasRest) return undefined;
  const params: Record<string, string> = {};
  for (const [at, given] of names.entries()) {
    const isRest = given.endsWith('*');
    const name = isRest ? given.slice(0, -1) : given;
    const part = isRest ? parts.slice(at).join('/') : (parts[at] as string);
    if (!name.startsWith(':')) {
      if (name !== part) return undefined;
      continue;
    }
    try {
      params[name.slice(1)] = decodeURIComponent(part);
    } catch {
      return undefined;
    }
  }
  return params;
}

/** The route of a path, or undefined. @throws method-refused when only the method is wrong */
export function findRoute(
  routes: readonly Route[],
  method: string,
  path: string,
): Match | undefined {
  const parts = path.split('/');
  const allowed = new Set<string>();
  for (const route of routes) {
    const params = matchPattern(route.pattern, parts);
    if (params === undefined) continue;
    // The body of an answer to HEAD is left out by Node.
    if (route.method === (method === 'HEAD' ? 'GET' : method)) return { route, params };
    allowed.add(route.method);
  }
  if (allowed.size === 0) return undefined;
  const allow = [...allowed].join(', ');
  const message = `Only ${allow} is allowed here, not ${method}.`;
  throw new AttuneError('method-refused', message, { allow });
}

function tooLarge(bytesMax: number): AttuneError {
  return new AttuneError('payload-too-large', `This is too large: at most ${bytesMax} bytes.`, {
    bytesMax,
  });
}

/**
 * The whole body. Only JSON is taken, so that no form of another site can be a request.
 * @throws message-invalid, payload-too-large before reading more than the limit
 */
export async function readPieces(
  request: IncomingMessage,
  bytesMax: number,
): Promise<Uint8Array[]> {
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (type !== 'application/json') {
    throw new AttuneError('message-invalid', 'Send JSON, with Content-Type: application/json.');
  }
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > bytesMax) throw tooLarge(bytesMax);
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const piece of request as AsyncIterable<Buffer>) {
      bytes += piece.length;
      if (bytes > bytesMax) throw tooLarge(bytesMax);
      // Its own bytes, so that they can be handed to another thread.
      pieces.push(new Uint8Array(piece));
    }
  } catch (cause) {
    if (isAttuneError(cause)) throw cause;
    throw new AttuneError('aborted', 'The client ended its request early.', {}, { cause });
  }
  return pieces;
}

/** @throws message-invalid, payload-too-large */
export async function readJsonBody<S extends z.ZodType>(
  request: IncomingMessage,
  schema: S,
  bytesMax: number,
): Promise<z.infer<S>> {
  const body = Buffer.concat(await readPieces(request, bytesMax));
  const isLong = body.length > LONG_BYTES;
  if (isLong) await ownTurn();
  const value = parseJson(body.toString('utf8').replace(/^\uFEFF/, ''), JSON_VALUES_MAX);
  if (isLong) await ownTurn();
  return parseWith(schema, value);
}

/** What takes milliseconds to parse. */
const LONG_BYTES = 2 ** 16;

export function sendJson(response: ServerResponse, body: unknown, status = 200): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { ...JSON_TYPE, 'Cache-Control': 'no-store' });
  response.end(text);
}

export const JSON_TYPE = { 'Content-Type': 'application/json; charset=utf-8' };
const PIECE_CHARACTERS = 2 ** 16;

/** A long list as JSON, between what comes before and after it. */
export function* jsonPieces<T>(
  before: string,
  { list, view = (item) => item }: { list: readonly T[]; view?: (item: T) => unknown },
  after: string,
): Generator<string> {
  let piece = before;
  for (const [index, item] of list.entries()) {
    piece += (index === 0 ? '' : ',') + JSON.stringify(view(item));
    if (piece.length < PIECE_CHARACTERS) continue;
    yield piece;
    piece = '';
  }
  yield piece + after;
}

/** An answer of any length: never more than a piece of it waits in memory, and others go on. */
export async function sendPieces(
  response: ServerResponse,
  pieces: Iterable<string> | AsyncIterable<string>,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const pace = createPace();
  response.writeHead(200, { ...headers, 'Cache-Control': 'no-store' });
  for await (const piece of pieces) {
    response.write(piece);
    if (!(await hasRoom(response))) return;
    await pace();
  }
  response.end();
}

/** A reader that takes nothing for so long is not waited for. */
export const READER_PATIENCE_MS = 60_000;

/** Waits until a slow reader has room again; false when it went away, or reads nothing. */
export async function hasRoom(
  response: ServerResponse,
  patienceMs = READER_PATIENCE_MS,
): Promise<boolean> {
  if (response.destroyed || response.writableEnded) return false;
  if (!response.writableNeedDrain) return true;
  const timer = setTimeout(() => response.destroy(), patienceMs);
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
  return !response.destroyed;
}
