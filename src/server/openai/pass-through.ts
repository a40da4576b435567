// Requests that an upstream server answers: they go to it and back byte for byte, and what was said
// in them is kept on the way.
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { parsedJson } from '../../base/atomic-file.ts';
import { isAttuneError } from '../../base/errors.ts';
import type { Speaker } from '../../chat/reply-runner.ts';
import { cutOff, spokenOf } from '../../chat/speaker.ts';
import { parseWith } from '../../protocol/codec.ts';
import { chatOfGenerate, chatOfOllama } from '../../protocol/ollama.ts';
import type { OpenaiMessage } from '../../protocol/openai.ts';
import { chatOf } from '../../protocol/responses.ts';
import { fromExternal } from '../../protocol/sampling.ts';
import { Hearing, type Piece } from '../../upstream/hearing.ts';
import { refusedBy, textOf } from '../../upstream/http.ts';
import type { Lease, Upstream } from '../../upstream/upstream.ts';
import { hasRoom, type Method, type Route, type RouteContext } from '../route.ts';
import { split } from './messages.ts';
import { keep, type OpenaiOptions, toKeep } from './order.ts';
import { done } from './stream.ts';

export interface PassingOptions extends OpenaiOptions {
  readonly upstream: Upstream;
  /** Images come with the request. */
  readonly bodyBytesMax: number;
}

type Fields = Readonly<Record<string, unknown>>;

/** What a request says, where it is a chat: as the chat completion that it is. */
type Reading = (body: Fields) => Fields;

const CHATS: Readonly<Record<string, Reading>> = {
  '/v1/chat/completions': (body) => body,
  '/v1/responses': (body) => chatOf(body as never) as Fields,
  '/api/chat': (body) => ({ ...body, ...(chatOfOllama(body as never) as Fields) }),
  '/api/generate': (body) => (body.raw ? {} : (chatOfGenerate(body as never) as Fields)),
};
const KEPT = ['/v1/chat/completions/:id*', '/v1/responses/:id*'];
const OPENAI: readonly (readonly [Method, string])[] = [
  ['GET', '/v1/models'],
  ['GET', '/v1/models/:id*'],
  ['GET', '/v1/chat/completions'],
  ['POST', '/v1/chat/completions'],
  ['POST', '/v1/responses'],
  ...KEPT.flatMap((path) =>
    (['GET', 'POST', 'DELETE'] as const).map((one) => [one, path] as const),
  ),
  ['POST', '/v1/completions'],
  ['POST', '/v1/embeddings'],
];
const OLLAMA: readonly (readonly [Method, string])[] = [
  ['POST', '/api/chat'],
  ['POST', '/api/generate'],
  ['POST', '/api/embed'],
  ['POST', '/api/embeddings'],
  ['POST', '/api/show'],
  ['GET', '/api/tags'],
  ['GET', '/api/ps'],
  ['GET', '/api/version'],
];
/** What smaller servers do not have, and Attune makes of their chat completions. */
const MADE_HERE = '/v1/responses';

/** @param own the routes of the built-in model */
export function passingRoutes(options: PassingOptions, own: readonly Route[]): Route[] {
  const { kind } = options.upstream.settings;
  const passed = [...OPENAI, ...(kind === 'ollama' ? OLLAMA : [])];
  return passed.map(([method, pattern]) => ({
    method,
    pattern,
    handle(context) {
      const made = own.find((one) => one.pattern === pattern && pattern === MADE_HERE);
      return method === 'POST'
        ? pass(context, pattern, { options, made })
        : passOn(context, options, { signal: context.signal });
    },
  }));
}

interface Passing {
  readonly options: PassingOptions;
  readonly made: Route | undefined;
}

/** Whatever its status, and nothing of it is kept. */
async function passOn(
  context: RouteContext,
  { upstream }: PassingOptions,
  sent: { readonly body?: Uint8Array; readonly signal: AbortSignal; readonly lease?: Lease },
): Promise<void> {
  const lease = sent.lease ?? upstream.lease();
  try {
    await relay(await ask(context, lease, sent), context);
    context.response.end();
  } catch (error) {
    if (context.signal.aborted) return;
    cut(context.response);
    upstream.onFailure(error);
    throw error;
  } finally {
    lease.release();
  }
}

