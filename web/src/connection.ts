// The WebSocket to the daemon: hello, reconnect, request and answer. It knows no pages.
import { signal } from '@preact/signals';
import type { ClientMessageInput } from '../../src/protocol/client-message.ts';
import type { ServerMessage, ServerMessageOf } from '../../src/protocol/server-message.ts';

export type ConnectionState = 'connecting' | 'open' | 'waiting' | 'token-needed';
export const connectionState = signal<ConnectionState>('connecting');

/** Carries the code of the daemon's `error` message. */
export class RequestError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

type Listener = (message: ServerMessage) => void;
type Pending = { resolve: (message: ServerMessage) => void; reject: (error: Error) => void };
/** `Omit` that keeps the members of a union apart. */
type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
export type Request = Without<ClientMessageInput, 'requestId'>;

const RETRY_MS = [250, 500, 1000, 2000, 4000, 8000] as const;
const TOKEN_KEY = 'attune-token';

const listeners = new Set<Listener>();
const onOpens = new Set<() => void>();
const pending = new Map<string, Pending>();
let socket: WebSocket | undefined;
let attempts = 0;
let heartbeat: number | undefined;
let lastHeardAt = 0;

/** Every message of the daemon. */
export function onMessage(listener: Listener): void {
  listeners.add(listener);
}

/** Called after each hello, also after a reconnect. */
export function onOpen(listener: () => void): void {
  onOpens.add(listener);
}

export function newId(): string {
  return crypto.randomUUID();
}

export function setToken(token: string): void {
  localStorage.setItem(TOKEN_KEY, token);
  attempts = 0;
  connect();
}

export function token(): string | null {
  return localStorage.getItem(TOKEN_KEY);
}

export function connect(): void {
  socket?.close();
  connectionState.value = 'connecting';
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const next = new WebSocket(`${scheme}://${location.host}/ws`);
  socket = next;
  next.onopen = () => {
    const secret = token();
    const hello: ClientMessageInput = {
      type: 'client-hello',
      protocol: 1,
      client: 'attune-web',
      ...(secret ? { token: secret } : {}),
    };
    next.send(JSON.stringify(hello));
  };
  next.onmessage = (event: MessageEvent<string>) => receive(JSON.parse(event.data));
  next.onclose = (event) => {
    if (socket === next) lost(event.code);
  };
}

function receive(message: ServerMessage): void {
  lastHeardAt = performance.now();
  if (message.type === 'server-hello') {
    attempts = 0;
    connectionState.value = 'open';
    watch(message.limits.heartbeatIntervalMs);
    for (const listener of listeners) listener(message);
    for (const listener of onOpens) listener();
    return;
  }
  const requestId = 'requestId' in message ? message.requestId : undefined;
  const waiting = requestId === undefined ? undefined : pending.get(requestId);
  if (requestId !== undefined) pending.delete(requestId);
  for (const listener of listeners) listener(message);
  if (message.type === 'error') waiting?.reject(new RequestError(message.code, message.message));
  else waiting?.resolve(message);
}

/** Browsers cannot see pings, so the page sends its own and gives up on silence. */
function watch(intervalMs: number): void {
  window.clearInterval(heartbeat);
  heartbeat = window.setInterval(() => {
    if (performance.now() - lastHeardAt > 2.5 * intervalMs) socket?.close();
    else if (socket?.readyState === WebSocket.OPEN) send({ type: 'heartbeat-ping' });
  }, intervalMs);
}

function lost(code: number): void {
  window.clearInterval(heartbeat);
  for (const [, { reject }] of pending)
    reject(new RequestError('disconnected', 'Connection lost.'));
  pending.clear();
  if (code === 4001) {
    connectionState.value = 'token-needed';
    return;
  }
  connectionState.value = 'waiting';
  const delayMs = RETRY_MS[Math.min(attempts++, RETRY_MS.length - 1)] ?? 8000;
  window.setTimeout(() => connectionState.value === 'waiting' && connect(), delayMs);
}

/** Sends without waiting. False: there is no connection now. */
export function send(message: ClientMessageInput): boolean {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(message));
  return true;
}

/** Sends and waits for the answer. @throws RequestError, also `disconnected` */
export function request<T extends ServerMessage['type']>(
  message: Request,
  _answer: T,
): Promise<ServerMessageOf<T>> {
  const requestId = newId();
  return new Promise((resolve, reject) => {
    pending.set(requestId, { resolve: resolve as Pending['resolve'], reject });
    if (!send({ ...message, requestId } as ClientMessageInput)) {
      pending.delete(requestId);
      reject(new RequestError('disconnected', 'There is no connection right now.'));
    }
  });
}
