import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { silentLogger } from '../../src/base/logger.ts';
import { isOldFirst } from '../../src/morning/blind.ts';
import { listNights } from '../../src/morning/list.ts';
import { NightService } from '../../src/night/service.ts';
import type { ServerMessage } from '../../src/protocol/server-message.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { commitNight, type NightStore, openNightStore } from './night-store.ts';

// Whole nights are run.
vi.setConfig({ testTimeout: 60_000 });

/** A night's process that tells what it is told, and ends when it is told to. */
const TELLING = `process.on('message', ({ type }) => {
  const progress = { type: 'progress', phase: 'train', done: 0, total: null, facts: { [type]: 1 } };
  const failed = { type: 'failed', code: 'night-failed', message: 'ended' };
  process.send(type === 'abort' ? failed : progress, () => type === 'abort' && process.disconnect());
});
`;

/** A night's process that fails with the code in its environment. */
const FAILING = `process.on('message', () => {
  const failed = { type: 'failed', code: process.env.ATTUNE_TEST_FAILURE, message: 'It failed.' };
  process.send(failed, () => process.disconnect());
});
`;

let folder: string;
let night: NightStore;
let nights: NightService;
let published: ServerMessage[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-service-'));
  night = await openNightStore();
  published = [];
  nights = await serviceOf('telling.mjs', TELLING);
});
afterEach(async () => {
  await nights.close();
  await rm(folder, { recursive: true, force: true });
});

async function serviceOf(name: string, script: string): Promise<NightService> {
  const entry = join(folder, name);
  await writeFile(entry, script);
  const { plan, store } = night;
  return new NightService({
    ...{ ...plan, store, entry, engine: new FakeEngine(), logger: silentLogger },
    surpriseOf: async () => undefined,
    publish: (_, message) => void published.push(message),
  });
}

/** What the night's process was told, in order. */
const told = (): string[] =>
  published.flatMap((one) => (one.type === 'night-progress' ? Object.keys(one.facts) : []));

describe('a night under way', () => {
  it('is heard of at once, stops on request without a failure, and goes on with the next run', async () => {
    const id = await nights.run();
    expect(published[0]).toMatchObject({ type: 'night-progress', nightId: id, phase: 'gather' });
    expect(await nights.stop()).toBe(id);
    expect(published.at(-1)).toMatchObject({ type: 'night-end', verdict: 'stopped' });
    expect(await nights.problems()).toEqual([]);
    expect(await nights.stopped()).toBe(id);
    await expect(nights.stop()).rejects.toMatchObject({ code: 'night-unknown' });
    expect(await nights.run()).toBe(id);
    expect(await nights.stopped()).toBeNull();
  });

  it('stands aside while chat replies, and goes on when nothing else is made', async () => {
    await nights.run();
    nights.onBusy();
    await nights.standAside(async () => expect(nights.activeAt).toBeUndefined());
    nights.onIdle();
    await expect.poll(told, { timeout: 10_000 }).toEqual(['start', 'pause', 'resume']);
    expect(nights.activeAt).toBe(night.clock.now());
  });

  it('goes on when a reply fails for which it stood aside', async () => {
    await nights.run();
    const failing = nights.standAside(() => Promise.reject(new Error('no such moment')));
    await expect(failing).rejects.toThrow('no such moment');
    await expect.poll(told, { timeout: 10_000 }).toEqual(['start', 'pause', 'resume']);
  });

  it('waits from its start where somebody is being answered', async () => {
    nights.onBusy();
    await nights.run();
    await expect.poll(told, { timeout: 10_000 }).toEqual(['start', 'pause']);
    expect(nights.progress).toMatchObject({ isPaused: true });
  });

  it('is alone, and is kept for later when the daemon closes', async () => {
    const running = await nights.run();
    await expect(nights.run()).rejects.toMatchObject({ code: 'night-running' });
    await nights.close();
    expect(published.at(-1)).toMatchObject({ type: 'night-end', verdict: 'failed' });
    expect(await night.store.ledger.unfinished()).toEqual([running]);
  });
});

