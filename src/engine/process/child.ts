// The engine's own process: opens an engine and serves what comes through the pipe, nothing else.
import { openServingExecutor } from '../../runtime/device.ts';
import type { DecodedToken, Engine } from '../engine.ts';
import { createEngine } from '../in-process-engine.ts';
import {
  type Call,
  checkMessage,
  type EngineProcessOptions,
  type FromEngine,
  type ToEngine,
} from './message.ts';
import { packError } from './sent-error.ts';
import { warmUpWhenIdle } from './warm-up.ts';

let engine: Engine | undefined;
const aborts = new Map<number, AbortController>();
/** Tokens of one decode step leave as one message. */
let outgoing: [number, DecodedToken][] = [];

/** Long enough for the first words of somebody who was waiting for the start. */
const WARM_UP_AFTER_MS = 3_000;
const WARM_UP_TOKENS = 32;

/** A swap scores a probe; its program is compiled now, not between two tokens of a reply. */
function warmUp(): void {
  const ids = new Array<number>(WARM_UP_TOKENS).fill(0);
  // What fails here fails again, and is told, when a probe is asked for.
  engine?.score({ sequences: [{ ids, from: 1 }] }).catch(() => undefined);
}

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
    engine = await createEngine({ ...options, executor });
    tell({ type: 'engine-opened', description: await engine.describe() });
    warmUpWhenIdle({ isBusy: () => aborts.size > 0, warmUp, afterMs: WARM_UP_AFTER_MS });
  } catch (error) {
    tell({ type: 'engine-refused', error: packError(error) });
  }
}

/** Answers once, with a value or an error, after all tokens before it. */
async function answer(
  id: number,
  work: (opened: Engine, signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  const controller = new AbortController();
  aborts.set(id, controller);
  try {
    if (engine === undefined) throw new Error('the engine is not open');
    const value = await work(engine, controller.signal);
    flushTokens();
    tell({ type: 'request-end', id, value });
  } catch (error) {
    flushTokens();
    tell({ type: 'request-fail', id, error: packError(error) });
  } finally {
    aborts.delete(id);
  }
}

function run(opened: Engine, call: Call, signal: AbortSignal): Promise<unknown> {
  switch (call.method) {
    case 'describe':
      return opened.describe();
    case 'score':
      return opened.score(call.argument, signal);
    case 'capture':
      return opened.capture(call.argument, signal);
    case 'loadVersion':
      return opened.loadVersion(call.argument);
    case 'switchVersion':
      return opened.switchVersion(call.argument);
    case 'forget':
      return opened.forget(call.argument);
  }
}

async function close(): Promise<void> {
  await engine?.close();
  if (process.connected) process.disconnect();
}

process.on('message', (raw) => {
  const message = checkMessage<ToEngine>(raw);
  switch (message.type) {
    case 'engine-open':
      void open(message.options);
      break;
    case 'reply-ask': {
      const { id, request } = message;
      void answer(id, (opened, signal) =>
        opened.generate(request, (token) => queueToken(id, token), signal),
      );
      break;
    }
    case 'call-ask':
      void answer(message.id, (opened, signal) => run(opened, message.call, signal));
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
