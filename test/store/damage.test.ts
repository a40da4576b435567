// A part of the store that is damaged costs that part: the rest opens, and nights go on or say why
// they do not.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/base/logger.ts';
import type { Manifest } from '../../src/ledger/manifest.ts';
import { NightService } from '../../src/night/service.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { commitNight, converse, type NightStore, openNightStore } from '../night/night-store.ts';

const WAITING = `process.on('message', ({ type }) => {
  const failed = { type: 'failed', code: 'night-failed', message: 'ended' };
  if (type === 'abort') process.send(failed, () => process.disconnect());
});
`;

let entry: string;
let night: NightStore;
let nights: NightService | undefined;
let committed: Manifest[];

beforeEach(async () => {
  entry = join(await mkdtemp(join(tmpdir(), 'attune-damage-')), 'waiting.mjs');
  await writeFile(entry, WAITING);
  night = await openNightStore();
  await converse(night.store, 'a', { said: 'The blue room.', better: 'Yes.' });
  committed = [await commitNight(night.store), await commitNight(night.store)];
  const { ledger } = night.store;
  const at = '2026-03-04T06:00:00.000Z';
  for (const manifest of committed) {
    await ledger.seal(manifest);
    await ledger.setHead({ nights: { [manifest.night]: { status: 'waiting', at, why: '' } } });
  }
});
afterEach(async () => {
  await nights?.close();
  nights = undefined;
  await rm(join(entry, '..'), { recursive: true });
});

async function overwrite(path: string, text: string): Promise<void> {
  await night.disk.remove(path);
  const file = await night.disk.open(path, 'create');
  await file.write(Buffer.from(text));
}

/** As after a restart. */
async function restarted(): Promise<NightService> {
  night = await openNightStore({}, night.disk);
  const { plan, store } = night;
  nights = new NightService({
    ...{ ...plan, store, entry, engine: new FakeEngine(), logger: silentLogger },
    surpriseOf: async () => undefined,
    publish: () => undefined,
  });
  await nights.recover();
  return nights;
}

const inNight = (at: number, name: string): string =>
  join(night.store.ledger.folderOf(committed[at]?.night ?? '').path, name);

describe('where a part of the store is damaged', () => {
  it.each([
    ['the manifest of an old night', () => inNight(0, 'manifest.json'), '{', 'n0001'],
    ['the manifest of the newest night', () => inNight(1, 'manifest.json'), '{', 'n0002'],
    ['the pointer', () => join(night.store.ledger.folder.path, 'head.json'), '{', 'head.json'],
    ['the file of flags', () => '/store/flags.json', '{', 'flags.json.damaged'],
    ['the file of gists', () => '/store/memory.json', '"x"', 'memory.json.damaged'],
  ])('%s: the store opens, names it, and a night begins', async (_, path, text, named) => {
    await overwrite(path(), text);
    const service = await restarted();
    expect(await night.store.conversations.read('a')).toMatchObject({ id: 'a' });
    expect((await service.problems()).join('\n')).toContain(named);
    expect(await service.run()).toMatch(/^n0003-/);
    expect((await service.verify()).isSound).toBe(/flags|memory/.test(path()));
  });

  it('a night folder without anything in it is named, and counted', async () => {
    await night.disk.makeFolder(join(inNight(1, '..'), 'n0007-2026-03-03'));
    const service = await restarted();
    expect(await service.problems()).toEqual([
      'n0007-2026-03-03 cannot be read: it has no manifest',
    ]);
    expect(await service.run()).toMatch(/^n0008-/);
  });

  it('a delta that is in force: no night begins on top of it, until other weights are', async () => {
    const first = await restarted();
    await first.approve(committed[0]?.night ?? '');
    await overwrite(inNight(0, 'delta.safetensors'), 'another delta');
    await expect(first.runToEnd()).rejects.toMatchObject({ code: 'swap-refused' });
    expect((await first.problems()).join()).toMatch(/delta of n0001\S* was changed/);
    await first.swapTo([]);
    expect(await first.run()).toMatch(/^n0003-/);
    expect(await first.problems()).toEqual([]);
  });

  it('a committed night that cannot be finished is named and stops nothing', async () => {
    const third = await commitNight(night.store);
    committed.push(third);
    await overwrite(inNight(2, 'measures.json'), '{');
    const service = await restarted();
    expect((await service.problems()).join()).toContain(third.night);
  });
});
