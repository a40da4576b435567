// What crosses the pipe between the server's process and the engine's: ids, numbers and paths only.
// Both ends are of one build, so messages are not checked again when they arrive.
import type { SentError } from '../../base/errors.ts';
import type { ServingOptions } from '../../runtime/device.ts';
import type { DeviceName } from '../../runtime/executor.ts';
import type { DecodedToken } from '../engine.ts';
import type { EngineOptions } from '../in-process-engine.ts';
import type { Method } from './call.ts';

/** Everything a child needs to open its engine. */
export type EngineProcessOptions = Omit<EngineOptions, 'executor'> & Required<ServingOptions>;

/** To the engine's process. */
export type ToEngine =
  | { readonly type: 'engine-open'; readonly options: EngineProcessOptions }
  | {
      readonly type: 'request';
      readonly id: number;
      readonly method: Method;
      readonly argument: unknown;
    }
  | { readonly type: 'request-abort'; readonly id: number }
  | { readonly type: 'engine-close' };

/** From the engine's process. */
export type FromEngine =
  | { readonly type: 'engine-opened'; readonly device: DeviceName }
  /** A run failed on a graphics card; the process ends. */
  | { readonly type: 'device-lost'; readonly reason: string }
  | { readonly type: 'engine-refused'; readonly error: SentError }
  | { readonly type: 'token-batch'; readonly tokens: readonly (readonly [number, DecodedToken])[] }
  | { readonly type: 'request-end'; readonly id: number; readonly value: unknown }
  | { readonly type: 'request-fail'; readonly id: number; readonly error: SentError };
