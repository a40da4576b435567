// The whole store on a disk in memory: nothing of it reaches the disk of this machine, and power
// cuts are tried at every step.
import { existsSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { sha256 } from '../../src/base/hash.ts';
import { acquireLock } from '../../src/base/lock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { configSchema } from '../../src/config/schema.ts';
import { openConversationStore } from '../../src/conversation/conversation-store.ts';
import { foreignReply } from '../../src/conversation/record.ts';
import { openFlagStore } from '../../src/flag/flag-store.ts';
import { deleteSource, readReview, writeReview } from '../../src/ledger/deletion.ts';
import { type Ledger, openLedger } from '../../src/ledger/ledger.ts';
import { type Manifest, nightId } from '../../src/ledger/manifest.ts';
import { squash } from '../../src/ledger/squash.ts';
import { verifyLedger } from '../../src/ledger/verify.ts';
import { openMemory } from '../../src/memory/memory.ts';
import { readDelta, writeDelta } from '../../src/model/delta.ts';
import { FlagDraft } from '../../src/protocol/flag.ts';
import { FILE, NIGHT_FILES, readScenarioFile, writeScenarios } from '../../src/record/files.ts';
import { openJournal } from '../../src/record/journal.ts';
import { gatheredSchema } from '../../src/record/phase-result.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';
import { createFakeClock } from '../fakes/fake-clock.ts';
import { afterCrash, MemoryDisk, SURVIVALS } from '../fakes/memory-disk.ts';

// Many crashes are simulated.
vi.setConfig({ testTimeout: 60_000 });

const STORE = '/simulated/store';
const LEDGER = `${STORE}/ledger`;
const BASE = sha256('a base model');
const AT = '2026-11-22T03:00:00.000Z';
let ops: MemoryDisk;

beforeEach(async () => {
  ops = new MemoryDisk();
  await ops.makeFolder(STORE);
});
afterEach(() => expect(existsSync('/simulated')).toBe(false));

const openConversations = () =>
  openConversationStore({
    ...{ folder: STORE, logger: silentLogger, ops, clock: systemClock },
    forget: async () => undefined,
    ...{ openLogsMax: 1, conversationsMax: 10, conversationMessagesMax: 10 },
  });

const ledgerOn = (disk: MemoryDisk): Promise<Ledger> =>
  openLedger(LEDGER, { base: BASE, files: NIGHT_FILES, ops: disk });

const scenarioOf = (cluster: string) =>
  parseScenario({
    id: `from-${cluster}`,
    kind: 'listen',
    messages: [{ role: 'user', content: 'The round table.' }],
    chosen: 'The round table it is.',
    rejected: 'Who needs a table?',
    source: { origin: 'dream', cluster, domain: 'home' },
  });

/** What a night leaves, as its process would write it. */
async function addNight(ledger: Ledger, talk = 'talk-1'): Promise<Manifest> {
  const { number, parent } = await ledger.next();
  const night = nightId(number, '2026-11-22');
  const folder = await ledger.building(night);
  const journal = await openJournal(folder, systemClock);
  const gathered = { flagged: 1, heldBack: 0, everyday: 0, replies: 1, flagsNew: 1 };
  await journal.phase('gather', gatheredSchema, async () => gathered);
  await journal.close();
  await writeScenarios(folder, 'scenarios', [scenarioOf(talk), scenarioOf('other')]);
  const tensors = { 'layers.0.qProj': { shape: [2, 1], data: Float32Array.of(number, 1) } };
  const hash = await writeDelta(`${folder.path}/${FILE.delta}`, { baseHash: BASE, tensors }, ops);
  return ledger.commit({
    ...{ night, number, day: '2026-11-22', base: BASE, parent, seed: 1, data: [] },
    ...{ inForce: ledger.head().inForce, config: sha256('config'), software: {} },
    ...{ startedAt: AT, endedAt: AT, gate: { passed: true, reasons: [] } },
    delta: { file: FILE.delta, hash, relativeNorm: 0.01, steps: 3 },
  });
}

describe('on a disk in memory', () => {
  it('the lock, conversations, flags and memories are kept over a restart', async () => {
    const lock = await acquireLock(`${STORE}/lock`, { ops });
    await expect(acquireLock(`${STORE}/lock`, { ops })).rejects.toMatchObject({
      code: 'store-locked',
    });
    const store = await openConversations();
    const rest = { origin: 'live', title: '', settings: {}, canLearn: true, at: 1 } as const;
    for (const id of ['a', 'b']) {
      await store.create({ type: 'conversation', schemaVersion: 1, id, ...rest }, [
        { type: 'message', id: `${id}-m`, at: 2, text: `tea in ${id}` },
        foreignReply({ id: `${id}-r`, messageId: `${id}-m`, at: 3, text: 'Coffee.' }),
      ]);
    }
    const path = `${STORE}/flags.json`;
    const clock = createFakeClock(5000);
    const baseOf = async () => BASE;
    const flags = await openFlagStore({ path, clock, flagsMax: 3, baseOf, ops });
    const draft = FlagDraft.parse({ id: 'f', conversationId: 'a', replyId: 'a-r' });
    await flags.add(draft, await store.read('a'));
    const { memory: settings } = configSchema.parse({});
    const memory = await openMemory({ path: `${STORE}/memory.json`, clock, settings, ops });
    const turns = [{ id: 'a-m', role: 'user' as const, text: 'I feel tired of coffee.' }];
    await memory.remember([{ conversationId: 'a', restedAt: 3, turns, flags: [] }]);
    await store.close();
    await lock.release();

    const again = await openConversations();
    expect((await again.search({ query: 'TEA', limit: 5 })).hits).toHaveLength(2);
    for await (const piece of again.exportLog('a')) expect(piece).toContain('tea in a');
    await again.delete('b');
    expect(again.ids()).toEqual(['a']);
    expect((await openFlagStore({ path, clock, flagsMax: 3, baseOf, ops })).list()).toHaveLength(1);
    const remembered = await openMemory({ path: `${STORE}/memory.json`, clock, settings, ops });
    expect(remembered.list()).toHaveLength(1);
  });

  it('nights are committed, verified, reviewed, added up, and rid of a deleted talk', async () => {
    const ledger = await ledgerOn(ops);
    for (const talk of ['talk-1', 'talk-2', 'talk-3']) {
      const { night } = await addNight(ledger, talk);
      await ledger.setHead({ inForce: [...ledger.head().inForce, night] });
    }
    const [first = ''] = ledger.head().inForce;
    const change = { id: 'x', cluster: 'talk-1', at: AT, isDropped: true, chosen: null };
    await writeReview(ledger, first, [change]);
    expect(await readReview(ledger, first)).toEqual([change]);
    expect(await squash(ledger, 1)).toHaveLength(2);
    const [sum] = await ledger.deltaFiles(ledger.head().inForce);
    const { tensors } = await readDelta(sum?.path ?? '', ops);
    expect(tensors['layers.0.qProj']).toEqual({ shape: [2, 1], data: Float64Array.of(3, 2) });
    const left = (texts: ReadonlyMap<string, string>) => {
      const named = [...texts].filter(([, text]) => text.includes('"talk-1"'));
      const emptied = new Map(named.map(([name]) => [name, '']));
      return { texts: emptied, hasTrained: true, ids: new Set<string>() };
    };
    expect(await deleteSource(ledger, 'talk-1', { at: AT, left })).toEqual([first]);
    expect(await readScenarioFile(ledger.folderOf(first), 'scenarios')).toEqual([]);
    expect(await readReview(ledger, first)).toEqual([]);
    const again = await ledgerOn(ops);
    expect(await verifyLedger(again)).toMatchObject({ nights: 3, isSound: true });
  });

  it('a power cut at any step of a night shows it whole or not at all', async () => {
    const { night } = await addNight(await ledgerOn(ops));
    const seen = new Set<number>();
    for (let count = 0; count <= ops.steps.length; count++) {
      for (const survival of SURVIVALS) {
        const ledger = await ledgerOn(afterCrash(ops.steps, count, survival).disk);
        const { nights, findings } = await verifyLedger(ledger);
        expect(findings).toEqual([]);
        seen.add(nights);
        if (nights === 1) expect((await ledger.list())[0]?.night).toBe(night);
      }
    }
    expect([...seen].sort()).toEqual([0, 1]);
  });
});