describe('a night that fails', () => {
  const run = async (code: string): Promise<string[]> => {
    process.env.ATTUNE_TEST_FAILURE = code;
    const failing = await serviceOf('failing.mjs', FAILING);
    await expect(failing.runToEnd()).rejects.toMatchObject({ facts: { cause: code } });
    return night.store.ledger.unfinished();
  };
  afterEach(() => delete process.env.ATTUNE_TEST_FAILURE);

  it('is resumed once, and given up with its reason when it fails so again', async () => {
    const [first] = await run('file-too-large');
    expect(await run('training-diverged')).toEqual([first]);
    expect(await run('file-too-large')).toEqual([]);
    const why = expect.stringMatching(/^It failed\. It failed so before; n0001-\S+ was given up/);
    expect(published.at(-1)).toMatchObject({ type: 'night-end', reasons: [why] });
  });

  it('for want of room, or of its model, waits for them', async () => {
    for (const code of ['disk-full', 'model-changed']) {
      const [first] = await run(code);
      expect([await run(code), await run(code)]).toEqual([[first], [first]]);
    }
  });

  it('because its process was ended by the daemon has not failed', async () => {
    for (let time = 0; time < 3; time++) {
      const stopped = await serviceOf('telling.mjs', TELLING);
      await stopped.run();
      await stopped.close();
    }
    expect(await night.store.ledger.unfinished()).toHaveLength(1);
  });
});

describe('deciding about a night', () => {
  /** One that offers itself, and is tried. */
  async function onTrial(): Promise<string> {
    const { night: id } = await commitNight(night.store, { passed: false, isOffered: true });
    const at = '2026-03-04T06:00:00.000Z';
    await night.store.ledger.setHead({ nights: { [id]: { status: 'waiting', at, why: '' } } });
    await nights.approve(id);
    expect(nights.trials.isOn(id)).toBe(true);
    return id;
  }

  it.each([
    ['takes back', [], []],
    ['takes back', ['old'], []],
    ['keeps', ['new'], [0]],
    ['takes back', ['new', 'old'], []],
  ] as const)('%s what is on trial by what was preferred: %s', async (_, prefers, stays) => {
    const id = await onTrial();
    for (const [at, wanted] of prefers.entries()) {
      const isFirst = isOldFirst(night.store.ledger, id, `m${at}`);
      const choice = (wanted === 'old') === isFirst ? 'a' : 'b';
      await nights.trials.day(id, { flagId: `m${at}`, choice });
    }
    await nights.run().catch(() => undefined);
    expect(night.store.ledger.head().inForce).toEqual(stays.map(() => id));
    expect(nights.trials.isOn(id)).toBe(false);
    await expect(nights.trials.day(id)).rejects.toMatchObject({ code: 'night-unknown' });
  });

  it('keeps a night on trial for good when it is approved again', async () => {
    const id = await onTrial();
    expect(await nights.approve(id)).toBeUndefined();
    expect(nights.trials.isOn(id)).toBe(false);
    expect(night.store.ledger.head().nights[id]).toMatchObject({ status: 'in-force' });
  });

  it('says of every night that came or went by a swap what became of it', async () => {
    const { night: id } = await commitNight(night.store, { passed: false });
    const { ledger } = night.store;
    const line = async () => (await listNights(ledger)).find(({ nightId }) => nightId === id);
    await nights.swapTo([id]);
    expect(await line()).toMatchObject({ status: 'in-force', isAgainstVerdict: true });
    await nights.swapTo([]);
    expect(await line()).toMatchObject({ status: 'reverted', isAgainstVerdict: false });
    await nights.approve(id);
    expect(await line()).toMatchObject({ status: 'in-force', isTrial: false });
  });

  it('takes a waiting night into use and back, and refuses what its status does not allow', async () => {
    const { night: id } = await commitNight(night.store);
    const at = '2026-03-04T06:00:00.000Z';
    await night.store.ledger.setHead({ nights: { [id]: { status: 'waiting', at, why: '' } } });
    const { to } = (await nights.approve(id)) ?? {};
    expect(night.store.ledger.head().inForce).toEqual([id]);
    expect(published).toMatchObject([{ type: 'swap-end', to }]);
    await expect(nights.reject(id)).rejects.toMatchObject({ code: 'swap-refused' });
    await nights.revert(id);
    expect(night.store.ledger.head().inForce).toEqual([]);
    await expect(nights.revert(id)).rejects.toMatchObject({ code: 'swap-refused' });
  });
});
