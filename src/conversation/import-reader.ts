// Reads what is imported: a small body at once, a large one in a worker, one after the other.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { compiledEntry } from '../base/compiled.ts';
import { AttuneError, unpackError } from '../base/errors.ts';
import { createQueue } from '../base/queue.ts';
import type { ImportAnswer, ImportWorkerData } from './import-worker.ts';
import { type Imported, readImport } from './imported.ts';

/** Larger bodies would hold up the event loop for longer than starting a worker takes. */
const INLINE_BYTES_MAX = 2 ** 18;
const HEAP_MB_MAX = 1_024;

export class ImportReader {
  /** One large import after the other. */
  readonly #queue = createQueue();

  /**
   * @param pieces of the body, each with bytes of its own, which are taken over
   * @param now ms since 1970, for a conversation that says no time
   * @param signal ends the work
   * @throws message-invalid, message-too-long, aborted
   */
  async read(pieces: readonly Uint8Array[], now: number, signal: AbortSignal): Promise<Imported> {
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (bytes <= INLINE_BYTES_MAX) return readImport(Buffer.concat(pieces), now);
    return this.#queue(() => readInWorker({ pieces, now }, signal));
  }
}

async function readInWorker(workerData: ImportWorkerData, signal: AbortSignal): Promise<Imported> {
  const aborted = new AttuneError('aborted', 'The client went away before its import was read.');
  if (signal.aborted) throw aborted;
  const resourceLimits = { maxOldGenerationSizeMb: HEAP_MB_MAX };
  const transferList = workerData.pieces.map((piece) => piece.buffer as ArrayBuffer);
  const worker = new Worker(compiledEntry('conversation/import-worker.js'), {
    ...{ workerData, transferList, resourceLimits },
  });
  const settled = new AbortController();
  const end = (): void => void worker.terminate();
  signal.addEventListener('abort', end);
  try {
    const ended = once(worker, 'exit', settled).then(() => Promise.reject(aborted));
    const [first] = await Promise.race([once(worker, 'message', settled), ended]);
    const answer = first as ImportAnswer;
    if (answer.type === 'imported') return answer.imported;
    throw unpackError(answer.error, 'internal-error');
  } finally {
    settled.abort();
    signal.removeEventListener('abort', end);
    end();
  }
}
