// The engine's own process: opens an engine and serves what comes through the pipe, nothing else.
import { type AttuneError, isAttuneError, packError } from '../../base/errors.ts';
import { openServingExecutor } from '../../runtime/device.ts';
import type { DeviceName } from '../../runtime/executor.ts';
import type { DecodedToken, Engine } from '../engine.ts';
import { createEngine } from '../in-process-engine.ts';
import { type Method, performCall } from './call.ts';
import type { EngineProcessOptions, FromEngine, ToEngine } from './message.ts';

let engine: Engine | undefined;
let device: DeviceName = 'cpu';
const aborts = new Map<number, AbortController>();
/** Tokens of one decode step leave as one message. */
let outgoing: [number, DecodedToken][] = [];

function tell(message: FromEngine): void {
  // A parent that was killed in this moment cannot be told, and 'disconnect' follows.
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
}

function flushTokens(): void {
  if (outgoing.length === 0) return;
  tell({ type: 'token-batch', tokens: outgoing });
  outgoing = [];
}

function queueToken(id: number, token: DecodedToken): void {
  if (outgoing.push([id, token]) === 1) setImmediate(flushTokens);
}

async function open(options: EngineProcessOptions): Promise<void> {
  try {
    const { executor } = await openServingExecutor(options);
    device = executor.device;
    engine = await createEngine({ ...options, executor });
    tell({ type: 'engine-opened', device });
  } catch (error) {
    // Most likely it does not fit.
    if (failedOnCard(error)) lose(error.message);
    else tell({ type: 'engine-refused', error: packError(error) });
  }
}

/** Answers once, with a value or an error, after all tokens before it. */
async function answer(id: number, method: Method, argument: unknown): Promise<void> {
  const controller = new AbortController();
  aborts.set(id, controller);
  try {
    if (engine === undefined) throw new Error('the engine is not open');
    const onToken = (token: DecodedToken): void => queueToken(id, token);
    const { signal } = controller;
    const value = await performCall(engine, { method, argument, onToken, signal });
    flushTokens();
    tell({ type: 'request-end', id, value });
  } catch (error) {
    flushTokens();
    // What a card held is gone; the next process has the conversation from its beginning.
    if (failedOnCard(error)) lose(error.message);
    else tell({ type: 'request-fail', id, error: packError(error) });
  } finally {
    aborts.delete(id);
  }
}

const failedOnCard = (error: unknown): error is AttuneError =>
  device !== 'cpu' && isAttuneError(error, 'runtime-failed');

function lose(reason: string): void {
  process.send?.({ type: 'device-lost', reason } satisfies FromEngine, () => process.exit(1));
}

async function close(): Promise<void> {
  await engine?.close();
  if (process.connected) process.disconnect();
}

process.on('message', (raw) => {
  const message = raw as ToEngine;
  switch (message.type) {
    case 'engine-open':
      void open(message.options);
      break;
    case 'request':
      void answer(message.id, message.method, message.argument);
      break;
    case 'request-abort':
      aborts.get(message.id)?.abort();
      break;
    case 'engine-close':
      void close();
      break;
  }
});

// Without its parent it serves nobody; in the middle of a run nothing else would end it.
process.on('disconnect', () => process.exit(0));
// Ctrl-C reaches the whole group: the parent decides when the engine ends.
process.on('SIGINT', () => undefined);
