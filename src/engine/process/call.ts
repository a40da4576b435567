// The engine's methods as a table: one forwarder carries all of them to wherever an engine runs.
import type { DecodedToken, Engine } from '../engine.ts';

/** All methods but `close`, which ends what the calls are forwarded to. */
export type EngineMethods = Omit<Engine, 'close'>;
export type Method = keyof EngineMethods;

/**
 * A method takes one argument and an abort signal and gives one value; a stream takes a listener
 * for tokens between the two.
 */
const METHODS: Readonly<Record<Method, { readonly isStream: boolean }>> = {
  describe: { isStream: false },
  generate: { isStream: true },
  score: { isStream: false },
  capture: { isStream: false },
  loadVersion: { isStream: false },
  switchVersion: { isStream: false },
  forget: { isStream: false },
};

export interface Call {
  readonly method: Method;
  readonly argument: unknown;
  readonly onToken?: ((token: DecodedToken) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Methods that each turn into one call of `answer`. */
export function forwardCalls(answer: (call: Call) => Promise<unknown>): EngineMethods {
  const entries = Object.entries(METHODS).map(([method, { isStream }]) => [
    method,
    isStream
      ? (argument: unknown, onToken: Call['onToken'], signal: Call['signal']) =>
          answer({ method: method as Method, argument, onToken, signal })
      : (argument: unknown, signal: Call['signal']) =>
          answer({ method: method as Method, argument, signal }),
  ]);
  return Object.fromEntries(entries);
}

/** What `forwardCalls` has made of a method, as a call of that method again. */
export function performCall(
  engine: EngineMethods,
  { method, argument, onToken, signal }: Call,
): Promise<unknown> {
  const rest = METHODS[method].isStream ? [onToken, signal] : [signal];
  return Reflect.apply(engine[method], engine, [argument, ...rest]);
}
