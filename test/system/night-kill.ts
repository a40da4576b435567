// Kills a night's process at random moments until the night is done anyway.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import { readLosses } from '../../src/morning/samples.ts';
import { readDrafts, readScenarioFile } from '../../src/record/files.ts';
import type { Loop } from './open-loop.ts';

/**
 * One night under `kills` kill -9, at moments drawn from the seed. The ledger verifies, the night
 * is there once and whole, and no training step is missing or done twice.
 */
export async function killNight(
  { nights, engine }: Loop,
  { kills, seed, everyMs }: { kills: number; seed: number; everyMs: number },
): Promise<void> {
  const random = createRandom(seed);
  const before = (await nights.ledger.list()).length;
  const version = (await engine.describe()).version;
  const night = await nights.run();
  let left = kills;
  const ended = nights.ended().then(() => {
    left = 0;
  });
  while (left > 0) {
    await sleep(random.uniform() * everyMs);
    const pid = nights.pid;
    if (pid === undefined) continue;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      continue;
    }
    left -= 1;
  }
  await ended;
  const manifests = await nights.ledger.list();
  expect(manifests).toHaveLength(before + 1);
  const manifest = await nights.ledger.read(night);
  expect((await nights.verify()).ledgers[0]?.findings).toEqual([]);
  expect(await nights.ledger.unfinished()).toEqual([]);
  const folder = nights.ledger.folderOf(night);
  const losses = await readLosses(folder);
  expect(losses.map(({ step }) => step).sort((a, b) => a - b)).toEqual(
    Array.from({ length: manifest.delta?.steps ?? 0 }, (_, i) => i + 1),
  );
  expect((await readScenarioFile(folder, 'scenarios')).length).toBe(manifest.data.length);
  expect(new Set((await readDrafts(folder)).map(({ id }) => id)).size).toBe(
    (await readDrafts(folder)).length,
  );
  expect((await engine.describe()).version).toBe(version);
}
