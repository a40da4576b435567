// The page's connection to the daemon: the browser's socket and its token for the shared client.
import { signal } from '@preact/signals';
import {
  type ClientState,
  DaemonClient,
  type Socket,
  type SocketEvents,
} from '../../src/protocol/daemon-client.ts';
import type { ServerMessage } from '../../src/protocol/server-message.ts';

export const CONNECTION_TEXT = {
  open: 'Connected',
  connecting: 'Connecting…',
  waiting: 'Reconnecting…',
  'token-needed': 'Token needed',
  refused: 'Refused: reload the page',
} as const;
export type ConnectionState = keyof typeof CONNECTION_TEXT;
export const connectionState = signal<ConnectionState>('connecting');

const TOKEN_KEY = 'attune-token';

const listeners = new Set<(message: ServerMessage) => void>();
const onOpens = new Set<() => void>();

const client = new DaemonClient({
  client: 'attune-web',
  token: () => token() ?? undefined,
  topics: ['conversations', 'flags', 'nights', 'engine'],
  openSocket,
  clock: { monotonicMs: () => performance.now(), setTimeout: later },
  parse: (text) => JSON.parse(text),
  onMessage(message) {
    for (const listener of listeners) listener(message);
  },
  onState,
  keepsRequests: false,
});

export const send = client.send.bind(client);
export const request = client.request.bind(client);

/** Every message of the daemon. */
export function onMessage(listener: (message: ServerMessage) => void): void {
  listeners.add(listener);
}

/** Called each time that the connection is open, also after a loss. */
export function onOpen(listener: () => void): void {
  onOpens.add(listener);
}

export function newId(): string {
  return crypto.randomUUID();
}

export function setToken(token: string): void {
  localStorage.setItem(TOKEN_KEY, token);
  connect();
}

export function token(): string | null {
  return localStorage.getItem(TOKEN_KEY);
}

export function connect(): void {
  // What comes of it is shown by the state.
  client.connect().catch(() => undefined);
}

/** Whether a request failed for want of a connection, which the page shows by itself. */
export const isDisconnected = (error: unknown): boolean => hasCode(error, 'daemon-unreachable');

export const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;

function onState(state: ClientState): void {
  const isTokenNeeded = state.kind === 'refused' && state.error.code === 'token-required';
  connectionState.value = isTokenNeeded ? 'token-needed' : state.kind;
  if (state.kind === 'open') for (const listener of onOpens) listener();
}

function openSocket(events: SocketEvents): Socket {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const socket = new WebSocket(`${scheme}://${location.host}/ws`);
  socket.onopen = () => events.onOpen();
  socket.onmessage = ({ data }: MessageEvent<string>) => events.onText(data);
  socket.onclose = ({ code }) => events.onClose(code);
  return socket;
}

function later(callback: () => void, delayMs: number): { cancel(): void } {
  const timer = window.setTimeout(callback, delayMs);
  return { cancel: () => window.clearTimeout(timer) };
}
