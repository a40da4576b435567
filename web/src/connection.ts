// The page's connection to the daemon: the browser's socket and its token for the shared client.
import { signal } from '@preact/signals';
import {
  type ClientState,
  DaemonClient,
  type Socket,
  type SocketEvents,
} from '../../src/protocol/daemon-client.ts';
import type { ServerMessage } from '../../src/protocol/server-message.ts';
import { keep, kept } from './kept.ts';

export const CONNECTION_TEXT = {
  open: 'Connected',
  connecting: 'Connecting…',
  waiting: 'Reconnecting…',
  'token-needed': 'Token needed',
  refused: 'Refused: reload the page',
} as const;
export type ConnectionState = keyof typeof CONNECTION_TEXT;
export const connectionState = signal<ConnectionState>('connecting');

const TOKEN = 'token';

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

/** 128 random bits. `crypto.randomUUID` is there only over https and on this machine. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Also where the browser keeps nothing. */
let ownToken = kept(TOKEN);

export function setToken(token: string): void {
  ownToken = token;
  keep(TOKEN, token);
  connect();
}

export const token = (): string | null => ownToken;

export function connect(): void {
  // What comes of it is shown by the state.
  client.connect().catch(() => undefined);
}

/** How often the page looks whether the machine slept, and what tells of a sleep. */
const LOOK_MS = 2_000;

/** After a sleep, or in another network, the line may be dead without anybody having said so. */
export function watchSleep(): void {
  const wake = (): void => {
    if (document.visibilityState === 'visible') client.wake();
  };
  for (const event of ['online', 'pageshow', 'focus']) window.addEventListener(event, wake);
  document.addEventListener('visibilitychange', wake);
  let before = Date.now();
  setInterval(() => {
    if (Date.now() - before > 2 * LOOK_MS) wake();
    before = Date.now();
  }, LOOK_MS);
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
