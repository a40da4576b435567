// Fetches one file of the hub in ranges into a plain file: resumed where it broke, hashed, renamed.
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, promises as fs } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Clock, sleep } from '../../base/clock.ts';
import { AttuneError, isAttuneError } from '../../base/errors.ts';
import type { Hub, HubFile } from './hugging-face.ts';

export interface DownloadOptions {
  readonly hub: Hub;
  readonly repository: string;
  readonly commit: string;
  /** The folder that the files are for. */
  readonly folder: string;
  readonly clock: Clock;
  /** Attempts that bring nothing new before it gives up. */
  readonly attemptsMax: number;
  readonly rangeBytes: number;
  /** Bytes that are there of this file. */
  readonly onProgress: (bytes: number) => void;
}

const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 8000;

/** Where the pieces of a file are kept until it is whole. */
const partOf = (folder: string, { path }: HubFile): string => join(folder, `${path}.part`);

/**
 * Leaves the file whole and proved, or its part for the next time.
 * @returns whether anything had to be fetched
 * @throws download-damaged, hub-failed, hub-refused, hub-not-found, disk-full
 */
export async function download(file: HubFile, options: DownloadOptions): Promise<boolean> {
  const target = join(options.folder, file.path);
  if (await isWhole(target, file)) {
    options.onProgress(file.size);
    return false;
  }
  await fs.mkdir(dirname(target), { recursive: true });
  const part = partOf(options.folder, file);
  const isResumed = await fetchMissing(part, file, options);
  if (!(await isWhole(part, file))) {
    await fs.rm(part, { force: true });
    // The older bytes may be of another commit: once more, from the start.
    if (isResumed) return download(file, options);
    const message =
      `${file.path} does not hash to what the hub says (${file.hash.hex}); ` +
      'its pieces were deleted, try again';
    throw new AttuneError('download-damaged', message, { path: file.path, hash: file.hash.hex });
  }
  await fs.rename(part, target);
  return true;
}

/**
 * Appends to the part until it has its size; what brings no byte is tried again, later and later.
 * @returns whether bytes of an earlier pull were there
 */
async function fetchMissing(
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
      options.onProgress(have);
      if (have === file.size) {
        await handle.sync();
        return isResumed;
      }
      try {
        await fetchRange(handle, have, file, options);
      } catch (error) {
        const isNew = (await startOf(handle, file)) > have;
        attempt = isNew ? 0 : attempt + 1;
        if (!isPassing(error) || attempt >= options.attemptsMax) throw withAdvice(error, file);
        await sleep(options.clock, Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** attempt));
      }
    }
  } catch (error) {
    throw asDiskFull(error, part);
  } finally {
    await handle.close();
  }
}

/** Bytes that are there; more than there can be are from another time and are dropped. */
async function startOf(handle: fs.FileHandle, file: HubFile): Promise<number> {
  const { size } = await handle.stat();
  if (size <= file.size) return size;
  await handle.truncate(0);
  return 0;
}

async function fetchRange(
  handle: fs.FileHandle,
  have: number,
  file: HubFile,
  { hub, repository, commit, rangeBytes, onProgress }: DownloadOptions,
): Promise<void> {
  const end = Math.min(have + rangeBytes, file.size);
  const range = await hub.range({ repository, commit, path: file.path }, [have, end]);
  if (!Number.isNaN(range.total) && range.total !== file.size) {
    throw lying(file, `it has ${range.total} bytes, and the list says ${file.size}`);
  }
  if (range.start !== have && range.start !== 0) {
    throw lying(file, `asked for bytes from ${have} on, the hub sent them from ${range.start} on`);
  }
  if (range.start === 0 && have > 0) await handle.truncate(0);
  let at = range.start;
  const limit = range.start === have && have > 0 ? end : file.size;
  for await (const piece of range.body) {
    if (at + piece.length > limit) throw lying(file, 'the hub sends more than it was asked for');
    await handle.appendFile(piece);
    at += piece.length;
    onProgress(at);
  }
  if (at === have) throw new AttuneError('hub-failed', `${file.path}: the hub sent nothing`);
}

/** Whether a file is there and hashes to what it must. */
async function isWhole(path: string, { size, hash }: HubFile): Promise<boolean> {
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

/** Connections break and servers are busy; what is refused or a lie stays so. */
function isPassing(error: unknown): boolean {
  if (!isAttuneError(error, 'hub-failed')) return false;
  const { status, isLasting } = error.facts;
  return isLasting !== true && (typeof status !== 'number' || status >= 500 || status === 429);
}

function lying(file: HubFile, why: string): AttuneError {
  return new AttuneError('download-damaged', `${file.path}: ${why}`, { path: file.path });
}

function withAdvice(error: unknown, file: HubFile): unknown {
  if (!isPassing(error)) return error;
  const { message, facts } = error as AttuneError;
  const advice = `${file.path}: ${message}; what came is kept, the same command goes on from there`;
  return new AttuneError('hub-failed', advice, facts, { cause: error });
}

function asDiskFull(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new AttuneError('disk-full', `the disk is full: ${path}`, { path }, { cause: error });
}
