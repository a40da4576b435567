import { beforeEach, describe, expect, it } from 'vitest';
import { writeJsonAtomic } from '../../src/base/atomic-file.ts';
import { sha256 } from '../../src/base/hash.ts';
import { openTombstones } from '../../src/conversation/pending-deletions.ts';
import { createFakeClock } from '../fakes/fake-clock.ts';
import { MemoryDisk } from '../fakes/memory-disk.ts';

const DAY = 86_400_000;

describe('what is known of a deleted conversation', () => {
  let ops: MemoryDisk;
  let clock: ReturnType<typeof createFakeClock>;
  const open = () => openTombstones('/tombstones.json', { clock, ops });
  beforeEach(() => {
    ops = new MemoryDisk();
    clock = createFakeClock(1_000 * DAY);
  });

  it('is the hash of its id, over a restart, until the id is in use again', async () => {
    const tombstones = await open();
    await tombstones.add('a');
    await tombstones.add('b');
    await tombstones.clear('b');
    await tombstones.clear('never');
    const again = await open();
    expect(ops.text('/tombstones.json')).not.toContain('"a"');
    expect(['a', 'b', 'c'].map((id) => again.has(id))).toEqual([true, false, false]);
  });

  it('leaves with the years, and the oldest beyond ten thousand', async () => {
    await (await open()).add('old');
    await clock.advance(401 * DAY);
    await (await open()).add('new');
    const again = await open();
    expect([again.has('old'), again.has('new')]).toEqual([false, true]);
    const deleted = Array.from({ length: 10_000 }, (_, number) => {
      return { idHash: sha256(`t${number}`), at: clock.now() };
    });
    await writeJsonAtomic('/tombstones.json', { schemaVersion: 1, data: { deleted } }, ops);
    await (await open()).add('last');
    const full = await open();
    expect(['t0', 't1', 'last'].map((id) => full.has(id))).toEqual([false, true, true]);
  });
});
