// The engine of another process behind the same interface; it knows the pipe and no model.
import type { ChildProcess } from 'node:child_process';
import { AttuneError, unpackError } from '../../base/errors.ts';
import { mayHaveCard } from '../../runtime/graphics-card.ts';
import type { DecodedToken, Engine } from '../engine.ts';
import { type Call, forwardCalls } from './call.ts';
import { forkEngine } from './fork.ts';
import type { EngineProcessOptions, FromEngine, ToEngine } from './message.ts';

/** An engine that lives in a child process until it is closed or dies. */
export interface EngineProcess extends Engine {
  readonly pid: number;
  /** Settles when the process has ended: why, or undefined after `close`. */
  readonly ended: Promise<AttuneError | undefined>;
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly onToken: ((token: DecodedToken) => void) | undefined;
}

const CLOSE_GRACE_MS = 5000;

/**
 * Opens an engine in a process that was started for it, or in a new one.
 * @throws engine-failed when the process ends first, and whatever opening the engine throws
 */
export async function openEngineProcess(
  options: EngineProcessOptions,
  child = forkEngine(),
): Promise<EngineProcess> {
  const client = new EngineClient(child);
  await client.open(options);
  return {
    ...forwardCalls((call) => client.ask(call)),
    close: () => client.close(),
    pid: client.pid,
    ended: client.ended,
  };
}

class EngineClient {
  readonly pid: number;
  readonly ended: Promise<AttuneError | undefined>;
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  #opening: { resolve: () => void; reject: (error: Error) => void } | undefined;
  #nextId = 1;
  #isClosing = false;
  /** What was asked for, until it says what it is. */
  #device: string = 'cpu';
  #lost: string | undefined;
  #failure: AttuneError | undefined;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid ?? -1;
    child.on('message', (raw) => this.#receive(raw as FromEngine));
    this.ended = new Promise((resolve) => {
      const end = (reason: string): void => resolve(this.#end(reason));
      child.once('error', (error) => end(error.message));
      child.once('exit', (code, signal) => end(signal ?? `exit code ${code}`));
      // One that was started beforehand may be gone already.
      const { exitCode, signalCode } = child;
      if (exitCode !== null || signalCode !== null) end(signalCode ?? `exit code ${exitCode}`);
    });
  }

  open(options: EngineProcessOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure;
      this.#opening = { resolve, reject };
      const { device } = options;
      this.#device = device === 'auto' && !mayHaveCard() ? 'cpu' : device;
      this.#tell({ type: 'engine-open', options });
    });
  }

  ask({ method, argument, onToken, signal }: Call): Promise<unknown> {
    const id = this.#nextId++;
    const abort = (): void => this.#tell({ type: 'request-abort', id });
    const answered = new Promise<unknown>((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure;
      this.#pending.set(id, { resolve, reject, onToken });
      this.#tell({ type: 'request', id, method, argument });
      if (signal?.aborted === true) abort();
      else signal?.addEventListener('abort', abort, { once: true });
    });
    return answered.finally(() => signal?.removeEventListener('abort', abort));
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.#tell({ type: 'engine-close' });
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), CLOSE_GRACE_MS);
    await this.ended;
    clearTimeout(timer);
  }

  #tell(message: ToEngine): void {
    // A pipe that is gone shows itself by the end of the process.
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }

  #receive(message: FromEngine): void {
    switch (message.type) {
      case 'engine-opened':
        this.#device = message.device;
        this.#opening?.resolve();
        break;
      case 'device-lost':
        this.#lost = message.reason;
        break;
      case 'engine-refused':
        this.#isClosing = true;
        this.#opening?.reject(unpackError(message.error, 'engine-failed'));
        this.#child.disconnect();
        break;
      case 'token-batch':
        for (const [id, token] of message.tokens) this.#deliver(id, token);
        break;
      case 'request-end':
        this.#pending.get(message.id)?.resolve(message.value);
        this.#pending.delete(message.id);
        break;
      case 'request-fail':
        this.#pending.get(message.id)?.reject(unpackError(message.error, 'engine-failed'));
        this.#pending.delete(message.id);
        break;
    }
  }

  /** A listener that throws ends its own request only. */
  #deliver(id: number, token: DecodedToken): void {
    const pending = this.#pending.get(id);
    try {
      pending?.onToken?.(token);
    } catch (error) {
      this.#pending.delete(id);
      this.#tell({ type: 'request-abort', id });
      pending?.reject(error as Error);
    }
  }

  /** Everything in flight is over. `interrupted` tells it from a request that was refused. */
  #end(exit: string): AttuneError | undefined {
    const reason = this.#lost ?? exit;
    const message = this.#isClosing
      ? 'the engine was closed'
      : `The process of the model ended (${reason}).`;
    const facts = { interrupted: true, reason, device: this.#device };
    const failure = new AttuneError('engine-failed', message, facts);
    this.#failure ??= failure;
    this.#opening?.reject(failure);
    for (const { reject } of this.#pending.values()) reject(failure);
    this.#pending.clear();
    return this.#isClosing ? undefined : failure;
  }
}
