// What a person takes back: no gist, no text of a night and no weights that come into use later hold
// it, whatever a night was doing at that moment.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { writeFileAtomic } from '../../src/base/atomic-file.ts';
import { silentLogger } from '../../src/base/logger.ts';
import type { Manifest } from '../../src/ledger/manifest.ts';
import { listNights } from '../../src/morning/list.ts';
import { beginAgain } from '../../src/night/again.ts';
import { finishNight } from '../../src/night/finish.ts';
import { NightService } from '../../src/night/service.ts';
import type { ServerMessage } from '../../src/protocol/server-message.ts';
import { readFlagged, readScenarioFile } from '../../src/record/files.ts';
import { scenarioOf } from '../../src/scenario/moment.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';
import type { TakenBack } from '../../src/store/consent.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { commitNight, converse, type NightStore, NOW, openNightStore } from './night-store.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

/** A night's process that does nothing until it is told to end. */
const WAITING = `process.on('message', ({ type }) => {
  if (type !== 'abort') return;
  const failed = { type: 'failed', code: 'night-failed', message: 'ended' };
  process.send(failed, () => process.disconnect());
});
`;
const AN_HOUR = 3_600_000;

let folder: string;
let night: NightStore;
let nights: NightService;
let published: ServerMessage[];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-consent-'));
  await writeFile(join(folder, 'waiting.mjs'), WAITING);
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(async () => {
  night = await openNightStore({ flag: { heldBackFrom: 100 } });
  published = [];
  nights = serviceOf(night);
  for (const word of ['quince', 'walnut']) {
    const said = `I promise to bring the ${word} jam.`;
    await converse(night.store, word, { said, better: `Here, ${word}.`, at: NOW - AN_HOUR });
  }
});
afterEach(() => nights.close());

const serviceOf = ({ plan, store }: NightStore): NightService =>
  new NightService({
    ...{ ...plan, store, entry: join(folder, 'waiting.mjs') },
    ...{ engine: new FakeEngine({ version: 'base' }), logger: silentLogger },
    surpriseOf: async () => undefined,
    publish: (_, message) => void published.push(message),
  });

async function exclude(id: string, canLearn = false): Promise<void> {
  const { conversations, consent } = night.store;
  const settings = { type: 'settings', at: NOW, settings: {}, canLearn } as const;
  const decide = () => conversations.exclusive(id, () => conversations.append(id, settings));
  if (canLearn) await decide();
  else await consent.takeBack({ kind: 'conversation', id, what: 'excluded' }, decide);
}

function takeBackFlag(id: string, what: 'withdrawn' | 'changed'): Promise<unknown> {
  const { conversations, consent, flags } = night.store;
  const change = async () =>
    what === 'withdrawn'
      ? flags.withdraw(`flag-${id}`)
      : flags.edit(`flag-${id}`, { betterWords: 'Other words.' }, await conversations.read(id));
  const source: TakenBack = { kind: 'flag', id: `flag-${id}`, what };
  return consent.takeBack(source, change);
}

/** Texts of nights and memories in which the word stands. */
function holding(word: string): string[] {
  const bytesOf = (file: number) => night.disk.inodes[file]?.bytes ?? Buffer.alloc(0);
  return [...night.disk.names]
    .filter(([path]) => /\/ledger\/|\/memory\.json/.test(path))
    .filter(([, file]) => bytesOf(file).includes(word))
    .map(([path]) => path);
}

const dreamOf = (word: string) =>
  parseScenario({
    ...{ id: `dream-${word}`, kind: 'listen', chosen: `The ${word} is here.` },
    ...{ rejected: `Who needs a ${word}?`, source: source(word) },
    messages: [{ role: 'user', content: `Bring the ${word}.` }],
  });
const source = (cluster: string) => ({ origin: 'dream' as const, cluster, domain: 'home' });

/** A night that has gathered what there is, and trained on it. */
async function committed(): Promise<Manifest> {
  const id = await nights.run();
  const { ledger } = night.store;
  const flagged = await readFlagged(ledger.buildingOf(id));
  await nights.close();
  await ledger.discard(id);
  const scenarios = [
    ...flagged.flatMap((moment) => scenarioOf(moment) ?? []),
    ...['quince', 'walnut'].map(dreamOf),
  ];
  return commitNight(night.store, { flagged, scenarios });
}

function finish(manifest: Manifest) {
  const { store, config, clock } = night;
  const engine = new FakeEngine({ version: 'base' });
  const settings = { ...config.night, swap: 'auto' as const };
  return finishNight(manifest, { engine, ledger: store.ledger, store, clock, settings });
}

const statusOf = (manifest: Manifest): string => night.store.ledger.statusOf(manifest);

