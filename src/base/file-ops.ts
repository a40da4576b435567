// The operations on files and folders on which the store rests, as an interface that a test can
// simulate; what Windows and macOS do otherwise is here and nowhere else.
import { constants, promises as nodeFiles, type Stats } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { AttuneError } from './errors.ts';

export interface OpenFile {
  /** Writes all bytes at the end of what was written (append mode: at the end of the file). */
  write(bytes: Uint8Array): Promise<void>;
  /** The bytes survive a power cut once this resolves. Not for files opened to `read`. */
  sync(): Promise<void>;
  truncate(size: number): Promise<void>;
  size(): Promise<number>;
  /** Reads up to `length` bytes at `position`; fewer only at the end. */
  read(position: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** `read`: must exist. `append`: made when missing. `create`: must not exist. */
export type OpenMode = 'read' | 'append' | 'create';

export interface FolderEntry {
  readonly name: string;
  readonly isFile: boolean;
  readonly isFolder: boolean;
}

export interface FileStat {
  readonly isFile: boolean;
  readonly isFolder: boolean;
  readonly bytes: number;
  /** Ms since 1970, by the clock of the file system. */
  readonly createdAt: number;
  readonly modifiedAt: number;
}

/** Errors are coded (`disk-full`, `store-failed`), but for ENOENT and EEXIST, which stay as they are. */
export interface FileOps {
  open(path: string, mode: OpenMode): Promise<OpenFile>;
  /** Of a file or a folder; a file that is there is replaced. */
  rename(from: string, to: string): Promise<void>;
  /** Of a file. No error when it is not there. */
  remove(path: string): Promise<void>;
  /** Of a folder and everything below it. No error when it is not there. */
  removeTree(path: string): Promise<void>;
  /** And those above it; only the owner may enter. No error when it is there. */
  makeFolder(path: string): Promise<void>;
  /** Sorted by name. */
  list(path: string): Promise<FolderEntry[]>;
  /** Undefined when there is nothing. Follows links. */
  stat(path: string): Promise<FileStat | undefined>;
  /** Sets the time of the last change to now. */
  touch(path: string): Promise<void>;
  /** The path without a link in it. */
  realPath(path: string): Promise<string>;
  /** Makes new and renamed entries of a folder survive a power cut. */
  syncFolder(path: string): Promise<void>;
}

/** A folder on a disk: where it is, and the operations of that disk. */
export interface Folder {
  readonly path: string;
  readonly ops: FileOps;
}

/** Only the owner reads what a person said. */
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

const FLAGS: Record<OpenMode, number> = {
  // A pipe would keep its reader waiting for a writer. Windows has no such flag.
  read: constants.O_RDONLY | (constants.O_NONBLOCK ?? 0),
  append: constants.O_RDWR | constants.O_CREAT | constants.O_APPEND,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
};

/** The errno code of a system error, or undefined. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** Turns a system error into a coded one; ENOENT and EEXIST stay as they are, callers ask for them. */
function coded(error: unknown, path: string, isMaking = false): unknown {
  const code = systemCode(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const message = `The disk is full: ${path} could not be written. Free some space.`;
    return new AttuneError('disk-full', message, { path }, { cause: error });
  }
  // What is to be made is missed only with its folder.
  const isAskedFor = code === 'EEXIST' || (code === 'ENOENT' && !isMaking);
  if (code === undefined || isAskedFor) return error;
  const message = `${path} failed with ${code}. Check the disk and the folder's permissions.`;
  return new AttuneError('store-failed', message, { path, systemCode: code }, { cause: error });
}

async function guarded<T>(path: string, action: () => Promise<T>, isMaking = false): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw coded(error, path, isMaking);
  }
}

/** What `createFileOps` builds on; a test hands in a platform and its errors. */
export interface SystemParts {
  readonly platform?: NodeJS.Platform;
  readonly files?: Pick<
    typeof nodeFiles,
    'mkdir' | 'open' | 'readdir' | 'realpath' | 'rename' | 'rm' | 'stat' | 'truncate' | 'utimes'
  >;
  readonly wait?: (ms: number) => Promise<unknown>;
}

/**
 * Windows opens no folder, or opens it without the right to flush it. NTFS keeps the changes of
 * folders in a journal of its own, in order, so there is nothing to be done.
 */
const FOLDER_SYNC_REFUSED = ['EISDIR', 'EPERM', 'EACCES', 'EINVAL'];
/** On Windows a virus scanner or an indexer that has the file open refuses this for a moment. */
const IN_USE = ['EPERM', 'EACCES', 'EBUSY'];
/** Doubled from one try to the next: 1.3 s in all. */
const RETRY_MS = 10;
const RETRIES_MAX = 7;

