// A disk that becomes full in the middle of a night.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { NightPhase } from '../../src/protocol/night.ts';
import { TestClient } from '../server/test-client.ts';
import { flagTwo, openLoop } from './open-loop.ts';

function mountSmallDisk(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'attune-small-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', folder], { stdio: 'ignore' });
    return folder;
  } catch {
    rmSync(folder, { recursive: true });
    return undefined;
  }
}
const SKIPPED = 'SKIPPED: a small tmpfs cannot be mounted here, so a full disk was not tested: ';

/** Describes what becomes of a night when the disk is full in each of these phases. */
export function fullDisk(phases: readonly NightPhase[]): void {
  const disk = mountSmallDisk();
  afterAll(() => {
    if (disk === undefined) return;
    execFileSync('umount', ['-l', disk]);
    rmSync(disk, { recursive: true });
  });

  describe.skipIf(disk === undefined)(disk === undefined ? SKIPPED : 'a full disk', () => {
    const filler = join(disk ?? '', 'filler');
    const fill = (): void => {
      const { bavail, bsize } = statfsSync(disk ?? '');
      try {
        writeFileSync(filler, Buffer.alloc(bavail * bsize));
      } catch (error) {
        // The night took some of the room in between: then the disk is full all the same.
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    };
    beforeEach(() => rmSync(filler, { force: true }));

    it.each(phases)(
      'in the phase "%s" ends the night with a code; with room again it goes on, once',
      async (phase) => {
        const loop = await openLoop(
          { night: { dreamsMax: 16 } },
          { folder: join(disk ?? '', phase) },
        );
        await flagTwo(loop);
        const client = await TestClient.open(loop.daemon.port);
        await client.hello();
        client.send({ type: 'event-subscribe', topics: ['nights'] });
        const night = await loop.nights.run();
        await client.next('night-progress', (progress) => progress.phase === phase, 120_000);
        fill();
        await loop.nights.ended();
        const end = await client.next('night-end', () => true, 1000);
        expect(end.verdict).toBe('failed');
        expect(end.reasons.join()).toMatch(/full|no space/i);
        expect(await loop.nights.ledger.list()).toEqual([]);
        rmSync(filler);
        expect(await loop.nights.run()).toBe(night);
        await loop.nights.ended();
        expect(await loop.nights.verify()).toMatchObject({
          ...{ isSound: true, ledgers: [{ nights: 1, findings: [] }] },
        });
        client.kill();
        await loop.close();
      },
      300_000,
    );
  });
}
