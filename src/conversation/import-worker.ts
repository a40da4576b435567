// The worker's side of a large import: reads the body that it is started with, and ends.
import { parentPort, workerData } from 'node:worker_threads';
import { type ErrorCode, type ErrorFacts, isAttuneError } from '../base/errors.ts';
import { type Imported, readImport } from './imported.ts';

export interface ImportWorkerData {
  readonly body: Uint8Array;
  readonly now: number;
}

export type ImportAnswer =
  | { readonly type: 'imported'; readonly imported: Imported }
  | {
      readonly type: 'error';
      readonly code: ErrorCode;
      readonly message: string;
      readonly facts: ErrorFacts;
    };

function answer(): ImportAnswer {
  const { body, now } = workerData as ImportWorkerData;
  try {
    return { type: 'imported', imported: readImport(body, now) };
  } catch (error) {
    if (!isAttuneError(error)) throw error;
    const { code, message, facts } = error;
    return { type: 'error', code, message, facts };
  }
}

parentPort?.postMessage(answer());
