import { constants, promises as files } from 'node:fs';
import { mkdtemp, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { openAppendFile } from '../../src/base/append-file.ts';
import { readTextBounded, writeFileAtomic } from '../../src/base/atomic-file.ts';
import { createFileOps, type SystemParts, systemFileOps } from '../../src/base/file-ops.ts';

type Files = NonNullable<SystemParts['files']>;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-file-ops-'));
});

/** An error as Node on Windows gives it. */
function recorded(code: string, call: string): Error {
  return Object.assign(new Error(`${code}: …, ${call}`), { code, syscall: call });
}

/** Folders are opened for reading only; everything else the store opens can be written. */
const isFolderOpen = (flags: unknown): boolean => flags === constants.O_RDONLY;

/** Opens of a folder fail. */
const refusingOpen = (code: string): Partial<Files> => ({
  async open(path, flags, mode) {
    if (isFolderOpen(flags)) throw recorded(code, 'open');
    return files.open(path, flags, mode);
  },
});

/** Folders open, and a flush of them fails: FlushFileBuffers wants the right to write. */
const refusingSync = (code: string): Partial<Files> => ({
  async open(path, flags, mode) {
    const handle = await files.open(path, flags, mode);
    if (isFolderOpen(flags)) handle.sync = () => Promise.reject(recorded(code, 'fsync'));
    return handle;
  },
});

/** A rename that is refused so often, as long as a scanner has the target open. */
function scanned(code: string, times: number): { parts: SystemParts; waits: number[] } {
  const waits: number[] = [];
  let left = times;
  const rename: Files['rename'] = async (from, to) => {
    if (left-- > 0) throw recorded(code, 'rename');
    await files.rename(from, to);
  };
  const wait = async (ms: number): Promise<void> => void waits.push(ms);
  return { parts: { files: { ...files, rename }, wait }, waits };
}

describe('on Windows', () => {
  const windows = (parts: Partial<Files> = {}) =>
    createFileOps({ platform: 'win32', files: { ...files, ...parts } });

  it.each(['EISDIR', 'EPERM', 'EACCES'])(
    'an atomic write succeeds where opening a folder gives %s',
    async (code) => {
      const path = join(folder, 'state.json');
      await writeFileAtomic(path, 'new', windows(refusingOpen(code)));
      expect(await readFile(path, 'utf8')).toBe('new');
      expect(await readdir(folder)).toEqual(['state.json']);
    },
  );

  it.each(['EPERM', 'EINVAL'])(
    'an atomic write succeeds where flushing a folder gives %s',
    async (code) => {
      const path = join(folder, 'state.json');
      await writeFileAtomic(path, 'new', windows(refusingSync(code)));
      expect(await readFile(path, 'utf8')).toBe('new');
    },
  );

  it('a folder that is not there, or a failing disk, is still an error', async () => {
    await expect(windows().syncFolder(join(folder, 'none'))).rejects.toThrow('ENOENT');
    await expect(windows(refusingSync('EIO')).syncFolder(folder)).rejects.toMatchObject({
      code: 'store-failed',
    });
  });

  it('a file that cannot be flushed is an error, whatever folders do', async () => {
    const open: Files['open'] = async (path, flags, mode) => {
      const handle = await files.open(path, flags, mode);
      handle.sync = () => Promise.reject(recorded('EPERM', 'fsync'));
      return handle;
    };
    const writing = writeFileAtomic(join(folder, 'state'), 'new', windows({ open }));
    await expect(writing).rejects.toMatchObject({ code: 'store-failed' });
    expect(await readdir(folder)).toEqual([]);
  });

  it.each(['EPERM', 'EACCES', 'EBUSY'])(
    'a rename that gives %s while the file is scanned is tried again',
    async (code) => {
      const path = join(folder, 'state');
      await writeFile(path, 'old');
      const { parts, waits } = scanned(code, 3);
      await writeFileAtomic(path, 'new', createFileOps({ ...parts, platform: 'win32' }));
      expect(await readFile(path, 'utf8')).toBe('new');
      expect(waits).toEqual([10, 20, 40]);
    },
  );

  it('a rename that is refused for good fails after a second, and the old file stays', async () => {
    const path = join(folder, 'state');
    await writeFile(path, 'old');
    const { parts, waits } = scanned('EPERM', Number.POSITIVE_INFINITY);
    const writing = writeFileAtomic(path, 'new', createFileOps({ ...parts, platform: 'win32' }));
    await expect(writing).rejects.toMatchObject({ facts: { systemCode: 'EPERM' } });
    expect(waits.reduce((sum, ms) => sum + ms, 0)).toBe(1270);
    expect(await readdir(folder)).toEqual(['state']);
    expect(await readFile(path, 'utf8')).toBe('old');
  });

  it('a torn last line is cut off although a handle that appends may not truncate', async () => {
    const path = join(folder, 'log.jsonl');
    await writeFile(path, '{"n":1}\n{"n":');
    const open: Files['open'] = async (name, flags, mode) => {
      const handle = await files.open(name, flags, mode);
      handle.truncate = () => Promise.reject(recorded('EPERM', 'ftruncate'));
      return handle;
    };
    const log = await openAppendFile(path, { ops: windows({ open }) });
    await log.append({ n: 2 });
    await log.close();
    expect(await readFile(path, 'utf8')).toBe('{"n":1}\n{"n":2}\n');
  });
});

