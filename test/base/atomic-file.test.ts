import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  readFileBounded,
  readJsonBounded,
  readTextBounded,
  sweepTemporary,
  writeFileAtomic,
} from '../../src/base/atomic-file.ts';
import { systemFileOps } from '../../src/base/file-ops.ts';
import { MemoryDisk } from '../fakes/memory-disk.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-atomic-'));
});

describe('writing', () => {
  it('replaces the content and leaves no other file behind', async () => {
    const path = join(folder, 'state');
    await writeFileAtomic(path, 'one');
    await writeFileAtomic(path, Buffer.from('two'));
    expect(await readFile(path, 'utf8')).toBe('two');
    expect(await readdir(folder)).toEqual(['state']);
  });

  it('lets only the owner read, whatever the file was before', async () => {
    const path = join(folder, 'state');
    await writeFile(path, 'old');
    await chmod(path, 0o644);
    await writeFileAtomic(path, 'new');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await systemFileOps.makeFolder(join(folder, 'a/b'));
    expect((await stat(join(folder, 'a/b'))).mode & 0o777).toBe(0o700);
  });

  it('syncs the bytes before the name, and the name before it resolves', async () => {
    const disk = new MemoryDisk();
    await writeFileAtomic('/s/state', 'x', disk);
    expect(disk.steps.map(({ kind }) => kind)).toEqual([
      'link',
      'write',
      'sync',
      'link',
      'unlink',
      'sync-folder',
    ]);
  });

  it('rejects into a folder that is not there, or over a folder, and leaves nothing', async () => {
    await expect(writeFileAtomic(join(folder, 'none', 'state'), 'x')).rejects.toThrow('ENOENT');
    await mkdir(join(folder, 'taken', 'inner'), { recursive: true });
    await expect(writeFileAtomic(join(folder, 'taken'), 'x')).rejects.toMatchObject({
      code: 'store-failed',
    });
    expect(await readdir(folder)).toEqual(['taken']);
  });
});

describe('what a crash left half-written', () => {
  it('is swept at every depth, but for the folders of others; nothing else is touched', async () => {
    const left = '.state.json.0123456789ab.tmp';
    const kept = ['state.json', '.tmp', '.hidden', 'a.0123456789ab.tmp'];
    for (const place of ['', 'nights', 'nights/one', 'cache']) {
      await systemFileOps.makeFolder(join(folder, place));
      for (const name of [left, ...kept]) await writeFile(join(folder, place, name), 'words');
    }
    await sweepTemporary(folder, { except: ['cache'] });
    for (const place of ['nights', 'nights/one']) {
      const found = await readdir(join(folder, place));
      expect(found.filter((name) => name !== 'one').sort()).toEqual([...kept].sort());
    }
    expect(await readdir(folder)).not.toContain(left);
    expect(await readdir(join(folder, 'cache'))).toContain(left);
  });
});

describe('reading', () => {
  it('gives undefined for what is not there', async () => {
    expect(await readFileBounded(join(folder, 'none'))).toBeUndefined();
    expect(await readJsonBounded(join(folder, 'none'), z.unknown())).toBeUndefined();
  });

  it('refuses a file beyond the limit before reading it', async () => {
    const path = join(folder, 'large');
    await writeFile(path, Buffer.alloc(11));
    await expect(readFileBounded(path, { bytesMax: 10 })).rejects.toMatchObject({
      code: 'file-too-large',
      facts: { bytes: 11 },
    });
    expect(await readFileBounded(path, { bytesMax: 11 })).toHaveLength(11);
  });

  it('refuses text that is not UTF-8', async () => {
    const path = join(folder, 'bytes');
    await writeFile(path, Uint8Array.of(0xc3, 0x28));
    await expect(readTextBounded(path)).rejects.toMatchObject({ code: 'store-damaged' });
  });

  it('names the place that does not fit the schema', async () => {
    const path = join(folder, 'state.json');
    await writeFile(path, '{"list":[{"n":"x"}]}');
    const schema = z.object({ list: z.array(z.object({ n: z.number() })) });
    await expect(readJsonBounded(path, schema)).rejects.toMatchObject({
      code: 'store-damaged',
      facts: { place: 'list.0.n' },
    });
  });

  it('refuses a folder and follows a symlink', async () => {
    await expect(readFileBounded(folder)).rejects.toMatchObject({ code: 'store-failed' });
    await writeFile(join(folder, 'real'), 'x');
    await symlink(join(folder, 'real'), join(folder, 'link'));
    expect(await readTextBounded(join(folder, 'link'))).toBe('x');
  });
});
