// Under which weights an engine process that died is started again: those that the ledger has sealed,
// where it has them by then.
import { writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { VersionSource } from '../../src/engine/engine.ts';
import { squash } from '../../src/ledger/squash.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { commitNight } from '../night/night-store.ts';
import { openTestDaemon, type TestDaemon } from '../server/open-test-daemon.ts';

class RestartedEngine extends FakeEngine {
  restart: () => Promise<VersionSource | undefined> = async () => undefined;
  restartUnder(ask: () => Promise<VersionSource | undefined>): void {
    this.restart = ask;
  }
}

let engine: RestartedEngine;
let daemon: TestDaemon;
let nights: string[];

beforeEach(async () => {
  engine = new RestartedEngine();
  daemon = await openTestDaemon({ engine });
  nights = [];
  for (let count = 0; count < 3; count++) {
    const { night } = await commitNight(daemon.store);
    nights.push(night);
    await daemon.nights.swapTo(nights);
  }
});
afterEach(() => daemon.end());

const files = async () => daemon.store.ledger.deltaFiles(nights);

it('is the version that was swapped to', async () => {
  const { version } = await engine.describe();
  const paths = (await files()).map(({ path }) => path);
  expect(await engine.restart()).toEqual({ id: version, deltas: paths });
});

it('is the same version where its deltas were added up into one file since', async () => {
  const before = await engine.restart();
  await squash(daemon.store.ledger, 1);
  const after = await engine.restart();
  expect(after?.id).toBe(before?.id);
  expect(after?.deltas).toHaveLength(2);
  expect(after?.deltas[0]).toContain('squashed-2');
});

it('is the base when a delta was changed since, and the nights page says so', async () => {
  const [first] = await files();
  await writeFile(first?.path ?? '', 'another delta');
  expect(await engine.restart()).toBeUndefined();
  expect((await daemon.nights.problems()).join()).toMatch(/base model answers: The delta of n0001/);
  await daemon.nights.swapTo([]);
  expect(await daemon.nights.problems()).toEqual([]);
});
