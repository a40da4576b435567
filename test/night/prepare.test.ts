import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeJsonAtomic } from '../../src/base/atomic-file.ts';
import { systemClock } from '../../src/base/clock.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { ConfigPatch } from '../../src/config/schema.ts';
import { type Ledger, openLedger } from '../../src/ledger/ledger.ts';
import {
  beginNight,
  findUnfinished,
  localDay,
  type PlanParts,
  planNext,
  writePlan,
} from '../../src/night/prepare.ts';
import { resolveSampling } from '../../src/protocol/sampling.ts';
import {
  FILE,
  NIGHT_FILES,
  readFlagged,
  readGists,
  readScenarioFile,
} from '../../src/record/files.ts';
import { openJournal, resultOf } from '../../src/record/journal.ts';
import type { NightPlan } from '../../src/record/message.ts';
import { commitNight, converse, type NightStore, NOW, openNightStore } from './night-store.ts';

const EARLIER = join(import.meta.dirname, '../fixtures/store/2026-11-22/ledger');
const PATHS = { modelDir: '/m', cacheDir: '/c', suiteFolder: '/s', promptsFolder: '/p' };

let folder: string;
let ledger: Ledger;
let earlier: Record<string, unknown> & { base: string };

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-prepare-'));
  await cp(EARLIER, folder, { recursive: true });
  const text = await readFile(join(folder, 'nights/n0002-2026-11-21', FILE.plan), 'utf8');
  earlier = JSON.parse(text);
  ledger = await openLedger(folder, { base: earlier.base, files: NIGHT_FILES });
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function parts(more: ConfigPatch = {}): Promise<PlanParts> {
  const { config } = await loadConfig({ options: { chat: { sampling: { topK: 5 } }, ...more } });
  const sampling = resolveSampling([{ topP: 0.8, topK: 9 }, config.chat.sampling]);
  const encoding = 'e'.repeat(64);
  return { ledger, encoding, config, sampling, paths: PATHS, clock: systemClock };
}

const plan = async (): Promise<NightPlan> => planNext(await parts());

describe("a night's plan", () => {
  it('says how its replies are drawn, the values of the model included', async () => {
    const { sampling, config } = await plan();
    expect(sampling).toMatchObject({ topP: 0.8, topK: 5, temperature: 0.7 });
    expect(config.chat.sampling).toEqual({ topK: 5 });
  });
});

describe('a night that was cut off', () => {
  it('is found again with its plan', async () => {
    const written = await plan();
    await writePlan(written, await ledger.building(written.night));
    const elsewhere = { server: { port: 4999 }, logger: { level: 'error' } } as const;
    expect((await findUnfinished(await parts(elsewhere)))?.plan).toEqual(written);
  });

  it('goes on where store and model are now', async () => {
    const written = await plan();
    const before = { ...written, modelDir: '/gone', ledgerFolder: '/gone', deltas: ['/gone'] };
    await writePlan(before, await ledger.building(written.night));
    expect((await findUnfinished(await parts()))?.plan).toEqual(written);
  });

  it('is discarded, with the reason, when the configuration was changed since', async () => {
    const written = await plan();
    await writePlan(written, await ledger.building(written.night));
    const told: string[] = [];
    const changed = await parts({ train: { epochsMax: 1 } });
    expect(await findUnfinished(changed, (_, why) => told.push(why))).toBeUndefined();
    expect(told).toEqual(['the configuration was changed since it began']);
    expect(await ledger.unfinished()).toEqual([]);
  });

  it('is discarded where another tokenizer or chat template speaks by now', async () => {
    const written = await plan();
    await writePlan(written, await ledger.building(written.night));
    const now = { ...(await parts()), encoding: 'f'.repeat(64) };
    const told: string[] = [];
    expect(await findUnfinished(now, (_, why) => told.push(why))).toBeUndefined();
    expect(told).toEqual(['it began under another tokenizer or chat template']);
  });

  it('is found again where an earlier version did not say which template it is for', async () => {
    const { encoding: _, ...written } = await plan();
    await writePlan(written, await ledger.building(written.night));
    expect((await findUnfinished(await parts()))?.plan).toEqual(written);
  });

  it('is discarded where an earlier version wrote its plan', async () => {
    const { night, number, parent, inForce } = await plan();
    const { path, ops } = await ledger.building(night);
    const before = { ...earlier, night, number, parent, inForce };
    await writeJsonAtomic(join(path, FILE.plan), before, ops);
    expect(await findUnfinished(await parts())).toBeUndefined();
    expect(await ledger.unfinished()).toEqual([]);
  });
});