describe('an excluded conversation', () => {
  it('leaves memory and the texts of nights, and only it', async () => {
    const manifest = await committed();
    expect(holding('quince')).toContain('/store/memory.json');
    await exclude('quince');
    expect(holding('quince')).toEqual([]);
    expect(holding('walnut')).toContain('/store/memory.json');
    const left = await readScenarioFile(night.store.ledger.folderOf(manifest.night), 'scenarios');
    expect(left.map(({ id }) => id)).toEqual(['flag-flag-walnut', 'dream-walnut']);
    expect((await nights.verify()).isSound).toBe(true);
    expect(night.store.flags.list('quince')).toHaveLength(1);
  });

  it('is dreamt of again once it may be, and not before', async () => {
    await committed();
    await exclude('quince');
    nights = serviceOf(night);
    await nights.run();
    expect(holding('quince')).toEqual([]);
    await nights.close();
    for (const id of await night.store.ledger.unfinished()) await night.store.ledger.discard(id);
    await exclude('quince', true);
    nights = serviceOf(night);
    await nights.run();
    expect(holding('quince')).toContain('/store/memory.json');
  });
});

describe('a night under way', () => {
  it.each([
    ['conversation', 'excluded', () => exclude('quince')],
    ['flag', 'withdrawn', () => takeBackFlag('quince', 'withdrawn')],
    ['flag', 'changed', () => takeBackFlag('quince', 'changed')],
  ] as const)(
    'ends, and is discarded, when a %s that it learns from is %s',
    async (kind, what, act) => {
      const id = await nights.run();
      await act();
      await nights.ended();
      const reasons = [`${id} was ended: a ${kind} that it learns from was ${what}.`];
      expect(published.at(-1)).toMatchObject({ type: 'night-end', verdict: 'failed', reasons });
      expect(await night.store.ledger.unfinished()).toEqual([]);
      expect(night.store.flags.get('flag-quince').usedBy).toEqual([]);
    },
  );

  it('goes on where it learns from something else', async () => {
    await exclude('quince');
    const id = await nights.run();
    await exclude('quince');
    await takeBackFlag('quince', 'changed');
    expect(nights.pid).toBeDefined();
    expect(await night.store.ledger.unfinished()).toEqual([id]);
  });

  it('is not resumed with what was taken back while nothing ran', async () => {
    await nights.run();
    await nights.close();
    // As after a crash between the decision and what follows from it.
    const { conversations } = night.store;
    const settings = { type: 'settings', at: NOW, settings: {}, canLearn: false } as const;
    await conversations.exclusive('quince', () => conversations.append('quince', settings));
    nights = serviceOf(night);
    const id = await nights.run();
    const flagged = await readFlagged(night.store.ledger.buildingOf(id));
    expect(flagged.map(({ flagId }) => flagId)).toEqual(['flag-walnut']);
  });
});

describe('a night that was committed', () => {
  it.each([
    ['excluded', () => exclude('quince')],
    ['withdrawn', () => takeBackFlag('quince', 'withdrawn')],
  ] as const)('is not swapped in when something it learnt is %s before that', async (_, act) => {
    const manifest = await committed();
    await act();
    const finished = await finish(manifest);
    const why = 'it learnt from what was taken back while it ran';
    expect(finished).toMatchObject({ verdict: 'refused', reasons: [why], version: null });
    expect(statusOf(manifest)).toBe('rejected');
    expect(night.store.ledger.head().inForce).toEqual([]);
    expect(night.store.flags.get('flag-quince').usedBy).toEqual([]);
    expect(night.store.flags.get('flag-walnut').usedBy).toHaveLength(1);
  });

  it('counts a flag as used only as it was learnt', async () => {
    const manifest = await committed();
    const { flags, conversations } = night.store;
    await night.clock.advance(1000);
    await flags.edit('flag-quince', { strength: 3 }, await conversations.read('quince'));
    await finish(manifest);
    expect(flags.get('flag-quince').usedBy).toEqual([]);
    expect(flags.get('flag-walnut').usedBy).toHaveLength(1);
  });

  it('comes into use no more once it has learnt what was taken back', async () => {
    const manifest = await committed();
    const { ledger } = night.store;
    const at = '2026-03-04T07:00:00.000Z';
    await ledger.setHead({ nights: { [manifest.night]: { status: 'waiting', at, why: '' } } });
    nights = serviceOf(night);
    await takeBackFlag('quince', 'withdrawn');
    const refused = {
      code: 'swap-refused',
      message: expect.stringContaining('attune night retrain'),
    };
    await expect(nights.approve(manifest.night)).rejects.toMatchObject(refused);
    await expect(nights.swapTo([manifest.night])).rejects.toMatchObject(refused);
    expect((await listNights(ledger)).map(({ remedy }) => remedy)).toEqual(['retrain']);
  });
});

