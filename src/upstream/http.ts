// The HTTP of one server: a request goes out, bytes come back; it knows nothing of what is said.
import * as plain from 'node:http';
import * as secure from 'node:https';
import { parsedJson } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';

export interface Ask {
  readonly method?: string;
  /** Below the address of the server, with its query: `/v1/models`. */
  readonly path: string;
  readonly body?: string | Uint8Array | NodeJS.ReadableStream;
  readonly headers?: plain.OutgoingHttpHeaders;
  /** Ends the request, and the server's work on it. */
  readonly signal?: AbortSignal | undefined;
}

/** The words that a server has for what is wrong. */
const DETAIL_MAX = 300;
const ANSWER_BYTES_MAX = 2 ** 24;

export class UpstreamHttp {
  /** Without `/v1` and without a slash at the end. */
  readonly url: string;
  readonly #key: string;
  readonly #agent: plain.Agent;

  constructor(url: string, key = '') {
    this.url = url.replace(/\/+$/, '').replace(/\/v1$/, '');
    this.#key = key;
    const { Agent } = url.startsWith('https:') ? secure : plain;
    this.#agent = new Agent({ keepAlive: true, scheduling: 'lifo' });
  }

  /** The answer, whatever its status. @throws upstream-failed, aborted */
  async open(ask: Ask): Promise<plain.IncomingMessage> {
    try {
      return await this.#send(ask);
    } catch (cause) {
      ask.signal?.throwIfAborted();
      const { code, message } = cause as NodeJS.ErrnoException;
      const said = `No server answers at ${this.url} (${code ?? message}). Is it running?`;
      throw new AttuneError('upstream-failed', said, { url: this.url }, { cause });
    }
  }

  /** JSON, or what came in its place as text. @throws upstream-failed with what the server says */
  async json(ask: Omit<Ask, 'body'> & { readonly body?: object }): Promise<unknown> {
    const { body, ...rest } = ask;
    const sent = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    const answer = await this.open({ ...sent, ...rest });
    const text = await textOf(answer);
    const { statusCode: status = 0 } = answer;
    if (status >= 400) throw refusedBy(this.url, status, text);
    return parsedJson(text) ?? text;
  }

  close(): void {
    this.#agent.destroy();
  }

  async #send(ask: Ask, isAgain = false): Promise<plain.IncomingMessage> {
    const { method = 'GET', path, body, signal } = ask;
    const length = typeof body === 'string' || body instanceof Uint8Array;
    const headers = {
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...ask.headers,
      ...(length && { 'content-length': Buffer.byteLength(body) }),
      ...(this.#key !== '' && { authorization: `Bearer ${this.#key}` }),
    };
    const { request } = this.url.startsWith('https:') ? secure : plain;
    const options = { method, headers, agent: this.#agent, ...(signal && { signal }) };
    const sending = request(this.url + path, options);
    return new Promise((resolve, reject) => {
      sending.once('response', resolve);
      sending.once('error', (error: NodeJS.ErrnoException) => {
        // A connection that was kept may have been closed by the server just now.
        const isStale = sending.reusedSocket && error.code === 'ECONNRESET' && !isAgain;
        if (isStale && (length || body === undefined) && !signal?.aborted)
          resolve(this.#send(ask, true));
        else reject(error);
      });
      if (body === undefined || length) sending.end(body);
      else body.pipe(sending);
    });
  }
}

/** @throws whatever the connection ends with */
export async function textOf(answer: plain.IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error('an answer of no end');
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

/** What a server says instead of an answer, in its own words. */
export function refusedBy(url: string, status: number, text: string): AttuneError {
  const said = parsedJson(text) as { error?: { message?: string } | string; message?: string };
  const { error, message } = typeof said === 'object' && said !== null ? said : {};
  const detail = (typeof error === 'object' ? error?.message : error) ?? message ?? text;
  const hint = status === 401 || status === 403 ? ' Give it a key: engine.upstream.key.' : '';
  const told = `The server at ${url} answered with status ${status}: ${String(detail).slice(0, DETAIL_MAX)}${hint}`;
  return new AttuneError('upstream-failed', told, { url, upstreamStatus: status });
}
