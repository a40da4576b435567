// A client of the daemon over a WebSocket that comes back by itself. It knows neither browser nor
// node: socket and clock come in as arguments.
import { AttuneError, type ErrorFacts, isErrorCode } from '../base/errors.ts';
import type { ClientMessageInput, EventTopic } from './client-message.ts';
import { CLOSE_CODE, FINAL_REASONS, PROTOCOL_VERSION } from './handshake.ts';
import type { ServerMessage, ServerMessageOf } from './server-message.ts';

/** A WebSocket, open or on its way to be. */
export interface Socket {
  send(text: string): void;
  close(): void;
}

/** What a socket tells; nothing before the function that opens it has returned. */
export interface SocketEvents {
  onOpen(): void;
  onText(text: string): void;
  /** The other side lives, without a message. */
  onPing(): void;
  /** Also when it could not be opened; `error` says why, where the socket knows. */
  onClose(code: number, error?: AttuneError): void;
}

interface Timers {
  monotonicMs(): number;
  setTimeout(
    callback: () => void,
    delayMs: number,
    options?: { readonly unref?: boolean },
  ): { cancel(): void };
}

export type ClientState =
  | { readonly kind: 'connecting' }
  /** Greeted and subscribed. `isBack`: it was open before. */
  | { readonly kind: 'open'; readonly isBack: boolean }
  /** Tries again by itself. `wasOpen`: this loss ended an open connection. */
  | { readonly kind: 'waiting'; readonly wasOpen: boolean }
  /** Does not try again: the daemon refuses this client. */
  | { readonly kind: 'refused'; readonly error: AttuneError };

export interface DaemonClientOptions {
  /** The name of the program, for the daemon. */
  readonly client: string;
  /** Asked at each connection; absent where the socket itself carries the token. */
  readonly token?: () => string | undefined;
  /** Events that are subscribed to at each connection. */
  readonly topics?: readonly EventTopic[];
  readonly openSocket: (events: SocketEvents) => Socket;
  readonly clock: Timers;
  readonly parse: (text: string) => ServerMessage;
  /** Everything that the daemon sends, answers among them. */
  readonly onMessage: (message: ServerMessage) => void;
  readonly onState?: (state: ClientState) => void;
  /**
   * True: requests outlive a loss and are sent again, after `onState` was told of the new
   * connection. False: they are rejected with daemon-unreachable.
   */
  readonly keepsRequests: boolean;
}

export type Request = Exclude<ClientMessageInput, { type: 'client-hello' }>;

type Hello = ServerMessageOf<'server-hello'>;

interface Attempt {
  readonly resolve: (hello: Hello) => void;
  readonly reject: (error: AttuneError) => void;
}

interface Pending {
  readonly message: Request;
  readonly resolve: (answer: ServerMessage) => void;
  readonly reject: (error: AttuneError) => void;
}

const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 8_000;
const HELLO_TIMEOUT_MS = 5_000;
/** Silence, in heartbeats, after which a connection counts as lost. */
const HEARTBEATS_MISSED = 2.5;
/** The same after a sleep, when somebody waits. */
const WAKE_TIMEOUT_MS = 3_000;

export class DaemonClient {
  readonly #options: DaemonClientOptions;
  readonly #pending = new Map<string, Pending>();
  #socket: Socket | undefined;
  #refusal: AttuneError | undefined;
  #hello: Hello | undefined;
  #attempt: Attempt | undefined;
  #isOpen = false;
  #wasOpen = false;
  #asked = 0;
  #losses = 0;
  /** Lost, and to be opened again. */
  #mayRetry = false;
  #heardAt = 0;
  /** For the hello, the next heartbeat or the next attempt: one at a time. */
  #timer: { cancel(): void } | undefined;

