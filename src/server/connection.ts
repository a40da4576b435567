// WebSocket connections: welcome, hello, order, limits, heartbeat; what messages do is in
// client-actions.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer as WsServer } from 'ws';
import type { Clock, Timer } from '../base/clock.ts';
import { AttuneError, codedError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Config } from '../config/schema.ts';
import {
  ClientMessage,
  type ClientMessageOf,
  type EventTopic,
} from '../protocol/client-message.ts';
import { JSON_VALUES_MAX, parseJson, parseWith, requestIdOf } from '../protocol/codec.ts';
import { CLOSE_CODE, type CloseReason, PROTOCOL_VERSION } from '../protocol/handshake.ts';
import type { EngineView, ServerMessageOf } from '../protocol/server-message.ts';
import { assertHost, assertOrigin, type TokenGate, tokenOf } from './access.ts';
import { type Actor, act, type Services } from './client-actions.ts';
import { errorMessage } from './error-message.ts';
import type { EventHub } from './event-hub.ts';
import { Outbox } from './outbox.ts';
import { createRateLimit, type RateLimit } from './rate-limit.ts';

export interface ConnectionOptions extends Services {
  readonly events: EventHub;
  readonly tokens: TokenGate;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly serverName: string;
  readonly engineView: () => EngineView;
  readonly settings: Config['server'];
}

/** Messages of one client that wait for the one before; beyond it the socket is not read. */
const WAITING_MAX = 16;
/** A client that goes on and on after `rate-limit` is closed. */
const RATE_REFUSALS_MAX = 100;

export class Connection implements Actor {
  readonly outbox: Outbox;
  readonly openConversations = new Set<string>();
  readonly #socket: WebSocket;
  readonly #options: ConnectionOptions;
  readonly #rate: RateLimit;
  #topics: ReadonlySet<EventTopic> = new Set();
  #isGreeted = false;
  readonly #isTrusted: boolean;
  #waiting = 0;
  #refusals = 0;
  #queue: Promise<void> = Promise.resolve();
  #heardAt: number;
  #timer: Timer;

  /** `isTrusted`: the token came with the upgrade request. */
  constructor(socket: WebSocket, isTrusted: boolean, options: ConnectionOptions) {
    const { clock, settings } = options;
    const { limits, helloTimeoutMs } = settings;
    this.#socket = socket;
    this.#options = options;
    this.#isTrusted = isTrusted;
    this.#rate = createRateLimit(limits.messagesPerMinuteMax, clock);
    this.#heardAt = clock.monotonicMs();
    this.outbox = new Outbox(
      {
        get bufferedBytes() {
          return socket.bufferedAmount;
        },
        send: (text, onFlushed) => {
          if (socket.readyState === WebSocket.OPEN) socket.send(text, onFlushed);
        },
      },
      { mergeBytes: limits.sendQueueBytesMax, closeBytes: limits.sendQueueBytesClose },
      () => this.#giveUp(),
    );
    this.#timer = clock.setTimeout(() => this.#onHelloTimeout(), helloTimeoutMs);
    socket.on('message', (data: Buffer, isBinary) => this.#onMessage(data, isBinary));
    socket.on('pong', () => this.#heard());
    socket.on('close', () => this.#onClose());
    socket.on('error', (error) => options.logger.debug({ error }, 'a connection failed'));
  }

  get topics(): ReadonlySet<EventTopic> {
    return this.#topics;
  }

  setTopics(topics: readonly EventTopic[]): void {
    this.#topics = new Set(topics);
  }

  openConversation(conversationId: string): void {
    const { openConversationsMax } = this.#options.settings.limits;
    if (
      !this.openConversations.has(conversationId) &&
      this.openConversations.size >= openConversationsMax
    ) {
      const message = `This connection has ${openConversationsMax} conversations open already: close some.`;
      throw new AttuneError('subscriptions-limit', message, { openConversationsMax });
    }
    this.openConversations.add(conversationId);
  }

  closeConversation(conversationId: string): void {
    this.openConversations.delete(conversationId);
    this.outbox.unfollowConversation(conversationId);
  }

  /** Tells the client why, then closes. */
  close(reason: CloseReason, message: string): void {
    this.outbox.send(errorMessage(new AttuneError(reason, message)));
    this.#socket.close(CLOSE_CODE[reason], reason);
    this.#terminateSoon();
  }

  /** A client that never answers the close is not waited for. */
  #terminateSoon(): void {
    this.#timer.cancel();
    this.#timer = this.#options.clock.setTimeout(() => this.#socket.terminate(), 2_000, {
      unref: true,
    });
  }

