// The worker's side of a large import: reads the body that it is started with, and ends.
import { constants, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { packError, type SentError } from '../base/errors.ts';
import { type Imported, readImport } from './imported.ts';

export interface ImportWorkerData {
  /** Of the body. */
  readonly pieces: readonly Uint8Array[];
  readonly now: number;
}

export type ImportAnswer =
  | { readonly type: 'imported'; readonly imported: Imported }
  | { readonly type: 'error'; readonly error: SentError };

// On Linux that is this thread's, elsewhere it would be that of the whole process.
if (process.platform === 'linux') setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
const { pieces, now } = workerData as ImportWorkerData;
try {
  const imported = readImport(Buffer.concat(pieces), now);
  const answer: ImportAnswer = { type: 'imported', imported };
  // The log is handed over, not copied.
  const { buffer } = 'log' in imported ? imported.log.bytes : new Uint8Array();
  parentPort?.postMessage(answer, [buffer as ArrayBuffer]);
} catch (error) {
  parentPort?.postMessage({ type: 'error', error: packError(error) } satisfies ImportAnswer);
}