  constructor(options: DaemonClientOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /**
   * Opens a connection, in place of the one there is.
   * @returns the daemon's hello
   * @throws why this attempt failed; others follow until `close`, unless the daemon refuses
   */
  connect(): Promise<Hello> {
    return new Promise((resolve, reject) => {
      this.#open();
      this.#attempt = { resolve, reject };
    });
  }

  /** Sends without waiting for an answer. @returns false: there is no connection now */
  send(message: Request): boolean {
    if (this.#isOpen) this.#write(message);
    return this.#isOpen;
  }

  /**
   * Sends and waits for the answer. Requests carry ids, so that asking twice does things once.
   * @throws the error that the daemon answers with, daemon-unreachable, aborted
   */
  request<T extends ServerMessage['type']>(
    message: Request,
    _answer: T,
  ): Promise<ServerMessageOf<T>> {
    const requestId = `q${++this.#asked}`;
    return new Promise((resolve, reject) => {
      if (!this.#isOpen && !this.#options.keepsRequests) {
        reject(unreachable('There is no connection right now.'));
        return;
      }
      const asked = { ...message, requestId };
      this.#pending.set(requestId, {
        message: asked,
        resolve: (answer) => resolve(answer as ServerMessageOf<T>),
        reject,
      });
      if (this.#isOpen) this.#write(asked);
    });
  }

  /** The machine may have slept, or changed its network: says within seconds whether it is lost. */
  wake(): void {
    if (!this.#isOpen || this.#hello === undefined) {
      if (this.#mayRetry) this.#open();
      return;
    }
    const { heartbeatIntervalMs } = this.#hello.limits;
    this.#heardAt = Number.NEGATIVE_INFINITY;
    this.#write({ type: 'heartbeat-ping' });
    this.#after(WAKE_TIMEOUT_MS, () => {
      if (this.#heardAt === Number.NEGATIVE_INFINITY) this.#lost();
      else this.#watch(heartbeatIntervalMs);
    });
  }

  /** Ends it for good. */
  close(): void {
    const error = new AttuneError('aborted', 'The client was closed.');
    this.#disconnect(error);
    this.#refuseAll(error);
  }

  #open(): void {
    this.#disconnect(new AttuneError('aborted', 'Another connection took its place.'));
    this.#refusal = undefined;
    this.#options.onState?.({ kind: 'connecting' });
    const ifCurrent =
      <A extends unknown[]>(act: (...values: A) => void) =>
      (...values: A): void => {
        if (this.#socket === socket) act(...values);
      };
    const socket = this.#options.openSocket({
      onOpen: ifCurrent(() => this.#greet()),
      onText: ifCurrent((text: string) => this.#receive(this.#options.parse(text))),
      onPing: ifCurrent(() => this.#heard()),
      onClose: ifCurrent((code: number, error?: AttuneError) => this.#lost(code, error)),
    });
    this.#socket = socket;
    this.#after(HELLO_TIMEOUT_MS, () => this.#lost());
  }

  #write(message: ClientMessageInput): void {
    this.#socket?.send(JSON.stringify(message));
  }

  #greet(): void {
    const token = this.#options.token?.();
    const { client } = this.#options;
    const hello = { type: 'client-hello', protocol: PROTOCOL_VERSION, client } as const;
    this.#write(token ? { ...hello, token } : hello);
  }

  #heard(): void {
    this.#heardAt = this.#options.clock.monotonicMs();
  }

  #receive(message: ServerMessage): void {
    this.#heard();
    const requestId = 'requestId' in message ? message.requestId : undefined;
    const pending = requestId === undefined ? undefined : this.#pending.get(requestId);
    if (requestId !== undefined) this.#pending.delete(requestId);
    this.#options.onMessage(message);
    if (message.type === 'error') {
      if (!this.#isOpen) this.#refusal = answeredError(message);
      pending?.reject(answeredError(message));
    } else pending?.resolve(message);
    if (message.type === 'server-hello') this.#subscribe(message);
    else if (message.type === 'event-subscribed' && this.#hello && !this.#isOpen) {
      this.#opened(this.#hello);
    }
  }

  #subscribe(hello: Hello): void {
    this.#hello = hello;
    const { topics } = this.#options;
    if (topics === undefined) this.#opened(hello);
    else this.#write({ type: 'event-subscribe', topics: [...topics] });
  }

  #opened(hello: Hello): void {
    const unanswered = [...this.#pending.values()];
    const isBack = this.#wasOpen;
    this.#isOpen = true;
    this.#wasOpen = true;
    this.#losses = 0;
    this.#watch(hello.limits.heartbeatIntervalMs);
    this.#options.onState?.({ kind: 'open', isBack });
    this.#attempt?.resolve(hello);
    for (const { message } of unanswered) this.#write(message);
  }

  /** A machine that slept, a network that is gone: nobody tells us, we have to notice. */
  #watch(intervalMs: number): void {
    this.#after(
      intervalMs,
      () => {
        const silentMs = this.#options.clock.monotonicMs() - this.#heardAt;
        if (silentMs > HEARTBEATS_MISSED * intervalMs) return this.#lost();
        this.#write({ type: 'heartbeat-ping' });
        this.#watch(intervalMs);
      },
      { unref: true },
    );
  }

  #lost(code?: number, cause?: AttuneError): void {
    const wasOpen = this.#isOpen;
    const reason = FINAL_REASONS.find((name) => CLOSE_CODE[name] === code);
    const told = reason && new AttuneError(reason, `The daemon closed the connection: ${reason}.`);
    const error = this.#refusal ?? told ?? cause ?? unreachable('The connection was lost.');
    this.#disconnect(error);
    if (reason !== undefined || !this.#options.keepsRequests) this.#refuseAll(error);
    if (reason !== undefined) {
      this.#options.onState?.({ kind: 'refused', error });
      return;
    }
    this.#after(Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this.#losses++), () => this.#open());
    this.#mayRetry = true;
    this.#options.onState?.({ kind: 'waiting', wasOpen });
  }

  #disconnect(error: AttuneError): void {
    this.#timer?.cancel();
    this.#attempt?.reject(error);
    this.#attempt = undefined;
    const socket = this.#socket;
    this.#socket = undefined;
    this.#isOpen = false;
    this.#mayRetry = false;
    socket?.close();
  }

  #after(delayMs: number, act: () => void, options: { readonly unref?: boolean } = {}): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.setTimeout(act, delayMs, options);
  }

  #refuseAll(error: AttuneError): void {
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of waiting) reject(error);
  }
}

/** An error of the daemon as it comes over the wire or as the body of an HTTP answer. */
export function answeredError(answer: {
  readonly code: string;
  readonly message: string;
  readonly facts: ErrorFacts;
}): AttuneError {
  const { code, message, facts } = answer;
  return new AttuneError(isErrorCode(code) ? code : 'internal-error', message, facts);
}

function unreachable(message: string): AttuneError {
  return new AttuneError('daemon-unreachable', message);
}
