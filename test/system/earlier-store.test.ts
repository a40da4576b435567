// A store that an earlier release wrote: it opens, verifies, shows its nights, and goes on.
import { cp, mkdtemp, readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { listNights } from '../../src/morning/list.ts';
import { createFakeClock } from '../fakes/fake-clock.ts';
import { type Loop, openLoop } from './open-loop.ts';

// A night is run.
vi.setConfig({ testTimeout: 60_000 });

const STORE = new URL('../fixtures/store/2026-11-22/', import.meta.url).pathname;

describe('a store of 2026-11-22', () => {
  let loop: Loop;
  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'attune-earlier-'));
    await cp(STORE, folder, { recursive: true });
    const clock = createFakeClock(Date.parse('2026-11-22T22:00:00Z'));
    loop = await openLoop({ night: { timeZone: 'UTC', dreamsMax: 8 } }, { folder, clock });
  }, 60_000);
  afterAll(() => loop?.close());

  it('opens with what was said and flagged in it', () => {
    expect(loop.daemon.store.conversations.ids()).toHaveLength(12);
    const used = loop.daemon.store.flags.list().map(({ id, usedBy }) => [id, usedBy]);
    expect(used).toHaveLength(12);
    const nights = ['n0001-2026-11-20', 'n0002-2026-11-21'];
    const { base } = loop.nights.ledger;
    expect(used[0]).toEqual(['flag-0', nights.map((night) => ({ night, base }))]);
  });

  it('verifies, and shows its nights', async () => {
    expect(await loop.nights.verify()).toMatchObject({
      ...{ isSound: true, ledgers: [{ nights: 2, findings: [] }] },
    });
    const nights = await listNights(loop.nights.ledger);
    expect(nights.map(({ nightId, status }) => [nightId, status])).toEqual([
      ['n0001-2026-11-20', 'refused'],
      ['n0002-2026-11-21', 'refused'],
    ]);
    expect(nights[1]?.headline).toContain('Night 2');
  });

  it('has the ledger of its time as that of its base model', async () => {
    const { ledger } = loop.nights;
    expect(ledger.folder.path).toBe(join(loop.folder, 'ledger', ledger.base));
    expect(await readdir(join(loop.folder, 'ledger'))).toEqual([ledger.base]);
  });

  it('loads the night that was active', async () => {
    const { active, ...head } = loop.nights.ledger.head() as {
      active?: string[];
      inForce?: string[];
    };
    expect(active ?? head.inForce).toEqual(['n0001-2026-11-20']);
    await loop.nights.swapTo(['n0001-2026-11-20']);
    expect((await loop.engine.describe()).version).toMatch(/^v-/);
  });

  it('runs a further night, chained to the last', async () => {
    const { ledger } = loop.nights;
    const night = await loop.nights.run();
    await loop.nights.ended();
    const manifest = await ledger.read(night);
    expect(manifest).toMatchObject({ night: 'n0003-2026-11-22', number: 3 });
    expect(manifest.delta?.steps).toBeGreaterThan(0);
    expect(await loop.nights.verify()).toMatchObject({
      ...{ isSound: true, ledgers: [{ nights: 3, findings: [] }] },
    });
    const summary = await readFile(join(ledger.folderOf(night).path, 'summary.md'), 'utf8');
    expect(summary).toContain('Night 3');
  }, 200_000);
});
