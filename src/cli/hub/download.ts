// Downloads one file of the hub in ranges: resumed after a break, verified by hash, then renamed.
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, promises as fs } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Clock, sleep } from '../../base/clock.ts';
import { AttuneError } from '../../base/errors.ts';
import { type Hub, type HubFile, isTransient, retryDelayMs } from './hugging-face.ts';

export interface DownloadOptions {
  readonly hub: Hub;
  readonly repository: string;
  readonly commit: string;
  /** The folder that the files are for. */
  readonly folder: string;
  readonly clock: Clock;
  /** Number of attempts in a row that bring no new bytes before it gives up. */
  readonly attemptsMax: number;
  readonly rangeBytes: number;
  /** Number of bytes of this file that are on the disk. */
  readonly onProgress?: (bytes: number) => void;
}

/** The partial file, until it is complete. */
const partOf = (folder: string, { path }: HubFile): string => join(folder, `${path}.part`);

/**
 * Leaves the complete, verified file, or the partial file for the next call.
 * @returns whether anything was downloaded
 * @throws download-damaged, hub-failed, hub-refused, hub-not-found, disk-full
 */
export async function download(file: HubFile, options: DownloadOptions): Promise<boolean> {
  const target = join(options.folder, file.path);
  if (await isWhole(target, file)) {
    options.onProgress?.(file.size);
    return false;
  }
  await fs.mkdir(dirname(target), { recursive: true });
  const part = partOf(options.folder, file);
  const isResumed = await fetchUpTo(file.size, part, file, options);
  if (!(await isWhole(part, file))) {
    await fs.rm(part, { force: true });
    // The older bytes may be of another commit: download again from the start.
    if (isResumed) return download(file, options);
    const message =
      `${file.path} does not match its hash on the hub (${file.hash.hex}); ` +
      'the partial file was deleted, try again';
    throw new AttuneError('download-damaged', message, { path: file.path, hash: file.hash.hex });
  }
  await fs.rename(part, target);
  return true;
}

/**
 * Appends to the partial file until it has `length` bytes, or more where the hub has no ranges.
 * Failed attempts are retried with back-off.
 * @returns whether it continued an earlier download
 */
export async function fetchUpTo(
  length: number,
  part: string,
  file: HubFile,
  options: DownloadOptions,
): Promise<boolean> {
  const handle = await fs.open(part, 'a+');
  try {
    const isResumed = (await startOf(handle, file)) > 0;
    let attempt = 0;
    for (;;) {
      const have = await startOf(handle, file);
      options.onProgress?.(have);
      if (have >= length) {
        await handle.sync();
        return isResumed;
      }
      try {
        await fetchRange(handle, [have, length], file, options);
      } catch (error) {
        const isNew = (await startOf(handle, file)) > have;
        attempt = isNew ? 0 : attempt + 1;
        if (!isTransient(error) || attempt >= options.attemptsMax) throw withAdvice(error, file);
        await sleep(options.clock, retryDelayMs(error, attempt));
      }
    }
  } catch (error) {
    throw asDiskFull(error, part);
  } finally {
    await handle.close();
  }
}

/** Number of bytes in the partial file; a file that is too large is emptied. */
async function startOf(handle: fs.FileHandle, file: HubFile): Promise<number> {
  const { size } = await handle.stat();
  if (size <= file.size) return size;
  await handle.truncate(0);
  return 0;
}

async function fetchRange(
  handle: fs.FileHandle,
  [have, wanted]: readonly [have: number, wanted: number],
  file: HubFile,
  { hub, repository, commit, rangeBytes, onProgress }: DownloadOptions,
): Promise<void> {
  const end = Math.min(have + rangeBytes, wanted);
  const range = await hub.range({ repository, commit, path: file.path }, [have, end]);
  if (!Number.isNaN(range.total) && range.total !== file.size) {
    throw mismatch(file, `its size is ${range.total} bytes, but the hub's list says ${file.size}`);
  }
  if (range.start !== have && range.start !== 0) {
    throw mismatch(
      file,
      `bytes from ${have} were requested, but the hub sent bytes from ${range.start}`,
    );
  }
  if (range.start === 0 && have > 0) await handle.truncate(0);
  let at = range.start;
  const limit = range.start === have && have > 0 ? end : file.size;
  for await (const piece of range.body) {
    if (at + piece.length > limit) throw mismatch(file, 'the hub sent more bytes than requested');
    await handle.appendFile(piece);
    at += piece.length;
    onProgress?.(at);
    if (at >= wanted && wanted < file.size) break;
  }
  if (at === have) throw new AttuneError('hub-failed', `${file.path}: the hub sent nothing`);
}

/** Whether a file exists and matches its hash. */
export async function isWhole(path: string, { size, hash }: HubFile): Promise<boolean> {
  const found = await fs.stat(path).catch(() => undefined);
  if (found?.isFile() !== true || found.size !== size) return false;
  return (await hashOf(path, hash.kind, size)) === hash.hex;
}

/** SHA-256, or git's hash of a blob: SHA-1 of `blob <size>\0` and the content. */
async function hashOf(path: string, kind: 'sha256' | 'git', size: number): Promise<string> {
  const hash: Hash = kind === 'sha256' ? createHash('sha256') : createHash('sha1');
  if (kind === 'git') hash.update(`blob ${size}\0`);
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  return hash.digest('hex');
}

function mismatch(file: HubFile, why: string): AttuneError {
  return new AttuneError('download-damaged', `${file.path}: ${why}`, { path: file.path });
}

function withAdvice(error: unknown, file: HubFile): unknown {
  if (!isTransient(error)) return error;
  const { message, facts } = error as AttuneError;
  const advice = `${file.path}: ${message}; run the same command again to resume`;
  return new AttuneError('hub-failed', advice, facts, { cause: error });
}

function asDiskFull(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new AttuneError('disk-full', `the disk is full: ${path}`, { path }, { cause: error });
}
