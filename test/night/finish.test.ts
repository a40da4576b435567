import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { readFileBounded, readJsonBounded, writeFileAtomic } from '../../src/base/atomic-file.ts';
import type { Manifest } from '../../src/ledger/manifest.ts';
import { type FinishedNight, finishNight, recoverNights } from '../../src/night/finish.ts';
import { NightSummary } from '../../src/protocol/summary.ts';
import { FILE } from '../../src/record/files.ts';
import { type FlaggedMoment, scenarioOf } from '../../src/scenario/moment.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { commitNight, converse, type NightStore, openNightStore } from './night-store.ts';

let night: NightStore;
let engine: FakeEngine;
beforeEach(async () => {
  night = await openNightStore();
  engine = new FakeEngine({ version: 'base' });
});

function finish(manifest: Manifest, swap: 'auto' | 'review' = 'auto'): Promise<FinishedNight> {
  const { store, config, clock } = night;
  const { ledger } = store;
  const settings = { ...config.night, swap };
  return finishNight(manifest, { engine, ledger, store, clock, settings });
}

const statusOf = (manifest: Manifest): string => night.store.ledger.statusOf(manifest);
const version = async (): Promise<string> => (await engine.describe()).version;

const moment = (id: string, change: Partial<FlaggedMoment> = {}): FlaggedMoment => ({
  ...{ flagId: `flag-${id}`, strength: 2, isHeldBack: false, kind: 'missed', chosen: 'Yes.' },
  context: {
    ...{ id: `flag-${id}`, kind: 'listen', spans: [] },
    messages: [{ role: 'user', content: 'The blue room.' }],
    source: { origin: 'flag', cluster: id, domain: 'talk' },
  },
  ...change,
});

describe('a night that passed the gate', () => {
  it('is swapped in, its summary written, and the flags that trained it marked', async () => {
    for (const id of ['a', 'b', 'c']) {
      await converse(night.store, id, { said: 'The blue room.', better: 'Yes.' });
    }
    const { chosen: _, ...open } = moment('c');
    const flagged = [moment('a'), moment('b', { isHeldBack: true }), open];
    const scenarios = flagged.flatMap((one) => (one.isHeldBack ? [] : (scenarioOf(one) ?? [])));
    const manifest = await commitNight(night.store, { flagged, scenarios });
    const finished = await finish(manifest);
    expect(finished).toMatchObject({ verdict: 'swapped', reasons: [], version: await version() });
    expect(await version()).not.toBe('base');
    expect(night.store.ledger.head().inForce).toEqual([manifest.night]);
    const used = night.store.flags.list().map(({ id, usedBy }) => [id, usedBy.length]);
    expect(used).toEqual([
      ['flag-a', 1],
      ['flag-b', 0],
      ['flag-c', 0],
    ]);
    const { path, ops } = night.store.ledger.folderOf(manifest.night);
    const summary = await readJsonBounded(join(path, FILE.summary), NightSummary, { ops });
    expect(summary).toMatchObject({ headline: finished.headline, verdict: 'swapped' });
    expect(await readFileBounded(join(path, FILE.summaryText), { ops })).toBeDefined();
  });

  it('waits where a person decides', async () => {
    const manifest = await commitNight(night.store);
    expect(await finish(manifest, 'review')).toMatchObject({
      verdict: 'awaiting-review',
      version: null,
    });
    expect([statusOf(manifest), await version()]).toEqual(['waiting', 'base']);
  });

  it('waits where other weights became active while it ran', async () => {
    const first = await commitNight(night.store);
    const second = await commitNight(night.store);
    await finish(first);
    expect((await finish(second)).verdict).toBe('awaiting-review');
    expect(night.store.ledger.head().inForce).toEqual([first.night]);
  });

  it('waits, with the reason, where its delta is not what was committed', async () => {
    const manifest = await commitNight(night.store);
    const { path, ops } = night.store.ledger.folderOf(manifest.night);
    await writeFileAtomic(join(path, FILE.delta), 'other weights', ops);
    expect((await finish(manifest)).verdict).toBe('awaiting-review');
    const { why } = night.store.ledger.head().nights[manifest.night] ?? {};
    expect(why).toContain('attune night verify');
    expect(await version()).toBe('base');
  });

  it('is finished once: what has its line in the journal is not done again', async () => {
    const manifest = await commitNight(night.store);
    const first = await finish(manifest);
    await engine.switchVersion('base');
    expect(await finish(manifest)).toEqual(first);
    expect(await version()).toBe('base');
  });
});

describe('a night that offers itself for a trial', () => {
  it('waits for the person also where nights are taken by themselves, and then is like any', async () => {
    const manifest = await commitNight(night.store, { passed: false, isOffered: true });
    const { verdict, reasons } = await finish(manifest);
    expect([verdict, statusOf(manifest), await version()]).toEqual([
      'awaiting-review',
      'waiting',
      'base',
    ]);
    expect(reasons).toEqual(['margin: 0.1 gained, 0.05 needed']);
    const { why } = night.store.ledger.head().nights[manifest.night] ?? {};
    expect(why).toBe('it offers itself for a trial');
  });
});

describe('a night that changes nothing', () => {
  it('is refused with what the gate held against it', async () => {
    const manifest = await commitNight(night.store, { passed: false });
    const { verdict, reasons } = await finish(manifest);
    expect([verdict, statusOf(manifest)]).toEqual(['refused', 'refused']);
    expect(reasons).toEqual(['margin: 0.1 gained, 0.05 needed']);
  });

  it('is empty where there was nothing to learn, and marks no flag', async () => {
    await converse(night.store, 'a', { said: 'The blue room.', better: 'Yes.' });
    const manifest = await commitNight(night.store, { hasDelta: false, flagged: [moment('a')] });
    expect((await finish(manifest)).verdict).toBe('nothing-to-learn');
    expect(statusOf(manifest)).toBe('empty');
    expect(night.store.flags.get('flag-a').usedBy).toEqual([]);
  });
});

describe('finishing nights', () => {
  it('ends the wait of the night that was trained again', async () => {
    const before = await commitNight(night.store, { passed: false });
    await finish(before);
    const review = { of: before.night, dropped: 2, reworded: 1 };
    await finish(await commitNight(night.store, { review }));
    expect(statusOf(before)).toBe('rejected');
    const { why } = night.store.ledger.head().nights[before.night] ?? {};
    expect(why).toContain('2 dreams left out, 1 replies reworded');
  });

  it('after a crash takes those that were committed and nothing else', async () => {
    const done = await commitNight(night.store, { passed: false });
    await finish(done);
    const open = await commitNight(night.store, { passed: false });
    const found: string[] = [];
    await recoverNights(night.store.ledger, async (manifest) => void found.push(manifest.night));
    expect(found).toEqual([open.night]);
  });
});
