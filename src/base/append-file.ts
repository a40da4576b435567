// An append-only JSONL file: a record is acknowledged when it would survive a power cut.
import { dirname } from 'node:path';
import { AttuneError } from './errors.ts';
import { type FileOps, type OpenFile, systemFileOps } from './file-ops.ts';
import { type LineReport, recoverLines } from './line-recovery.ts';

export interface AppendFileOptions {
  /** Called for each sound record at opening, in order, with its byte offset. */
  readonly onRecord?: (record: unknown, offset: number) => void;
  /** Called among them for each damaged line but a torn last one. */
  readonly onDamaged?: () => void;
  /** A record that fails is quarantined as damaged. By default any JSON object is sound. */
  readonly isSound?: (record: unknown) => boolean;
  readonly ops?: FileOps;
  /** What is there was synced by who opens it. */
  readonly isOnDisk?: boolean;
  /** A longer line is refused at append and counts as damaged at opening. */
  readonly lineBytesMax?: number;
  /** Waiting for the disk; beyond this, appends are refused with `store-busy`. */
  readonly waitingBytesMax?: number;
}

/** One writer at a time: hold the store's lock. */
export interface AppendFile {
  readonly path: string;
  /** What opening found and did. */
  readonly report: LineReport;
  /**
   * Resolves with the first record's byte offset once all are on disk (written and fsynced).
   * Records keep the order of the calls; those that wait together share one fsync.
   * @throws disk-full, store-failed, store-busy, file-too-large; nothing of them remains then
   */
  append(...records: object[]): Promise<number>;
  /** Waits for what was appended, then closes. */
  close(): Promise<void>;
}

interface Waiting {
  readonly bytes: Buffer;
  readonly resolve: (offset: number) => void;
  readonly reject: (error: unknown) => void;
}

export const LINE_BYTES_MAX = 8 * 2 ** 20;
const WAITING_BYTES_MAX = 64 * 2 ** 20;

/**
 * Opens or makes the file. A torn last line (no newline) is completed when it is whole JSON, else
 * cut off; a damaged line in the middle stays where it is and is skipped; both are copied to
 * `<path>.damaged` first, so nothing is lost.
 * @throws store-failed, disk-full
 */
export async function openAppendFile(
  path: string,
  options: AppendFileOptions = {},
): Promise<AppendFile> {
  const { ops = systemFileOps, lineBytesMax = LINE_BYTES_MAX } = options;
  const file = await ops.open(path, 'append');
  let report: LineReport;
  try {
    report = await recoverLines(file, {
      ops,
      path,
      lineBytesMax,
      isSound: options.isSound ?? (() => true),
      onRecord: options.onRecord ?? (() => undefined),
      onDamaged: options.onDamaged,
    });
    if (options.isOnDisk !== true) {
      await file.sync();
      await ops.syncFolder(dirname(path));
    }
  } catch (error) {
    await file.close();
    throw error;
  }
  const limits = { lineBytesMax, waitingBytesMax: options.waitingBytesMax ?? WAITING_BYTES_MAX };
  return createWriter({ file, path, report, ...limits });
}

interface WriterState {
  readonly file: OpenFile;
  readonly path: string;
  readonly report: LineReport;
  readonly lineBytesMax: number;
  readonly waitingBytesMax: number;
}

function createWriter(state: WriterState): AppendFile {
  const { file, path, report } = state;
  let size = report.bytes;
  let waiting: Waiting[] = [];
  let waitingBytes = 0;
  let draining: Promise<void> | undefined;
  let broken: unknown;
  let closed = false;

  /** One write and one fsync for all that wait. */
  async function commit(group: readonly Waiting[]): Promise<void> {
    const bytes = Buffer.concat(group.map((one) => one.bytes));
    try {
      await file.write(bytes);
    } catch (error) {
      // A part may have been written: cut it off, or the next record would be glued to it.
      await file.truncate(size).catch((cutError: unknown) => {
        broken = cutError;
      });
      throw error;
    }
    try {
      await file.sync();
    } catch (error) {
      // After a failed fsync nobody knows what is on disk; only a fresh opening can tell.
      broken = error;
      throw error;
    }
  }

  async function drain(): Promise<void> {
    while (waiting.length > 0) {
      const group = waiting;
      waiting = [];
      waitingBytes = 0;
      try {
        if (broken !== undefined) throw broken;
        await commit(group);
        for (const one of group) {
          one.resolve(size);
          size += one.bytes.length;
        }
      } catch (error) {
        for (const one of group) one.reject(error);
      }
    }
    draining = undefined;
  }

  return {
    path,
    report,
    append(...records) {
      if (closed) throw new Error(`append file ${path}: append after close`);
      const lines = records.map((record) => Buffer.from(`${JSON.stringify(record)}\n`, 'utf8'));
      const tooLong = lines.find((line) => line.length > state.lineBytesMax);
      if (tooLong !== undefined) {
        return Promise.reject(
          new AttuneError(
            'file-too-large',
            `A record of ${tooLong.length} bytes is too long for ${path} (${state.lineBytesMax}).`,
            { path, bytes: tooLong.length, bytesMax: state.lineBytesMax },
          ),
        );
      }
      const bytes = Buffer.concat(lines);
      if (waitingBytes + bytes.length > state.waitingBytesMax) {
        return Promise.reject(
          new AttuneError('store-busy', `The disk cannot keep up with ${path}. Try again.`, {
            path,
            waitingBytes,
          }),
        );
      }
      waitingBytes += bytes.length;
      return new Promise((resolve, reject) => {
        waiting.push({ bytes, resolve, reject });
        // A turn later, so that records of the same moment share the fsync.
        draining ??= Promise.resolve().then(drain);
      });
    },
    async close() {
      if (closed) return;
      closed = true;
      await draining;
      await file.close();
    },
  };
}
