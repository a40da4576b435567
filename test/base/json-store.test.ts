import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { AttuneError } from '../../src/base/errors.ts';
import { openJsonStore, type Upgrade } from '../../src/base/json-store.ts';
import { afterCrash, MemoryDisk, SURVIVALS } from '../fakes/memory-disk.ts';

const PATH = '/store/flags.json';
const schema = z.strictObject({ items: z.array(z.int()), name: z.string() });
const initial = { items: [], name: 'none' };

function open(disk: MemoryDisk, schemaVersion = 1, upgrades: readonly Upgrade[] = []) {
  return openJsonStore({ path: PATH, schemaVersion, schema, initial, upgrades, ops: disk });
}

const holding = (value: unknown) => new MemoryDisk({ [PATH]: JSON.stringify(value) });

describe('a store', () => {
  it('begins with its initial state and writes nothing for it', async () => {
    const disk = new MemoryDisk();
    expect((await open(disk)).data).toEqual(initial);
    expect(disk.steps).toEqual([]);
  });

  it('keeps what was changed', async () => {
    const disk = new MemoryDisk();
    const store = await open(disk);
    const length = await store.update((draft) => draft.items.push(4));
    expect(length).toBe(1);
    expect((await open(disk)).data).toEqual({ items: [4], name: 'none' });
  });

  it('applies changes one after another', async () => {
    const disk = new MemoryDisk();
    const store = await open(disk);
    await Promise.all([1, 2, 3].map((n) => store.update((draft) => void draft.items.push(n))));
    expect((await open(disk)).data.items).toEqual([1, 2, 3]);
  });

  it('spells and checks anew only what is new, and writes an element a line', async () => {
    const disk = new MemoryDisk();
    let spelled = 0;
    let checked = 0;
    const item = z.looseObject({ id: z.int() }).refine(() => ++checked > 0);
    const withItems = z.object({ items: z.array(item) });
    const store = await openJsonStore({
      ...{ path: PATH, schemaVersion: 1, schema: withItems, ops: disk },
      initial: { items: [] as { id: number }[] },
    });
    const counted = (id: number) => ({
      id,
      toJSON: () => {
        spelled++;
        return { id };
      },
    });
    for (const id of [1, 2, 3, 4]) await store.update(({ items }) => void items.push(counted(id)));
    await store.update((file) => {
      file.items = file.items.filter(({ id }) => id !== 2);
    });
    expect([spelled, checked]).toEqual([4, 4]);
    expect(disk.text(PATH)).toContain('[\n{"id":1},\n{"id":3},\n{"id":4}\n]');
  });

  it('never changes its initial value', async () => {
    const store = await open(new MemoryDisk());
    await store.update((draft) => void draft.items.push(1));
    expect(initial.items).toEqual([]);
  });

  it('stays as it was when a change throws, does not fit, or meets a full disk', async () => {
    const disk = new MemoryDisk();
    const store = await open(disk);
    await store.update((draft) => void draft.items.push(1));
    const before = disk.text(PATH);
    await expect(
      store.update((draft) => {
        draft.items.push(2);
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    await expect(store.update((draft) => void draft.items.push(1.5))).rejects.toThrow('schema');
    disk.beforeStep = () => {
      throw new AttuneError('disk-full', 'full');
    };
    await expect(store.update((draft) => void draft.items.push(3))).rejects.toMatchObject({
      code: 'disk-full',
    });
    disk.beforeStep = () => undefined;
    expect(store.data.items).toEqual([1]);
    expect(disk.text(PATH)).toBe(before);
    await store.update((draft) => void draft.items.push(4));
    expect(store.data.items).toEqual([1, 4]);
  });
});

describe('refusals', () => {
  it.each([
    ['text that is not JSON', '{"schemaVersion":1,'],
    ['no schema version', '{"data":{}}'],
    ['data that does not fit', '{"schemaVersion":1,"data":{"items":["x"],"name":"n"}}'],
    ['an unknown key', '{"schemaVersion":1,"data":{"items":[],"name":"n","more":1}}'],
    ['an empty file', ''],
  ])('sets %s aside, whole, and begins again', async (_name, text) => {
    const disk = new MemoryDisk({ [PATH]: text });
    const store = await open(disk);
    expect([store.data, store.aside]).toEqual([initial, ['flags.json.damaged']]);
    expect(disk.text(`${PATH}.damaged`)).toBe(text);
    await store.update((draft) => void draft.items.push(1));
    expect((await open(disk)).data.items).toEqual([1]);
  });

  it('keeps what was set aside before, and removes all of it when asked to', async () => {
    const disk = new MemoryDisk({ [PATH]: 'one', [`${PATH}.damaged`]: 'another' });
    const store = await open(disk);
    expect(store.aside).toEqual(['flags.json.damaged', 'flags.json.damaged.2']);
    await store.removeCopies();
    expect([...disk.names.keys()]).toEqual([]);
  });

  it('refuses to write what could not be read again', async () => {
    const disk = holding({ schemaVersion: 1, data: initial });
    const store = await open(disk);
    const tooMuch = { name: 'x'.repeat(65 * 2 ** 20) };
    const update = store.update((draft) => Object.assign(draft, tooMuch));
    await expect(update).rejects.toMatchObject({ code: 'file-too-large' });
    expect((await open(disk)).data).toEqual(initial);
  });

  it('refuses the state of a later release', async () => {
    const disk = holding({ schemaVersion: 2, data: initial });
    await expect(open(disk, 1)).rejects.toMatchObject({ code: 'store-newer' });
  });

  it('sets an old state aside that no upgrade leads on from, or that an upgrade fails on', async () => {
    const failing = { from: 1, says: 'it fails', upgrade: () => z.never().parse(1) };
    for (const upgrades of [[], [failing]]) {
      const disk = holding({ schemaVersion: 1, data: initial });
      expect((await open(disk, 2, upgrades)).aside).toEqual(['flags.json.damaged']);
    }
  });
});

it('upgrades step by step, says what it did, and keeps the old file beside', async () => {
  const disk = holding({ schemaVersion: 1, data: { list: [1] } });
  const upgrades: Upgrade[] = [
    {
      from: 1,
      says: 'list became items',
      upgrade: (data) => ({ items: z.object({ list: z.array(z.int()) }).parse(data).list }),
    },
    {
      from: 2,
      says: 'name is new',
      upgrade: (data) => ({ ...(data as object), name: 'filled in' }),
    },
  ];
  const store = await open(disk, 3, upgrades);
  expect(store.data).toEqual({ items: [1], name: 'filled in' });
  expect(store.upgraded).toEqual(['1 → 2: list became items', '2 → 3: name is new']);
  expect(JSON.parse(disk.text(`${PATH}.v1`) ?? '')).toMatchObject({ data: { list: [1] } });
  expect((await open(disk, 3, upgrades)).upgraded).toEqual([]);
});

it('is the old or the new state after a power cut at any step, and the new once promised', async () => {
  const disk = new MemoryDisk();
  const store = await open(disk);
  for (const n of [1, 2]) {
    await store.update((draft) => void draft.items.push(n));
    disk.record({ kind: 'promise', what: `${n}` });
  }
  for (let count = 0; count <= disk.steps.length; count++) {
    for (const survival of SURVIVALS) {
      const { disk: after, promises } = afterCrash(disk.steps, count, survival);
      const { items } = (await open(after)).data;
      expect([[], [1], [1, 2]]).toContainEqual(items);
      expect(items.length).toBeGreaterThanOrEqual(promises.length);
    }
  }
});