  #giveUp(): void {
    this.#options.logger.warn({}, 'a reader is too slow; its connection is closed');
    this.#socket.close(CLOSE_CODE['reader-too-slow'], 'reader-too-slow');
    this.#terminateSoon();
  }

  #onHelloTimeout(): void {
    this.close('hello-expected', 'No client-hello came in time.');
  }

  #onClose(): void {
    this.#timer.cancel();
    this.#options.events.remove(this);
    this.openConversations.clear();
  }

  #heard(): void {
    this.#heardAt = this.#options.clock.monotonicMs();
  }

  #beat(): void {
    const { clock, settings } = this.#options;
    const { heartbeatIntervalMs, heartbeatTimeoutMs } = settings;
    if (clock.monotonicMs() - this.#heardAt > heartbeatTimeoutMs) {
      this.close('heartbeat-missed', `The client was silent for ${heartbeatTimeoutMs} ms.`);
      return;
    }
    this.#socket.ping();
    this.#timer = clock.setTimeout(() => this.#beat(), heartbeatIntervalMs);
  }

  #onMessage(data: Buffer, isBinary: boolean): void {
    this.#heard();
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    const wait = this.#rate.take();
    if (wait > 0) {
      this.#refuseRate(wait);
      return;
    }
    let value: unknown;
    try {
      if (isBinary) throw new AttuneError('message-invalid', 'Send text frames with JSON.');
      value = parseJson(data.toString('utf8'), JSON_VALUES_MAX);
      this.#receive(parseWith(ClientMessage, value));
    } catch (error) {
      this.#fail(error, requestIdOf(value));
    }
  }

  #refuseRate(retryAfterMs: number): void {
    const { messagesPerMinuteMax } = this.#options.settings.limits;
    const message = `Too many messages: at most ${messagesPerMinuteMax} a minute. Try again shortly.`;
    if (++this.#refusals > RATE_REFUSALS_MAX) {
      this.close('rate-limit', message);
    } else {
      const facts = { messagesPerMinuteMax, retryAfterMs };
      this.outbox.send(errorMessage(new AttuneError('rate-limit', message, facts)));
    }
  }

  #receive(message: ClientMessage): void {
    if (message.type === 'heartbeat-ping') {
      const at = this.#options.clock.now();
      const { requestId } = message;
      this.outbox.send({ type: 'heartbeat-pong', at, ...(requestId ? { requestId } : {}) });
    } else if (message.type === 'client-hello') {
      this.#greet(message);
    } else if (!this.#isGreeted) {
      this.close('hello-expected', 'The first message must be client-hello.');
    } else {
      this.#enqueue(message);
    }
  }

  /** One after the other, in the order in which they came. */
  #enqueue(message: Parameters<typeof act>[0]): void {
    if (++this.#waiting >= WAITING_MAX) this.#socket.pause();
    this.#queue = this.#queue
      .then(() => act(message, this, this.#options))
      .catch((error: unknown) => this.#fail(error, message.requestId))
      .then(() => {
        if (--this.#waiting < WAITING_MAX && this.#socket.isPaused) this.#socket.resume();
      });
  }

  #greet(hello: ClientMessageOf<'client-hello'>): void {
    const { tokens, events, clock, settings } = this.#options;
    if (this.#isGreeted) {
      throw new AttuneError('hello-repeated', 'This connection has said hello already.');
    }
    if (hello.protocol !== PROTOCOL_VERSION) {
      const ours = `This daemon speaks protocol ${PROTOCOL_VERSION}, not ${hello.protocol}.`;
      this.close('protocol-mismatch', `${ours} Reload the page, or update the older of the two.`);
      return;
    }
    if (!this.#isTrusted && !tokens.isRight(hello.token)) {
      void tokens.assert(hello.token).catch((error: AttuneError) => {
        this.close('token-required', error.message);
      });
      return;
    }
    this.#isGreeted = true;
    this.#timer.cancel();
    events.add(this);
    this.outbox.send(this.#hello(hello.requestId));
    this.#timer = clock.setTimeout(() => this.#beat(), settings.heartbeatIntervalMs);
  }

  #hello(requestId: string | undefined): ServerMessageOf<'server-hello'> {
    const { engineView, serverName, settings } = this.#options;
    const { heartbeatIntervalMs, limits } = settings;
    const { payloadBytesMax, messageCharactersMax, messagesPerMinuteMax } = limits;
    return {
      type: 'server-hello',
      ...(requestId === undefined ? {} : { requestId }),
      protocol: PROTOCOL_VERSION,
      server: serverName,
      engine: engineView(),
      limits: {
        payloadBytesMax,
        messageCharactersMax,
        messagesPerMinuteMax,
        heartbeatIntervalMs,
      },
    };
  }

  #fail(error: unknown, requestId: string | undefined): void {
    if (!(error instanceof AttuneError) || error.status >= 500) {
      this.#options.logger.error({ error }, 'a client message failed');
    }
    this.outbox.send(errorMessage(error, requestId));
  }
}

// Takes WebSocket upgrades on /ws: checks who asks, counts them, hands each to a Connection.

const WEBSOCKET_PATH = '/ws';

interface WebSocketServer {
  /** For the `upgrade` event of an HTTP server. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
  /** Tells all clients, then closes their connections. */
  close(): Promise<void>;
}

const CLOSE_GRACE_MS = 1_000;

/** @throws host-refused, origin-refused, token-required, route-unknown */
async function assertWelcome(
  request: IncomingMessage,
  { settings: access, tokens }: ConnectionOptions,
): Promise<{ isTrusted: boolean }> {
  assertHost(request.headers, access);
  assertOrigin(request.headers, access);
  const path = (request.url ?? '').split('?', 1)[0];
  if (path !== WEBSOCKET_PATH) {
    throw new AttuneError('route-unknown', `WebSockets are served on ${WEBSOCKET_PATH}.`);
  }
  const token = tokenOf(request.headers);
  if (token === undefined) return { isTrusted: access.token === '' };
  await tokens.assert(token);
  return { isTrusted: true };
}

function refuse(socket: Duplex, error: unknown): void {
  const { code, message, status } = codedError(error);
  const body = JSON.stringify({ error: { code, message, facts: {} } });
  socket.end(
    `HTTP/1.1 ${status} ${code}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

export function createWebSocketServer(options: ConnectionOptions): WebSocketServer {
  const { settings, logger } = options;
  const { connectionsMax, payloadBytesMax } = settings.limits;
  const server = new WsServer({
    noServer: true,
    // A longer message closes the connection with 1009.
    maxPayload: payloadBytesMax,
    perMessageDeflate: false,
    clientTracking: false,
  });
  const connections = new Set<Connection>();
  let isClosing = false;

  return {
    async upgrade(request, socket, head) {
      socket.on('error', (error) => logger.debug({ error }, 'an upgrade failed'));
      let welcome: { isTrusted: boolean };
      try {
        welcome = await assertWelcome(request, options);
        if (isClosing) throw new AttuneError('shutting-down', 'The daemon is stopping.');
      } catch (error) {
        refuse(socket, error);
        return;
      }
      server.handleUpgrade(request, socket, head, (client) => {
        const connection = new Connection(client, welcome.isTrusted, options);
        if (connections.size >= connectionsMax) {
          connection.close('connections-limit', `${connectionsMax} clients are connected already.`);
          return;
        }
        connections.add(connection);
        client.once('close', () => connections.delete(connection));
      });
    },
    async close() {
      isClosing = true;
      for (const connection of connections) {
        connection.outbox.send({ type: 'server-closing', reason: 'The daemon is stopping.' });
        connection.close('shutting-down', 'The daemon is stopping.');
      }
      const deadline = Date.now() + CLOSE_GRACE_MS;
      while (connections.size > 0 && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      server.close();
    },
  };
}
