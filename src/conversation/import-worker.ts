// The worker's side of a large import: reads the body that it is started with, and ends.
import { parentPort, workerData } from 'node:worker_threads';
import { type ErrorCode, type ErrorFacts, isAttuneError } from '../base/errors.ts';
import { type Imported, readImport } from './imported.ts';

export interface ImportWorkerData {
  /** Of the body. */
  readonly pieces: readonly Uint8Array[];
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

const { pieces, now } = workerData as ImportWorkerData;
try {
  const imported = readImport(Buffer.concat(pieces), now);
  const answer: ImportAnswer = { type: 'imported', imported };
  // The log is handed over, not copied.
  const { buffer } = 'log' in imported ? imported.log.bytes : new Uint8Array();
  parentPort?.postMessage(answer, [buffer as ArrayBuffer]);
} catch (error) {
  if (!isAttuneError(error)) throw error;
  const { code, message, facts } = error;
  parentPort?.postMessage({ type: 'error', code, message, facts } satisfies ImportAnswer);
}
