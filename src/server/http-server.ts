// The HTTP server: checks who asks, finds the route, bounds everything, turns errors into answers.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../base/clock.ts';
import { AttuneError, codedError, isAttuneError, publicMessage } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Config } from '../config/schema.ts';
import {
  type AccessRules,
  assertHost,
  assertOrigin,
  assertSafeToListen,
  type TokenGate,
  tokenOf,
} from './access.ts';
import { openaiError, openaiStatus, publicFacts, retryAfterMs } from './error-message.ts';
import { OLLAMA_PATH, ollamaError } from './openai/ollama-routes.ts';
import { createRateLimit } from './rate-limit.ts';
import {
  findRoute,
  type Match,
  READER_PATIENCE_MS,
  type Route,
  readJsonBody,
  readPieces,
  sendJson,
} from './route.ts';
import { nothingAt, type StaticFiles } from './static-files.ts';

export interface HttpOptions {
  readonly settings: Config['server'];
  readonly tokens: TokenGate;
  readonly routes: readonly Route[];
  readonly pages: StaticFiles;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

export interface HttpServer {
  readonly port: number;
  /** Takes no more connections and waits for the requests that run. */
  close(): Promise<void>;
}

const SECURITY_HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'X-Frame-Options': 'DENY',
} as const;

const API_PREFIXES = ['/api/', '/v1/'];

/** Listens. @throws token-missing, port-unavailable */
export async function openHttpServer(options: HttpOptions): Promise<HttpServer> {
  const { host, token, limits } = options.settings;
  assertSafeToListen(host, token);
  const handle = createRequestHandler(options);
  const server = createServer(
    { requestTimeout: 60_000, headersTimeout: 10_000, maxHeaderSize: 16_384 },
    (request, response) => void handle(request, response),
  );
  server.on('upgrade', options.onUpgrade);
  // Beyond the WebSockets there is room for the requests that are worked on.
  server.maxConnections = limits.connectionsMax + limits.httpRequestsMax;
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  return { port, close: () => close(server) };
}

function listen(server: Server, { settings: { host, port } }: HttpOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      const message = `${host}:${port} cannot be listened on: ${cause.message}. Is it in use?`;
      reject(new AttuneError('port-unavailable', message, { host, port }, { cause }));
    });
    server.listen({ host, port }, resolve);
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
    // Streams of clients that do not read would hold the daemon for ever.
    setTimeout(() => server.closeAllConnections(), 1_000).unref();
  });
}

interface RequestLimiter {
  /** @throws rate-limit when too many came, connections-limit when too many are worked on */
  admit(): void;
  /** Works on a request and counts it meanwhile. */
  work(request: () => Promise<void> | void): Promise<void>;
}

function createRequestLimiter({ settings, clock }: HttpOptions): RequestLimiter {
  const { requestsPerMinuteMax, httpRequestsMax } = settings.limits;
  const rate = createRateLimit(requestsPerMinuteMax, clock);
  let working = 0;
  return {
    admit() {
      const wait = rate.take();
      if (wait > 0) {
        const message = `Too many requests: at most ${requestsPerMinuteMax} a minute. Try again shortly.`;
        throw new AttuneError('rate-limit', message, { requestsPerMinuteMax, retryAfterMs: wait });
      }
      if (working < httpRequestsMax) return;
      const message = `${httpRequestsMax} requests are in progress already (the limit). Try again shortly.`;
      throw new AttuneError('connections-limit', message, { httpRequestsMax, retryAfterMs: 1_000 });
    },
    async work(request) {
      working++;
      try {
        await request();
      } finally {
        working--;
      }
    },
  };
}

type RequestHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

