import { describe, expect, it } from 'vitest';
import { openAppendFile } from '../../src/base/append-file.ts';
import { AttuneError } from '../../src/base/errors.ts';
import { afterCrash, MemoryDisk, SURVIVALS } from '../fakes/memory-disk.ts';

const PATH = '/store/log.jsonl';

async function reopen(disk: MemoryDisk, options: { lineBytesMax?: number } = {}) {
  const records: { record: unknown; offset: number }[] = [];
  const file = await openAppendFile(PATH, {
    ops: disk,
    onRecord: (record, offset) => records.push({ record, offset }),
    ...options,
  });
  return { file, records, values: records.map(({ record }) => (record as { n: number }).n) };
}

function diskWith(content: string | Uint8Array): MemoryDisk {
  return new MemoryDisk({ [PATH]: content });
}

describe('appending', () => {
  it('keeps the order of calls and shares one fsync among those that wait together', async () => {
    const disk = new MemoryDisk();
    const { file } = await reopen(disk);
    const before = disk.steps.filter((step) => step.kind === 'sync').length;
    const offsets = await Promise.all([1, 2, 3, 4].map((n) => file.append({ n })));
    const syncs = disk.steps.filter((step) => step.kind === 'sync').length - before;
    expect(syncs).toBe(1);
    expect(offsets).toEqual([0, 8, 16, 24]);
    await file.close();
    const again = await reopen(disk);
    expect(again.values).toEqual([1, 2, 3, 4]);
    expect(again.records.map(({ offset }) => offset)).toEqual(offsets);
  });

  it('resolves only after the fsync', async () => {
    const disk = new MemoryDisk();
    const { file } = await reopen(disk);
    let isSynced = false;
    disk.beforeStep = (step) => {
      if (step.kind === 'sync') isSynced = true;
    };
    await file.append({ n: 1 });
    expect(isSynced).toBe(true);
  });

  it('writes what waits before it closes, and refuses to go on after', async () => {
    const disk = new MemoryDisk();
    const { file } = await reopen(disk);
    const pending = file.append({ n: 1 });
    await file.close();
    await pending;
    expect((await reopen(disk)).values).toEqual([1]);
    expect(() => file.append({ n: 2 })).toThrow('append after close');
  });

  it('leaves nothing of a record that met a full disk, and takes the next one', async () => {
    const disk = new MemoryDisk();
    const { file } = await reopen(disk);
    await file.append({ n: 1 });
    const store = disk.inodes[0] as { bytes: Buffer };
    disk.beforeStep = (step) => {
      if (step.kind !== 'write') return;
      store.bytes = Buffer.concat([store.bytes, Buffer.from('{"n":')]);
      throw new AttuneError('disk-full', 'full');
    };
    await expect(file.append({ n: 2 })).rejects.toMatchObject({ code: 'disk-full' });
    disk.beforeStep = () => undefined;
    await file.append({ n: 3 });
    expect(disk.text(PATH)).toBe('{"n":1}\n{"n":3}\n');
  });

  it('acknowledges nothing more after an fsync that failed', async () => {
    const disk = new MemoryDisk();
    const { file } = await reopen(disk);
    disk.beforeStep = (step) => {
      if (step.kind === 'sync') throw new AttuneError('store-failed', 'EIO');
    };
    await expect(file.append({ n: 1 })).rejects.toMatchObject({ code: 'store-failed' });
    disk.beforeStep = () => undefined;
    await expect(file.append({ n: 2 })).rejects.toMatchObject({ code: 'store-failed' });
  });

  it('refuses a record longer than the limit', async () => {
    const { file } = await reopen(new MemoryDisk(), { lineBytesMax: 10 });
    await expect(file.append({ n: 123456 })).rejects.toMatchObject({ code: 'file-too-large' });
    await file.append({ n: 1 });
  });

  it('refuses when too much waits for the disk', async () => {
    const file = await openAppendFile(PATH, { ops: new MemoryDisk(), waitingBytesMax: 20 });
    const first = file.append({ n: 1 });
    const second = file.append({ n: 2 });
    await expect(file.append({ n: 3 })).rejects.toMatchObject({ code: 'store-busy' });
    await Promise.all([first, second]);
    await file.append({ n: 4 });
  });
});