async function pass(
  context: RouteContext,
  path: string,
  { options, made }: Passing,
): Promise<void> {
  const { upstream, bodyBytesMax } = options;
  const bytes = Buffer.concat(await context.readPieces(bodyBytesMax));
  const parsed = parsedJson(bytes.toString('utf8'));
  const body = typeof parsed === 'object' && parsed !== null ? (parsed as Fields) : {};
  const lease = upstream.lease(body.model);
  const sent = { body: renamed(bytes, body, lease.name), lease };
  const chat = lease.isForeign ? undefined : chatIn(path, body);
  const asked = chat && toKeep(chat.said, chat.fields);
  if (made !== undefined && (await isMissing(context, lease))) {
    lease.release();
    const readBody: RouteContext['readBody'] = async (schema) => parseWith(schema, body);
    return made.handle({ ...context, readBody });
  }
  if (asked === undefined || chat === undefined) {
    return passOn(context, options, { ...sent, signal: context.signal });
  }
  return passKept(context, options, { ...sent, chat, asked });
}

interface Keeping {
  readonly body: Uint8Array;
  readonly lease: Lease;
  readonly chat: NonNullable<ReturnType<typeof chatIn>>;
  readonly asked: NonNullable<ReturnType<typeof toKeep>>;
}

/** The answer goes to the client as it comes; its words follow into the log. */
async function passKept(
  context: RouteContext,
  options: PassingOptions,
  { body, lease, chat, asked }: Keeping,
): Promise<void> {
  const { response, signal } = context;
  const gone = new AbortController();
  const answering = ask(context, lease, { body, signal: gone.signal });
  // Whoever waits for it is told.
  answering.catch(() => undefined);
  // It is on its way before anything is done here.
  await new Promise((resolve) => setImmediate(resolve));
  // Words that come before the reply begins wait for it.
  const waiting: Piece[] = [];
  let take = (piece: Piece): unknown => waiting.push(piece);
  let hearing: Promise<Hearing> | undefined;
  const begin = (): Promise<Hearing> => {
    hearing ??= hearAll(answering, { context, lease, gone, take: (piece) => take(piece) });
    hearing.catch(() => undefined);
    return hearing;
  };
  const speak: Speaker['speak'] = async (_, reply, onGrown) => {
    onAbort(reply.signal, () => gone.abort());
    take = (piece) => reply.hear(piece) && onGrown();
    for (const piece of waiting) take(piece);
    try {
      const { kind } = options.upstream.settings;
      return spokenOf(await begin(), reply, { lease, kind });
    } catch (error) {
      if (reply.signal.aborted) return { stopReason: 'aborted', reusedTokens: 0 };
      cut(response);
      throw cutOff(error, lease);
    }
  };
  const { prefill } = chat.said;
  try {
    const kept = await keep(asked, options, {
      metadata: chat.isWhole ? chat.fields.metadata : { learn: 'never' },
      replies: {
        ...{ overrides: samplingOf(chat.fields), speak, ...(prefill !== undefined && { prefill }) },
        // Nobody waits for the disk but who waits for the end.
        onTaken: () => void begin(),
      },
    });
    onAbort(signal, () => kept.reply.abort());
    const ended = await done(kept, 0).catch((error: unknown) => error);
    if (!response.headersSent && ended instanceof Error) throw ended;
  } catch (error) {
    gone.abort();
    cut(response);
    if (!isAttuneError(error, 'message-too-long')) throw error;
    // What no log takes is answered all the same.
    await passOn(context, options, { body, lease, signal });
  } finally {
    // Only now: whoever sends the words back finds them in the log.
    if (response.headersSent) response.end();
    lease.release();
  }
}

function onAbort(signal: AbortSignal, action: () => void): void {
  signal.addEventListener('abort', action);
  if (signal.aborted) action();
}

/** What was sent is not the whole answer. */
function cut(response: ServerResponse): void {
  if (response.headersSent && !response.writableEnded) response.destroy();
}

interface Listening {
  readonly context: RouteContext;
  readonly lease: Lease;
  readonly gone: AbortController;
  readonly take: (piece: Piece) => void;
}

/** @throws upstream-failed with what the server refuses, which the client has by then */
async function hearAll(
  answering: Promise<IncomingMessage>,
  { context, lease, gone, take }: Listening,
): Promise<Hearing> {
  const answer = await answering;
  gone.signal.throwIfAborted();
  const { statusCode: status = 0, headers } = answer;
  if (status >= 400) {
    const text = await textOf(answer);
    context.response.writeHead(status, passedHeaders(headers, FROM_SERVER)).end(text);
    throw refusedBy(lease.served.http.url, status, text);
  }
  const hearing = new Hearing(headers['content-type']);
  await relay(answer, context, (bytes) => take(hearing.push(bytes)));
  take(hearing.end());
  return hearing;
}