describe('a night that begins', () => {
  const HOUR = 3_600_000;
  let night: NightStore;
  const begin = () =>
    beginNight({ ...night.plan, store: night.store, surpriseOf: async () => undefined });
  beforeEach(async () => {
    night = await openNightStore({ flag: { heldBackFrom: 100 }, server: { token: 'a secret' } });
  });

  it('has in its folder what it learns from: flags, everyday turns and memories', async () => {
    const { store } = night;
    await converse(store, 'a', { said: 'The blue room, please.', better: 'It is booked.' });
    await converse(store, 'b', { said: 'I promise to bring the jam.', at: NOW - 2 * HOUR });
    const { folder, plan: made } = await begin();
    expect(made).toMatchObject({ night: 'n0001-2026-03-03', number: 1, parent: null });
    const [moment] = await readFlagged(folder);
    expect(moment).toMatchObject({ flagId: 'flag-a', chosen: 'It is booked.', isHeldBack: false });
    const everyday = await readScenarioFile(folder, 'everyday');
    expect(everyday.map(({ id }) => id)).toEqual(['log-b-b-r']);
    // The other is not at rest yet.
    expect((await readGists(folder)).map(({ gist }) => gist.conversationId)).toEqual(['b']);
  });

  it('renders each conversation under the system prompt that it is served with', async () => {
    night = await openNightStore({
      flag: { heldBackFrom: 100 },
      chat: { systemPrompt: 'Be brief.' },
    });
    const { store } = night;
    const own = { systemPrompt: 'Be kind.' };
    await converse(store, 'usual', { said: 'The blue room.', better: 'Yes.' });
    await converse(store, 'own', { said: 'The red room.', settings: own });
    await converse(store, 'none', { said: 'The green room.', settings: { systemPrompt: '' } });
    const { folder } = await begin();
    const said = (await readFlagged(folder)).map(({ context }) => context.messages);
    const everyday = await readScenarioFile(folder, 'everyday');
    const systems = Object.fromEntries(
      [...said, ...everyday.map(({ messages }) => messages)].map((messages) => {
        const system = messages.find(({ role }) => role === 'system')?.content;
        return [messages.at(-1)?.content, system];
      }),
    );
    expect(systems).toEqual({
      'The blue room.': 'Be brief.',
      'The red room.': 'Be kind.',
      'The green room.': undefined,
    });
  });

  it('reads nothing of a conversation that the person excluded', async () => {
    const { conversations } = night.store;
    await converse(night.store, 'a', { said: 'The blue room.', better: 'Yes.', at: NOW - HOUR });
    const settings = { type: 'settings', at: NOW, settings: {}, canLearn: false } as const;
    await conversations.exclusive('a', () => conversations.append('a', settings));
    const { folder } = await begin();
    expect(await readFlagged(folder)).toEqual([]);
    expect(await readScenarioFile(folder, 'everyday')).toEqual([]);
    expect(await readGists(folder)).toEqual([]);
  });

  it('counts the replies and flags since the night before', async () => {
    const { store, clock } = night;
    await converse(store, 'a', { said: 'The blue room.', better: 'Yes.' });
    const manifest = await commitNight(store);
    await clock.advance(HOUR);
    await converse(store, 'b', { said: 'The red room.', better: 'Yes.', at: NOW + HOUR });
    const { folder, plan: made } = await begin();
    expect(made.parent?.night).toBe(manifest.night);
    const journal = await openJournal(folder, clock);
    expect(resultOf(journal.lines, 'gather')).toMatchObject({
      flagged: 2,
      replies: 1,
      flagsNew: 1,
    });
    await journal.close();
  });

  it('keeps no secret, and counts earlier nights that passed', async () => {
    await commitNight(night.store, { passed: false });
    await commitNight(night.store);
    const { plan: made } = await begin();
    expect(made.passedNights).toEqual([2]);
    expect(JSON.stringify(made)).not.toContain('a secret');
  });

  it('draws the same from the same base and night', async () => {
    const other = await openNightStore();
    expect((await planNext(other.plan)).seed).toBe((await planNext(night.plan)).seed);
  });

  it('is not resumed when other weights became active since', async () => {
    const { ledger } = night.store;
    const { night: first } = await commitNight(night.store);
    await begin();
    await ledger.setHead({ inForce: [first] });
    expect(await findUnfinished(night.plan)).toBeUndefined();
    expect(await ledger.unfinished()).toEqual([]);
  });

  it('bears the day of the place where the person lives', () => {
    expect(localDay(NOW, 'UTC')).toBe('2026-03-03');
    expect(localDay(NOW, 'Asia/Tokyo')).toBe('2026-03-04');
  });
});