describe('opening', () => {
  it('cuts a torn last line off, reports it and keeps a copy', async () => {
    const disk = diskWith('{"n":1}\n{"n":2,"tex');
    const { file, values } = await reopen(disk);
    expect(values).toEqual([1]);
    expect(file.report.damaged).toEqual([{ offset: 8, bytes: 11, reason: 'torn' }]);
    expect(disk.text(PATH)).toBe('{"n":1}\n');
    const copy = JSON.parse(disk.text(`${PATH}.damaged`)?.trim() ?? '');
    expect(Buffer.from(copy.base64, 'base64').toString()).toBe('{"n":2,"tex');
    await file.append({ n: 3 });
    expect((await reopen(disk)).values).toEqual([1, 3]);
  });

  it('completes a last line that lacks only its newline', async () => {
    const disk = diskWith('{"n":1}\n{"n":2}');
    const { file, values } = await reopen(disk);
    expect(values).toEqual([1, 2]);
    expect(file.report).toMatchObject({ isLastLineCompleted: true, damaged: [], bytes: 16 });
    expect(await file.append({ n: 3 })).toBe(16);
    expect((await reopen(disk)).values).toEqual([1, 2, 3]);
  });

  it.each([
    ['not JSON', '{"n":'],
    ['zeros that a power cut left', '\0\0\0\0'],
    ['JSON that is no object', '17'],
    ['bytes that are not UTF-8', Uint8Array.of(0x22, 0xff, 0x22)],
  ])('skips a damaged line in the middle: %s', async (_name, line) => {
    const parts = [Buffer.from('{"n":1}\n'), Buffer.from(line), Buffer.from('\n{"n":2}\n')];
    const disk = diskWith(Buffer.concat(parts));
    const before = disk.text(PATH);
    const { file, values } = await reopen(disk);
    expect(values).toEqual([1, 2]);
    expect(file.report.damaged).toMatchObject([{ offset: 8, reason: 'not-json' }]);
    expect(disk.text(PATH)).toBe(before);
    await reopen(disk);
    expect(disk.text(`${PATH}.damaged`)?.trim().split('\n')).toHaveLength(1);
  });

  it('sets lines aside that the caller finds unsound, and lines that are too long', async () => {
    const disk = diskWith(`{"n":1}\n{"m":2}\n{"n":"${'x'.repeat(3000)}"}\n{"n":4}\n`);
    const found: unknown[] = [];
    const file = await openAppendFile(PATH, {
      ops: disk,
      lineBytesMax: 1000,
      isSound: (record) => Object.hasOwn(record as object, 'n'),
      onRecord: (record) => found.push(record),
    });
    expect(found).toEqual([{ n: 1 }, { n: 4 }]);
    expect(file.report.damaged.map(({ reason }) => reason)).toEqual(['unsound', 'too-long']);
  });

  it('reads lines that cross the pieces in which a file is read', async () => {
    const long = 'ä'.repeat(700_000);
    const lines = [0, 1, 2, 3].map((n) => JSON.stringify({ n, long }));
    const { values, file } = await reopen(diskWith(`${lines.join('\n')}\n`));
    expect(values).toEqual([0, 1, 2, 3]);
    expect(file.report.damaged).toEqual([]);
  });

  it('takes an empty file, and blank lines, for what they are', async () => {
    expect((await reopen(diskWith(''))).values).toEqual([]);
    const { values, file } = await reopen(diskWith('\n\n{"n":1}\n\n'));
    expect(values).toEqual([1]);
    expect(file.report.damaged).toEqual([]);
  });

  it('fails with the first error when the torn end cannot be copied, and cuts nothing', async () => {
    const disk = diskWith('{"n":1}\n{"n":2,"tex');
    disk.beforeStep = () => {
      throw new AttuneError('disk-full', 'full');
    };
    await expect(reopen(disk)).rejects.toMatchObject({ code: 'disk-full' });
    expect(disk.text(PATH)).toBe('{"n":1}\n{"n":2,"tex');
  });
});

describe('a power cut', () => {
  it('at any step loses no acknowledged record and doubles none', async () => {
    const disk = new MemoryDisk();
    const { file } = await reopen(disk);
    const say = (n: number) =>
      file.append({ n, text: 'x'.repeat(n * 7) }).then(() => {
        disk.record({ kind: 'promise', what: `${n}` });
      });
    await Promise.all([1, 2, 3].map(say));
    await say(4);
    await Promise.all([5, 6].map(say));
    let crashes = 0;
    for (let count = 0; count <= disk.steps.length; count++) {
      for (const survival of SURVIVALS) {
        const { disk: after, promises } = afterCrash(disk.steps, count, survival);
        const { values } = await reopen(after);
        // In order, without gaps and doubles, and with all that was promised.
        expect(values).toEqual(Array.from(values, (_, index) => index + 1));
        for (const promised of promises) expect(values).toContain(Number(promised));
        crashes += 1;
      }
    }
    expect(crashes).toBeGreaterThan(100);
  });

  it('while the torn end is mended loses neither the sound lines nor the copy', async () => {
    const torn = '{"n":1}\n{"n":2}\n{"n":3,"te';
    const disk = diskWith(torn);
    await reopen(disk);
    for (let count = 0; count <= disk.steps.length; count++) {
      // The log was there before, whole: replay the steps upon it.
      const steps = [
        { kind: 'link', path: PATH, file: 0 },
        { kind: 'write', file: 0, bytes: Buffer.from(torn) },
        { kind: 'sync', file: 0 },
        { kind: 'sync-folder', path: '/store' },
      ] as const;
      for (const survival of SURVIVALS) {
        const { disk: after } = afterCrash([...steps, ...disk.steps], 4 + count, survival);
        expect((await reopen(after)).values).toEqual([1, 2]);
        expect(after.text(`${PATH}.damaged`)).toContain(
          Buffer.from('{"n":3,"te').toString('base64'),
        );
      }
    }
  });
});
