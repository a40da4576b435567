import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { writeJsonAtomic } from '../../src/base/atomic-file.ts';
import { openLedgers } from '../../src/ledger/ledgers.ts';
import { verifyLedgers } from '../../src/ledger/verify.ts';
import { NIGHT_FILES } from '../../src/record/files.ts';
import { afterCrash, MemoryDisk, SURVIVALS } from '../fakes/memory-disk.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const EARLIER = join(import.meta.dirname, '../fixtures/store/2026-11-22/ledger');
const LEDGER = '/store/ledger';
/** Of the fixture. */
const BASE = '5528df12f2dcc5698c94182ac6278da547b57c5024e7551f8058388b311055eb';
const OTHER = 'c'.repeat(64);
const NIGHTS = ['n0001-2026-11-20', 'n0002-2026-11-21'];

const open = (ops: MemoryDisk, base: string | Promise<string> = OTHER) =>
  openLedgers(LEDGER, { base, files: NIGHT_FILES, ops });

/** The single ledger of the release before, with what else may stand there. */
let single: Record<string, Uint8Array | string>;
beforeAll(async () => {
  const found = await readdir(EARLIER, { recursive: true, withFileTypes: true });
  const paths = found.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
  const files = paths.map(async (path) => [path.replace(EARLIER, LEDGER), await readFile(path)]);
  single = {
    ...Object.fromEntries(await Promise.all(files)),
    [`${LEDGER}/blind.jsonl`]: '',
    [`${LEDGER}/blind.jsonl.damaged`]: '?',
    [`${LEDGER}/reviews/${NIGHTS[1]}.json`]: '{ "schema": 1, "changes": [] }',
    [`${LEDGER}/building/n0003-2026-11-22/plan.json`]: JSON.stringify({ base: BASE }),
  };
});

/** Files of the fixture under the paths that they have after the upgrade. */
const moved = (names: Iterable<string>): string[] =>
  [...names].map((name) => name.replace(LEDGER, `${LEDGER}/${BASE}`)).sort();

const without = (...parts: string[]): typeof single =>
  Object.fromEntries(
    Object.entries(single).filter(([name]) => !parts.some((part) => name.includes(part))),
  );

describe('the single ledger of an earlier release', () => {
  it('becomes that of its base model, whichever speaks', async () => {
    const ops = new MemoryDisk(single);
    const { all, speaking, upgraded } = await open(ops);
    expect(upgraded).toBe('the single ledger became that of its base model 5528df12f2dc');
    expect([...ops.names.keys()].sort()).toEqual(moved(Object.keys(single)));
    expect(all.map(({ base }) => base)).toEqual([BASE, OTHER]);
    expect(await speaking.list()).toEqual([]);
    const earlier = all[0];
    expect((await earlier?.list())?.map(({ night }) => night)).toEqual(NIGHTS);
    expect(earlier?.head().inForce).toEqual([NIGHTS[0]]);
    expect(await earlier?.unfinished()).toEqual(['n0003-2026-11-22']);
    expect(await verifyLedgers(all)).toMatchObject({ isSound: true });
    expect((await open(ops)).upgraded).toBeUndefined();
  });

  it('is known before the base model that speaks, which may fail to load', async () => {
    const ops = new MemoryDisk(single);
    await expect(open(ops, Promise.reject(new Error('no model')))).rejects.toThrow('no model');
    expect(moved(Object.keys(single))).toEqual([...ops.names.keys()].sort());
  });

  it.each([
    ['its nights where there is no pointer', ['head.json']],
    ['its pointer where there are no nights', ['nights/', 'building/']],
    ['a night under way where there is nothing else', ['head.json', 'nights/']],
  ])('is known by %s', async (_, missing) => {
    const left = without(...missing);
    const ops = new MemoryDisk(left);
    await open(ops);
    expect([...ops.names.keys()].sort()).toEqual(moved(Object.keys(left)));
  });

  it('goes to the base model that speaks when nothing in it names one', async () => {
    const ops = new MemoryDisk({ [`${LEDGER}/blind.jsonl`]: '' });
    await ops.makeFolder(`${LEDGER}/nights`);
    const { all } = await open(ops);
    expect(all.map(({ base }) => base)).toEqual([OTHER]);
    expect([...ops.names.keys()]).toEqual([`${LEDGER}/${OTHER}/blind.jsonl`]);
  });

  it('is whole after a kill between any two steps and another start, with or without a pointer', async () => {
    for (const content of [single, without('head.json')]) {
      const trial = new MemoryDisk(content);
      await open(trial);
      for (let cut = 0; cut < trial.steps.length; cut++) {
        const ops = new MemoryDisk(content);
        ops.beforeStep = () => {
          if (ops.steps.length === cut) throw new Error('killed');
        };
        await expect(open(ops)).rejects.toThrow('killed');
        ops.beforeStep = () => undefined;
        await open(ops);
        expect([...ops.names.keys()].sort()).toEqual(moved(Object.keys(content)));
      }
      expect(trial.steps.length).toBeGreaterThan(12);
    }
  });

  it('is whole after a power cut at any step and another start', async () => {
    const ops = new MemoryDisk();
    for (const [path, bytes] of Object.entries(single)) {
      const file = await ops.open(path, 'create');
      await file.write(Buffer.from(bytes));
      await file.sync();
    }
    await ops.syncFolder(LEDGER);
    const written = ops.steps.length;
    await open(ops);
    for (let count = written; count <= ops.steps.length; count++) {
      for (const survival of SURVIVALS) {
        const { disk } = afterCrash(ops.steps, count, survival);
        await open(disk);
        expect([...disk.names.keys()].sort()).toEqual(moved(Object.keys(single)));
      }
    }
  });

  it('is not moved over another', async () => {
    const ops = new MemoryDisk({ ...single, [`${LEDGER}/${BASE}/nights/n/x`]: '' });
    await expect(open(ops)).rejects.toMatchObject({ code: 'store-damaged' });
    const before = [...Object.keys(single), `${LEDGER}/${BASE}/nights/n/x`].sort();
    expect([...ops.names.keys()].sort()).toEqual(before);
  });
});

describe('the ledgers of a store', () => {
  it('find each its own nights, also where two have a night of the same name', async () => {
    const ops = new MemoryDisk(single);
    const { speaking } = await open(ops);
    const { path } = speaking.folderOf('n0003-2026-11-22');
    await writeJsonAtomic(`${path}/manifest.json`, {}, ops);
    const again = await open(ops, BASE);
    expect((await again.speaking.list()).map(({ night }) => night)).toEqual(NIGHTS);
    expect(await again.baseOf(NIGHTS[0] ?? '')).toBe(BASE);
    expect(await again.baseOf('n0003-2026-11-22')).toBe(OTHER);
    expect(await again.baseOf('../../flags.json')).toBe(BASE);
  });

  it('pass over what is no base model’s folder', async () => {
    const ops = new MemoryDisk({ [`${LEDGER}/.DS_Store`]: '', [`${LEDGER}/old/head.json`]: '' });
    expect((await open(ops)).all.map(({ base }) => base)).toEqual([OTHER]);
  });
});