/** The disk of this machine. */
export function createFileOps({
  platform = process.platform,
  files = nodeFiles,
  wait = delay,
}: SystemParts = {}): FileOps {
  const isWindows = platform === 'win32';

  async function whileInUse(action: () => Promise<void>): Promise<void> {
    for (let retry = 0; ; retry++) {
      try {
        return await action();
      } catch (error) {
        const isWorthIt = isWindows && IN_USE.includes(systemCode(error) ?? '');
        if (!isWorthIt || retry === RETRIES_MAX) throw error;
        await wait(RETRY_MS * 2 ** retry);
      }
    }
  }

  async function syncFolder(path: string): Promise<void> {
    const handle = await files.open(path, constants.O_RDONLY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  return {
    async open(path, mode) {
      const opening = () => files.open(path, FLAGS[mode], FILE_MODE);
      const file = wrap(await guarded(path, opening, mode !== 'read'), path);
      // On Windows a handle that appends may not truncate (nodejs/node#3177).
      const truncate = (size: number): Promise<void> =>
        guarded(path, () => files.truncate(path, size));
      return isWindows ? { ...file, truncate } : file;
    },
    rename: (from, to) => guarded(to, () => whileInUse(() => files.rename(from, to))),
    remove: (path) => guarded(path, () => whileInUse(() => files.rm(path, { force: true }))),
    removeTree: (path) =>
      guarded(path, () => whileInUse(() => files.rm(path, { recursive: true, force: true }))),
    makeFolder: (path) =>
      guarded(path, async () => {
        await files.mkdir(path, { recursive: true, mode: FOLDER_MODE }).catch((cause: unknown) => {
          if (!['EEXIST', 'ENOENT'].includes(systemCode(cause) ?? '')) throw cause;
          const message = `${path} is not a folder, and has to be one. Move it out of the way.`;
          throw new AttuneError('store-failed', message, { path }, { cause });
        });
      }),
    list: (path) =>
      guarded(path, async () =>
        (await files.readdir(path, { withFileTypes: true }))
          .map((one) => ({ name: one.name, isFile: one.isFile(), isFolder: one.isDirectory() }))
          .sort((a, b) => (a.name < b.name ? -1 : 1)),
      ),
    stat: (path) => guarded(path, () => statOf(files.stat(path))),
    touch: (path) =>
      guarded(path, () => {
        const now = new Date();
        return files.utimes(path, now, now);
      }),
    realPath: (path) => guarded(path, () => files.realpath(path)),
    syncFolder: (path) =>
      guarded(path, () =>
        syncFolder(path).catch((error: unknown) => {
          const isRefused = isWindows && FOLDER_SYNC_REFUSED.includes(systemCode(error) ?? '');
          if (!isRefused) throw error;
        }),
      ),
  };
}

export const systemFileOps: FileOps = createFileOps();

async function statOf(stats: Promise<Stats>): Promise<FileStat | undefined> {
  try {
    const found = await stats;
    return {
      isFile: found.isFile(),
      isFolder: found.isDirectory(),
      bytes: found.size,
      createdAt: found.birthtimeMs,
      modifiedAt: found.mtimeMs,
    };
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') return undefined;
    // A link that leads to itself is there, and is no file.
    if (code === 'ELOOP') {
      return { isFile: false, isFolder: false, bytes: 0, createdAt: 0, modifiedAt: 0 };
    }
    throw error;
  }
}

function wrap(handle: nodeFiles.FileHandle, path: string): OpenFile {
  return {
    write: (bytes) =>
      guarded(path, async () => {
        let offset = 0;
        while (offset < bytes.length) {
          const { bytesWritten } = await handle.write(bytes, offset, bytes.length - offset, null);
          offset += bytesWritten;
        }
      }),
    // On macOS Node asks for F_FULLFSYNC here (libuv, uv__fs_fsync): a bare fsync would leave the
    // bytes in the cache of the drive.
    sync: () => guarded(path, () => handle.sync()),
    truncate: (size) => guarded(path, () => handle.truncate(size)),
    size: () => guarded(path, async () => (await handle.stat()).size),
    read: (position, length) =>
      guarded(path, async () => {
        const bytes = Buffer.alloc(length);
        let filled = 0;
        while (filled < length) {
          const { bytesRead } = await handle.read(
            bytes,
            filled,
            length - filled,
            position + filled,
          );
          if (bytesRead === 0) break;
          filled += bytesRead;
        }
        return bytes.subarray(0, filled);
      }),
    close: () => handle.close(),
  };
}
