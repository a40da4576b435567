// Takes WebSocket upgrades on /ws: checks who asks, counts them, hands each to a Connection.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer as WsServer } from 'ws';
import { AttuneError, codedError } from '../base/errors.ts';
import { type AccessRules, assertHost, assertOrigin, tokenOf } from './access.ts';
import { Connection, type ConnectionOptions } from './connection.ts';

export const WEBSOCKET_PATH = '/ws';

export interface WebSocketOptions extends ConnectionOptions {
  readonly access: AccessRules;
  readonly connectionsMax: number;
}

export interface WebSocketServer {
  readonly connections: number;
  /** For the `upgrade` event of an HTTP server. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
  /** Tells all clients, then closes their connections. */
  close(): Promise<void>;
}

const CLOSE_GRACE_MS = 1_000;

/** @throws host-refused, origin-refused, token-required, route-unknown */
async function assertWelcome(
  request: IncomingMessage,
  { access, tokens }: WebSocketOptions,
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

export function createWebSocketServer(options: WebSocketOptions): WebSocketServer {
  const { connectionsMax, limits, logger } = options;
  const server = new WsServer({
    noServer: true,
    // A longer message closes the connection with 1009.
    maxPayload: limits.payloadBytesMax,
    perMessageDeflate: false,
    clientTracking: false,
  });
  const connections = new Set<Connection>();
  let isClosing = false;

  return {
    get connections() {
      return connections.size;
    },
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