describe('a night in use that has learnt what was taken back', () => {
  let manifest: Manifest;
  beforeEach(async () => {
    manifest = await committed();
    expect((await finish(manifest)).verdict).toBe('swapped');
    await exclude('quince');
  });

  const remedies = async () => (await listNights(night.store.ledger)).map(({ remedy }) => remedy);

  it('is named, and trained again without it takes its own place', async () => {
    expect(await remedies()).toEqual(['retrain']);
    const { ledger } = night.store;
    const { plan, folder: again } = await beginAgain(manifest.night, night.plan);
    expect(plan.inForce).toEqual([]);
    expect(plan.review).toEqual({ of: manifest.night, dropped: 0, reworded: 0, withheld: 2 });
    const scenarios = await readScenarioFile(again, 'scenarios');
    expect(scenarios.map(({ id }) => id)).toEqual(['flag-flag-walnut', 'dream-walnut']);
    await ledger.discard(plan.night);
    const review = plan.review;
    const inForce: string[] = [];
    const next = await commitNight(night.store, { scenarios, review, inForce });
    expect((await finish(next)).verdict).toBe('swapped');
    expect(ledger.head().inForce).toEqual([next.night]);
    expect(statusOf(manifest)).toBe('reverted');
    expect(await remedies()).toEqual([null, null]);
  });

  it('is found again when training it again is cut off', async () => {
    nights = serviceOf(night);
    const id = await nights.retrain(manifest.night);
    await nights.close();
    nights = serviceOf(night);
    expect(await nights.run()).toBe(id);
  });

  it('can only be taken back once nothing of it is left to train on', async () => {
    await exclude('walnut');
    expect(await remedies()).toEqual(['revert']);
    await expect(beginAgain(manifest.night, night.plan)).rejects.toMatchObject({
      code: 'review-refused',
    });
  });
});

describe('what could not be taken out at once', () => {
  it('is taken out when the store is opened again', async () => {
    await committed();
    night.store.consent.watch({ letGo: () => Promise.reject(new Error('a crash')) });
    await exclude('quince');
    await takeBackFlag('walnut', 'withdrawn');
    expect(holding('quince')).not.toEqual([]);
    await night.store.close();
    night = await openNightStore({ flag: { heldBackFrom: 100 } }, night.disk);
    expect(holding('quince')).toEqual([]);
    expect(holding('Here, walnut.')).toEqual([]);
    expect(night.disk.text('/store/taken-back.json')).not.toContain('quince');
  });

  it('is taken out of a store of before, soon after it was opened', async () => {
    await committed();
    const { conversations } = night.store;
    const settings = { type: 'settings', at: NOW, settings: {}, canLearn: false } as const;
    await conversations.exclusive('quince', () => conversations.append('quince', settings));
    await night.store.close();
    await night.disk.remove('/store/taken-back.json');
    night = await openNightStore({ flag: { heldBackFrom: 100 } }, night.disk);
    expect(holding('quince')).not.toEqual([]);
    await night.clock.advance(30_000);
    await expect.poll(() => holding('quince')).toEqual([]);
    expect(holding('walnut')).not.toEqual([]);
    nights = serviceOf(night);
  });

  it('is taken out also where it was forgotten what that was', async () => {
    await committed();
    const { flags, ledger } = night.store;
    const [first] = await ledger.list();
    await flags.markUsed(['flag-walnut'], { night: first?.night ?? '', base: ledger.base });
    night.store.consent.watch({ letGo: () => Promise.reject(new Error('a crash')) });
    await exclude('quince');
    await takeBackFlag('walnut', 'withdrawn');
    await night.store.close();
    await night.disk.remove('/store/taken-back.json');
    await writeFileAtomic('/store/taken-back.json', '{"pending"', night.disk);
    night = await openNightStore({ flag: { heldBackFrom: 100 } }, night.disk);
    await night.clock.advance(30_000);
    await expect.poll(() => holding('quince')).toEqual([]);
    await expect.poll(() => holding('Here, walnut.')).toEqual([]);
    nights = serviceOf(night);
  });

  it('stays where it was taken in again since', async () => {
    await committed();
    night.store.consent.watch({ letGo: () => Promise.reject(new Error('a crash')) });
    await exclude('quince');
    await exclude('quince', true);
    await night.store.close();
    night = await openNightStore({ flag: { heldBackFrom: 100 } }, night.disk);
    expect(holding('quince')).not.toEqual([]);
  });
});
