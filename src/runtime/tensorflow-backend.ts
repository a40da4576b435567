// Finds and loads a TensorFlow.js backend, quietly, or says why it cannot; knows no graph.
import { createRequire } from 'node:module';
import util from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import { AttuneError } from '../base/errors.ts';
import type { DeviceName } from './executor.ts';

/** TensorFlow.js's own names: the C++ library, and plain JS, which whoever wants it loads first. */
export type BackendName = 'tensorflow' | 'cpu';

export interface LoadedBackend {
  readonly name: BackendName;
  readonly device: DeviceName;
  /** Package and library: `@tensorflow/tfjs-node-gpu, TensorFlow 2.21.0`. */
  readonly description: string;
}

/** Where `npm run setup:tensorflow` installs; the same from `src/runtime` and `dist/runtime`. */
const SETUP_FOLDER = new URL('../../deploy/tfjs-node-gpu/package.json', import.meta.url);
const PACKAGES = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'];
const HOW_TO_INSTALL =
  'Run `npm run setup:tensorflow` (needs g++ and python3; see deploy/tfjs-node-gpu/README.md).';

/** What of the C++ backend we look at. */
interface NativeBackend extends tf.KernelBackend {
  readonly isUsingGpuDevice: boolean;
  readonly binding: { readonly TF_Version: string };
}

let nativePackage: string | undefined;

/** Loads once per process. @throws device-unavailable saying what was tried and what to install */
export async function loadBackend(name: BackendName): Promise<LoadedBackend> {
  prepare();
  if (name === 'tensorflow') nativePackage ??= loadNative([import.meta.url, SETUP_FOLDER]);
  if (!(await tf.setBackend(name))) {
    const message = `TensorFlow.js: backend ${name} did not start.`;
    throw new AttuneError('device-unavailable', message, { backend: name });
  }
  if (name !== 'tensorflow') {
    return { name, device: 'cpu', description: `@tensorflow/tfjs-backend-cpu ${tf.version_core}` };
  }
  const native = tf.backend() as NativeBackend;
  return {
    name,
    device: native.isUsingGpuDevice ? 'cuda' : 'cpu',
    description: `${nativePackage}, TensorFlow ${native.binding.TF_Version}`,
  };
}

/** Makes `name` the backend of what follows in this turn of the event loop. */
export function useBackend(name: BackendName): void {
  // Synchronous for a backend that is already loaded, whatever its type says.
  if (tf.getBackend() !== name) void tf.setBackend(name);
}

/**
 * TensorFlow.js greets and warns on the console, and the C++ library on stderr; both stop here. And
 * that library takes what it needs of a card, not the whole, which the chat is on, too.
 */
function prepare(): void {
  tf.env().set('PROD', true);
  process.env.TF_FORCE_GPU_ALLOW_GROWTH ??= 'true';
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
}

/**
 * Loads the C++ binding, which registers itself, and says from which package it came.
 * @param places files or URLs from whose folders the packages are looked for, in this order
 * @throws device-unavailable with the reason of each package that is there and does not load
 */
export function loadNative(places: readonly (string | URL)[]): string {
  restoreRemovedFunctions();
  const reasons: string[] = [];
  for (const require of places.map((place) => createRequire(place))) {
    for (const name of PACKAGES) {
      try {
        require(name);
        return name;
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        const isAbsent = code === 'MODULE_NOT_FOUND' && message.includes(`'${name}'`);
        if (!isAbsent) reasons.push(`${name} does not load: ${message.split('\n')[0]?.trim()}`);
      }
    }
  }
  const why = reasons.join('; ') || `neither ${PACKAGES.join(' nor ')} is installed`;
  const message = `TensorFlow: ${why}. ${HOW_TO_INSTALL}`;
  throw new AttuneError('device-unavailable', message, { backend: 'tensorflow' });
}

/** tfjs-node 4.22 calls two functions of `node:util` that Node 23 removed. */
function restoreRemovedFunctions(): void {
  const legacy: { isNullOrUndefined?: unknown; isArray?: unknown } = util;
  legacy.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  legacy.isArray ??= Array.isArray;
}