function createRequestHandler(options: HttpOptions): RequestHandler {
  const { settings: access, logger } = options;
  const { payloadBytesMax } = access.limits;
  const limiter = createRequestLimiter(options);

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    assertHost(request.headers, access);
    assertOrigin(request.headers, access);
    allowOrigin(request, response, access);
    if (request.method === 'OPTIONS') return preflight(request, response);
    const url = urlOf(request.url ?? '/');
    const path = url.pathname;
    // Ollama's own clients name no type, or a form's; pages, which have an origin, must say JSON.
    if (OLLAMA_PATH.test(path) && request.headers.origin === undefined) {
      request.headers['content-type'] = 'application/json';
    }
    const match = findRoute(options.routes, request.method ?? 'GET', path);
    if (match === undefined) {
      if (!API_PREFIXES.some((prefix) => path.startsWith(prefix))) {
        return options.pages.serve(request, response, path);
      }
      throw nothingAt(path);
    }
    const { route } = match;
    if (route.isPublic !== true) {
      await options.tokens.assert(tokenOf(request.headers));
      limiter.admit();
    }
    await limiter.work(() =>
      route.handle(context(match, url, { request, response, payloadBytesMax })),
    );
  }

  return async (request, response) => {
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value);
    try {
      await answer(request, response);
    } catch (error) {
      const level = isAttuneError(error) && !OWN_FAULTS.includes(error.status) ? 'debug' : 'error';
      logger[level]({ error, method: request.method }, 'a request failed');
      sendError(request, response, error);
    } finally {
      // What is written already waits in memory for its reader.
      if (!response.writableFinished) {
        response.setTimeout(READER_PATIENCE_MS, () => void response.destroy());
      }
    }
  };
}

/** Everything else is the client's, or says that there is too much to do. */
const OWN_FAULTS = [500, 507];

/** @throws route-unknown */
function urlOf(target: string): URL {
  const url = target.startsWith('/') ? `http://localhost${target}` : target;
  if (URL.canParse(url)) return new URL(url);
  throw new AttuneError('route-unknown', 'This is not a valid address.');
}

function context(
  { params }: Match,
  url: URL,
  io: {
    request: IncomingMessage;
    response: ServerResponse;
    payloadBytesMax: number;
  },
): Parameters<Route['handle']>[0] {
  const { request, response, payloadBytesMax } = io;
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  return {
    request,
    response,
    params,
    query: url.searchParams,
    signal: gone.signal,
    readBody: (schema) => readJsonBody(request, schema, payloadBytesMax),
    readPieces: (bytesMax) => readPieces(request, bytesMax),
  };
}

/** Configured origins may read answers from a browser (CORS); our own pages need nothing. */
function allowOrigin(
  request: IncomingMessage,
  response: ServerResponse,
  access: AccessRules,
): void {
  const { origin } = request.headers;
  if (origin === undefined || !access.allowedOrigins.includes(origin)) return;
  response.setHeader('Access-Control-Allow-Origin', origin);
  response.setHeader('Vary', 'Origin');
  response.setHeader('Access-Control-Expose-Headers', 'Retry-After');
  response.setHeader('Cross-Origin-Resource-Policy', 'cross-origin');
}

/** Clients of OpenAI's API send headers of their own; those of an origin that is trusted may. */
function preflight(request: IncomingMessage, response: ServerResponse): void {
  const asked = request.headers['access-control-request-headers'] ?? '';
  const isList = /^[\w-]+(?: *, *[\w-]+)*$/.test(asked);
  response.writeHead(204, {
    'Access-Control-Allow-Methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
    'Access-Control-Allow-Headers': isList ? asked : 'Authorization, Content-Type',
    'Access-Control-Max-Age': '600',
    // A page of the web may reach this machine, once its origin is allowed.
    ...(request.headers['access-control-request-private-network'] === 'true' && {
      'Access-Control-Allow-Private-Network': 'true',
    }),
  });
  response.end();
}

function sendError(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  const coded = codedError(error);
  if (response.headersSent) {
    // Too late for a status: a broken connection says that the answer is not whole.
    response.destroy();
    return;
  }
  const wait = retryAfterMs(coded);
  if (wait !== null) response.setHeader('Retry-After', String(Math.ceil(wait / 1000)));
  if (coded.code === 'method-refused')
    response.setHeader('Allow', String(coded.facts.allow ?? 'GET'));
  if (coded.code === 'token-required') response.setHeader('WWW-Authenticate', 'Bearer');
  // What is left of a body that was not read would be taken for the next request.
  if (!request.complete) response.setHeader('Connection', 'close');
  const { body, status } = answerTo(request.url ?? '', coded);
  sendJson(response, body, status);
}

/** An error as the API has it that was asked. */
function answerTo(path: string, error: AttuneError): { body: object; status: number } {
  if (path.startsWith('/v1/')) return { body: openaiError(error), status: openaiStatus(error) };
  if (OLLAMA_PATH.test(path)) return { body: ollamaError(error), status: openaiStatus(error) };
  const { code, status } = error;
  const facts = publicFacts(error);
  return { body: { error: { code, message: publicMessage(error), facts } }, status };
}
