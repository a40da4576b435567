// The few file operations on which durability rests, as an interface that a test can record.
import { constants, promises as fs } from 'node:fs';
import { AttuneError } from './errors.ts';

export interface OpenFile {
  /** Writes all bytes at the end of what was written (append mode: at the end of the file). */
  write(bytes: Uint8Array): Promise<void>;
  /** The bytes survive a power cut once this resolves. */
  sync(): Promise<void>;
  truncate(size: number): Promise<void>;
  size(): Promise<number>;
  /** Reads up to `length` bytes at `position`; fewer only at the end. */
  read(position: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** `read`: must exist. `append`: made when missing. `create`: must not exist. */
export type OpenMode = 'read' | 'append' | 'create';

export interface FileOps {
  open(path: string, mode: OpenMode): Promise<OpenFile>;
  rename(from: string, to: string): Promise<void>;
  /** No error when it is not there. */
  remove(path: string): Promise<void>;
  /** Makes new and renamed entries of a folder survive a power cut. */
  syncFolder(path: string): Promise<void>;
}

/** Only the owner reads what a person said. */
const FILE_MODE = 0o600;

const FLAGS: Record<OpenMode, number> = {
  read: constants.O_RDONLY,
  append: constants.O_RDWR | constants.O_CREAT | constants.O_APPEND,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
};

/** The errno code of a system error, or undefined. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** Turns a system error into a coded one; ENOENT and EEXIST stay as they are, callers ask for them. */
function coded(error: unknown, path: string): unknown {
  const code = systemCode(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new AttuneError(
      'disk-full',
      `The disk is full: ${path} could not be written. Free some space.`,
      { path },
      { cause: error },
    );
  }
  if (code === undefined || code === 'ENOENT' || code === 'EEXIST') return error;
  return new AttuneError(
    'store-failed',
    `${path}: the system said ${code}. Check the disk and the rights of the folder.`,
    { path, systemCode: code },
    { cause: error },
  );
}

async function guarded<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw coded(error, path);
  }
}

function wrap(handle: fs.FileHandle, path: string): OpenFile {
  return {
    write: (bytes) =>
      guarded(path, async () => {
        let offset = 0;
        while (offset < bytes.length) {
          const { bytesWritten } = await handle.write(bytes, offset, bytes.length - offset, null);
          offset += bytesWritten;
        }
      }),
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

export const systemFileOps: FileOps = {
  open: (path, mode) =>
    guarded(path, async () => wrap(await fs.open(path, FLAGS[mode], FILE_MODE), path)),
  rename: (from, to) => guarded(to, () => fs.rename(from, to)),
  remove: (path) => guarded(path, () => fs.rm(path, { force: true })),
  syncFolder: (path) =>
    guarded(path, async () => {
      const handle = await fs.open(path, constants.O_RDONLY);
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    }),
};
