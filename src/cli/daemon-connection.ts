// The commands' WebSocket to the daemon: node's socket for the client that the web page uses too.
import { WebSocket } from 'ws';
import { systemClock } from '../base/clock.ts';
import { AttuneError } from '../base/errors.ts';
import { parseServerMessage } from '../protocol/codec.ts';
import {
  DaemonClient,
  type DaemonClientOptions,
  type Socket,
  type SocketEvents,
} from '../protocol/daemon-client.ts';
import type { ServerMessageOf } from '../protocol/server-message.ts';
import type { Address } from './daemon.ts';

export type ConnectionOptions = Address &
  Pick<DaemonClientOptions, 'client' | 'topics' | 'onMessage' | 'onState'>;

/** Requests survive a lost connection: they are sent again, and carried out once. */
export function createDaemonClient({ url, token, ...options }: ConnectionOptions): DaemonClient {
  return new DaemonClient({
    ...options,
    openSocket: (events) => openSocket({ url, token }, events),
    clock: systemClock,
    parse: parseServerMessage,
    keepsRequests: true,
  });
}

/** Connects without retries. @throws daemon-unreachable, token-required, protocol-mismatch */
export async function connectFirst(client: DaemonClient): Promise<ServerMessageOf<'server-hello'>> {
  try {
    return await client.connect();
  } catch (error) {
    client.close();
    throw error;
  }
}

function openSocket({ url, token }: Address, events: SocketEvents): Socket {
  const headers = token === '' ? {} : { Authorization: `Bearer ${token}` };
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/ws`, { headers });
  let error = unreachable(url);
  socket.on('open', () => events.onOpen());
  socket.on('message', (data: Buffer) => events.onText(data.toString('utf8')));
  socket.on('ping', () => events.onPing());
  socket.on('error', (cause) => {
    error = unreachable(url, cause);
  });
  socket.on('unexpected-response', (_request, { statusCode = 0 }) => {
    error = refusedWith(statusCode, url);
    socket.terminate();
  });
  socket.on('close', (code) => events.onClose(code, error));
  return socket;
}

function unreachable(url: string, cause?: unknown): AttuneError {
  const message = `No daemon answers at ${url}. Start it with: attune start`;
  return new AttuneError('daemon-unreachable', message, { url }, { cause });
}

function refusedWith(status: number, url: string): AttuneError {
  if (status === 401) {
    const message = `The daemon at ${url} requires an access token: set ATTUNE_TOKEN.`;
    return new AttuneError('token-required', message, { url });
  }
  const message = `${url} answered with status ${status}. Is it Attune?`;
  return new AttuneError('daemon-unreachable', message, { url, status });
}
