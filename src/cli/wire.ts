// A WebSocket to the daemon that comes back by itself: what was asked is asked again, done once.
import { WebSocket } from 'ws';
import { AttuneError, isErrorCode } from '../base/errors.ts';
import { type ClientMessageInput, PROTOCOL_VERSION } from '../protocol/client-message.ts';
import { parseServerMessage } from '../protocol/codec.ts';
import {
  CLOSE_CODE,
  type ServerMessage,
  type ServerMessageOf,
} from '../protocol/server-message.ts';
import type { Address } from './address.ts';

export interface WireOptions extends Address {
  readonly client: string;
  /** Everything that the server sends, answers among them. */
  readonly onMessage: (message: ServerMessage) => void;
  readonly onLost?: () => void;
  /** Greeted again after a loss; runs before what was pending is sent again. */
  readonly onBack?: () => void;
}

type Asked = Exclude<ClientMessageInput, { type: 'client-hello' }>;

interface Pending {
  readonly message: Asked;
  readonly resolve: (answer: ServerMessage) => void;
  readonly reject: (error: Error) => void;
}

const WAIT_FIRST_MS = 250;
const WAIT_MAX_MS = 5_000;
const HELLO_TIMEOUT_MS = 5_000;
/** Closed with one of these, trying again will not help. */
const FINAL_CODES: readonly number[] = [
  CLOSE_CODE['protocol-mismatch'],
  CLOSE_CODE['token-required'],
  CLOSE_CODE['origin-refused'],
];

export class Wire {
  readonly #options: WireOptions;
  readonly #pending = new Map<string, Pending>();
  #socket: WebSocket | undefined;
  #asked = 0;
  #isClosed = false;
  #isGreeted = false;
  #heardAt = 0;
  #wait: NodeJS.Timeout | undefined;
  #watch: NodeJS.Timeout | undefined;

  constructor(options: WireOptions) {
    this.#options = options;
  }

  /** The first connection. @throws daemon-unreachable, token-required, protocol-mismatch */
  async connect(): Promise<ServerMessageOf<'server-hello'>> {
    const hello = await this.#open();
    this.#watchHeartbeat(hello.limits.heartbeatIntervalMs);
    return hello;
  }

  get isConnected(): boolean {
    return this.#isGreeted;
  }

  /**
   * Resolves with the answer, however often the connection is lost on the way: requests carry ids,
   * so that asking twice does things once. @throws the error that the server answers with
   */
  request(message: Asked): Promise<ServerMessage> {
    const requestId = `q${++this.#asked}`;
    return new Promise((resolve, reject) => {
      this.#pending.set(requestId, { message: { ...message, requestId }, resolve, reject });
      if (this.#isGreeted) this.#send({ ...message, requestId });
    });
  }

  /** Nobody waits for an answer. Lost when the connection is. */
  tell(message: Asked): void {
    if (this.#isGreeted) this.#send(message);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#wait);
    clearInterval(this.#watch);
    this.#socket?.close();
    this.#refuseAll(new AttuneError('aborted', 'The client was closed.'));
  }

  #send(message: ClientMessageInput): void {
    this.#socket?.send(JSON.stringify(message));
  }

  #open(): Promise<ServerMessageOf<'server-hello'>> {
    const { url, token, client } = this.#options;
    const address = `${url.replace(/^http/, 'ws')}/ws`;
    const headers = token === '' ? {} : { Authorization: `Bearer ${token}` };
    const socket = new WebSocket(address, { headers, handshakeTimeout: HELLO_TIMEOUT_MS });
    this.#socket = socket;
    return new Promise((resolve, reject) => {
      let refusal: AttuneError | undefined;
      let cause: unknown;
      socket.on('open', () => {
        this.#send({ type: 'client-hello', protocol: PROTOCOL_VERSION, client });
      });
      socket.on('message', (data: Buffer) => {
        this.#heardAt = Date.now();
        const message = parseServerMessage(data.toString('utf8'));
        if (message.type === 'error' && !this.#isGreeted) refusal = errorOf(message);
        if (message.type === 'server-hello') {
          this.#isGreeted = true;
          resolve(message);
        }
        this.#receive(message);
      });
      socket.on('ping', () => {
        this.#heardAt = Date.now();
      });
      socket.on('error', (error) => {
        cause = error;
      });
      socket.on('unexpected-response', (_request, response) => {
        refusal = refusedWith(response.statusCode ?? 0, url);
        socket.terminate();
      });
      socket.on('close', (code) => {
        reject(refusal ?? unreachable(url, cause));
        this.#onClose(code, refusal);
      });
    });
  }

  #receive(message: ServerMessage): void {
    const requestId = 'requestId' in message ? message.requestId : undefined;
    const pending = requestId === undefined ? undefined : this.#pending.get(requestId);
    if (pending !== undefined && requestId !== undefined) {
      this.#pending.delete(requestId);
      if (message.type === 'error') pending.reject(errorOf(message));
      else pending.resolve(message);
    }
    this.#options.onMessage(message);
  }

  #onClose(code: number, refusal: AttuneError | undefined): void {
    if (this.#isClosed) return;
    const wasGreeted = this.#isGreeted;
    this.#isGreeted = false;
    if (FINAL_CODES.includes(code)) {
      this.#refuseAll(refusal ?? new AttuneError('aborted', `The daemon closed: ${code}.`));
      return;
    }
    if (!wasGreeted) return;
    this.#options.onLost?.();
    this.#comeBack(WAIT_FIRST_MS);
  }

  #comeBack(waitMs: number): void {
    if (this.#isClosed) return;
    this.#wait = setTimeout(() => {
      this.#open().then(
        () => {
          this.#options.onBack?.();
          for (const { message } of this.#pending.values()) this.#send(message);
        },
        () => this.#comeBack(Math.min(WAIT_MAX_MS, waitMs * 2)),
      );
    }, waitMs);
  }

  /** A machine that slept, a network that is gone: nobody tells us, we have to notice. */
  #watchHeartbeat(intervalMs: number): void {
    this.#watch = setInterval(() => {
      if (!this.#isGreeted) return;
      if (Date.now() - this.#heardAt > 2 * intervalMs) this.#socket?.terminate();
      else this.tell({ type: 'heartbeat-ping' });
    }, intervalMs);
    this.#watch.unref();
  }

  #refuseAll(error: AttuneError): void {
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of waiting) reject(error);
  }
}

function errorOf({ code, message, facts }: ServerMessageOf<'error'>): AttuneError {
  return new AttuneError(isErrorCode(code) ? code : 'internal-error', message, facts);
}

function unreachable(url: string, cause: unknown): AttuneError {
  const message = `No daemon answers at ${url}. Start it with: attune start`;
  return new AttuneError('daemon-unreachable', message, { url }, { cause });
}

function refusedWith(status: number, url: string): AttuneError {
  if (status === 401) {
    return new AttuneError(
      'token-required',
      `The daemon at ${url} asks for a token: ATTUNE_TOKEN.`,
    );
  }
  return new AttuneError('daemon-unreachable', `${url} answered with ${status}. Is it Attune?`, {
    url,
    status,
  });
}