/**
 * The caller ends the response: where words of it are kept, once they are. Its length is left out
 * then, by which a client would know the end before.
 * @throws upstream-failed, aborted, and whatever cuts the body off
 */
async function relay(
  answer: IncomingMessage,
  { response }: RouteContext,
  onBytes?: (bytes: Buffer) => void,
): Promise<void> {
  const { 'content-length': length, ...headers } = passedHeaders(answer.headers, FROM_SERVER);
  const isEndKnown = length !== undefined && onBytes === undefined;
  const given = isEndKnown ? { ...headers, 'content-length': length } : headers;
  response.writeHead(answer.statusCode ?? 502, given);
  for await (const bytes of answer as AsyncIterable<Buffer>) {
    response.write(bytes);
    onBytes?.(bytes);
    if (response.writableNeedDrain && !(await hasRoom(response))) answer.destroy();
  }
}

/** Those of the connection, and what is each side's own. */
const FROM_CLIENT =
  /^(?:host|connection|keep-alive|transfer-encoding|content-length|authorization|x-api-key|cookie|origin|referer|accept-encoding|upgrade|te|expect|sec-.*|access-control-.*)$/;
const FROM_SERVER =
  /^(?:connection|keep-alive|transfer-encoding|set-cookie|access-control-.*|x-frame-options|referrer-policy)$/;

function passedHeaders(headers: IncomingHttpHeaders, own: RegExp): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !own.test(name)));
}

function ask(
  { request }: RouteContext,
  { served }: Lease,
  { body, signal }: { readonly body?: Uint8Array; readonly signal: AbortSignal },
): Promise<IncomingMessage> {
  const { method = 'GET', url: path = '/', headers } = request;
  return served.http.open({
    ...{ method, path, signal, headers: passedHeaders(headers, FROM_CLIENT) },
    ...(body !== undefined && { body }),
  });
}

/** The bytes that came, with another name of the model where it has one. */
function renamed(bytes: Uint8Array, body: Fields, name: string): Uint8Array {
  if (body.model === name || typeof body.model !== 'string') return bytes;
  const text = Buffer.from(bytes).toString('utf8');
  const places = [...text.matchAll(/"model"\s*:\s*"(?:[^"\\]|\\.)*"/g)];
  const [place] = places;
  if (place === undefined || places.length > 1) {
    return Buffer.from(JSON.stringify({ ...body, model: name }));
  }
  const after = text.slice(place.index + place[0].length);
  return Buffer.from(`${text.slice(0, place.index)}"model":${JSON.stringify(name)}${after}`);
}

function chatIn(path: string, body: Fields) {
  try {
    const fields = CHATS[path]?.(body) ?? {};
    const { messages, isWhole } = wordsOf(fields.messages ?? []);
    if (messages.length === 0) return undefined;
    const hasImages = JSON.stringify(body.images ?? []) !== '[]';
    return { said: split(messages), fields, isWhole: isWhole && !hasImages };
  } catch {
    // What it is, the server says.
    return undefined;
  }
}

/** Of whatever parts a message has, those that are words. */
function wordsOf(given: unknown): { messages: OpenaiMessage[]; isWhole: boolean } {
  let isWhole = true;
  const textOfPart = (part: Fields): string => {
    if (typeof part.text === 'string') return part.text;
    isWhole = false;
    return `[${String(part.type ?? 'part').replace(/^input_|_url$/g, '')}]`;
  };
  const messages = (given as readonly Fields[]).map((message) => {
    const { content, images } = message;
    if (Array.isArray(images) && images.length > 0) isWhole = false;
    const text = Array.isArray(content) ? content.map(textOfPart).join('\n') : (content ?? '');
    return { ...message, content: String(text) } as OpenaiMessage;
  });
  return { messages, isWhole };
}

function samplingOf(fields: Fields) {
  const numbers = Object.entries(fields).filter(([, value]) => typeof value === 'number');
  const layer = Object.entries(fromExternal(Object.fromEntries(numbers)));
  return Object.fromEntries(layer.filter(([, value]) => value !== undefined));
}

const lacking = new WeakMap<object, boolean>();

/** Whether the server has no such route; it is asked once, with nothing. */
async function isMissing({ signal }: RouteContext, { served: { http } }: Lease): Promise<boolean> {
  const known = lacking.get(http);
  if (known !== undefined) return known;
  const answer = await http.open({ method: 'POST', path: MADE_HERE, body: '{}', signal });
  answer.resume();
  const isIt = answer.statusCode === 404 || answer.statusCode === 405;
  if ((answer.statusCode ?? 500) < 500) lacking.set(http, isIt);
  return isIt;
}