describe('elsewhere', () => {
  it('a folder that cannot be synced is an error', async () => {
    for (const platform of ['linux', 'darwin'] as const) {
      for (const parts of [refusingOpen('EPERM'), refusingSync('EINVAL')]) {
        const ops = createFileOps({ platform, files: { ...files, ...parts } });
        await expect(ops.syncFolder(folder)).rejects.toMatchObject({ code: 'store-failed' });
      }
    }
  });

  it('a refused rename is not tried again', async () => {
    const { parts, waits } = scanned('EACCES', 1);
    const ops = createFileOps({ ...parts, platform: 'linux' });
    await expect(writeFileAtomic(join(folder, 'state'), 'x', ops)).rejects.toMatchObject({
      code: 'store-failed',
    });
    expect(waits).toEqual([]);
  });
});

describe('folders', () => {
  it('are made with those above them, listed in order, and removed whole', async () => {
    await systemFileOps.makeFolder(join(folder, 'b/inner'));
    await systemFileOps.makeFolder(join(folder, 'b/inner'));
    await writeFile(join(folder, 'b/inner/file'), 'x');
    await writeFile(join(folder, 'a'), 'four');
    expect(await systemFileOps.list(folder)).toEqual([
      { name: 'a', isFile: true, isFolder: false },
      { name: 'b', isFile: false, isFolder: true },
    ]);
    await systemFileOps.removeTree(join(folder, 'b'));
    await systemFileOps.removeTree(join(folder, 'b'));
    expect(await readdir(folder)).toEqual(['a']);
  });

  it('and a link that leads to itself are there and are no file', async () => {
    await symlink(join(folder, 'loop'), join(folder, 'loop'));
    expect(await systemFileOps.stat(join(folder, 'loop'))).toMatchObject({
      ...{ isFile: false, isFolder: false },
    });
    await systemFileOps.remove(join(folder, 'loop'));
    expect(await systemFileOps.stat(join(folder, 'loop'))).toBeUndefined();
  });

  it('are refused with a code where something else has their name', async () => {
    await writeFile(join(folder, 'lock'), '');
    await symlink('nowhere', join(folder, 'link'));
    for (const path of ['lock', 'lock/inner', 'link']) {
      await expect(systemFileOps.makeFolder(join(folder, path)), path).rejects.toMatchObject({
        code: 'store-failed',
      });
    }
  });

  it('and files say what they are, and nothing is undefined', async () => {
    await writeFile(join(folder, 'a'), 'four');
    expect(await systemFileOps.stat(join(folder, 'a'))).toMatchObject({ isFile: true, bytes: 4 });
    expect(await systemFileOps.stat(folder)).toMatchObject({ isFile: false, isFolder: true });
    expect(await systemFileOps.stat(join(folder, 'none'))).toBeUndefined();
    await expect(systemFileOps.list(join(folder, 'none'))).rejects.toThrow('ENOENT');
    await expect(systemFileOps.list(join(folder, 'a'))).rejects.toMatchObject({
      code: 'store-failed',
    });
  });

  it('are read by bounded readers as the refusal that they are', async () => {
    await expect(readTextBounded(folder)).rejects.toMatchObject({ code: 'store-failed' });
  });
});
