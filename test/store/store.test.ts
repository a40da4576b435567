import { beforeEach, describe, expect, it } from 'vitest';
import { writeFileAtomic, writeJsonAtomic } from '../../src/base/atomic-file.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { configSchema } from '../../src/config/schema.ts';
import { verifyLedgers } from '../../src/ledger/verify.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { createFakeClock } from '../fakes/fake-clock.ts';
import { MemoryDisk } from '../fakes/memory-disk.ts';
import { BASE, commitNight, converse, NOW } from '../night/night-store.ts';

const OTHER = 'c'.repeat(64);
let ops: MemoryDisk;
let clock: ReturnType<typeof createFakeClock>;
beforeEach(() => {
  ops = new MemoryDisk();
  clock = createFakeClock(NOW);
});

const defaults = configSchema.parse({});

const open = (folder = '/store', base: string | Promise<string> = BASE): Promise<Store> =>
  openStore(folder, {
    ...{ memory: defaults.memory, limits: defaults.server.limits },
    ...{ clock, logger: silentLogger, base, ops },
  });

describe('the store of a person', () => {
  it('is open once its base model is known', async () => {
    let name: (base: string) => void = () => undefined;
    const opening = open('/store', new Promise<string>((resolve) => (name = resolve)));
    name(BASE);
    const store = await opening;
    expect([store.ledger.base, store.conversations.size]).toEqual([BASE, 0]);
    await store.close();
  });

  it('is not opened when the base model cannot be', async () => {
    await expect(open('/store', Promise.reject(new Error('no model')))).rejects.toThrow('no model');
  });

  it('keeps what was said and marked when another base model speaks, and the nights of each', async () => {
    const store = await open();
    await converse(store, 'a', { said: 'The blue room.', better: 'Yes.' });
    const { night } = await commitNight(store);
    await store.ledger.setHead({ inForce: [night] });
    await store.close();

    const other = await open('/store', OTHER);
    expect([other.conversations.ids(), other.flags.list().length]).toEqual([['a'], 1]);
    expect([await other.ledger.list(), other.ledger.head().inForce]).toEqual([[], []]);
    expect(other.ledgers.map(({ base }) => base).sort()).toEqual([BASE, OTHER].sort());
    await other.close();

    const again = await open();
    expect(again.ledger.head().inForce).toEqual([night]);
    await again.close();
  });

  it('forgets a conversation in the nights of every base model', async () => {
    const store = await open();
    await converse(store, 'a', { said: 'The walnut room.', better: 'The walnut room it is.' });
    const scenario = parseScenario({
      ...{ id: 'flag-a', kind: 'listen', chosen: 'The walnut room it is.', rejected: 'No.' },
      messages: [{ role: 'user', content: 'The walnut room.' }],
      source: { origin: 'flag', cluster: 'a', domain: 'talk' },
    });
    const { night } = await commitNight(store, { scenarios: [scenario] });
    const { path } = await store.ledger.building('n0002-2026-03-04');
    await writeFileAtomic(`${path}/flagged.json`, '[{"conversationId":"a","word":"walnut"}]', ops);
    await store.close();

    const other = await open('/store', OTHER);
    const holding = () => [...ops.names.keys()].filter((one) => ops.text(one)?.includes('walnut'));
    expect(holding().filter((one) => one.includes(BASE)).length).toBeGreaterThan(1);
    await other.conversations.delete('a');
    expect(holding()).toEqual([]);
    const { isSound, ledgers } = await verifyLedgers(other.ledgers);
    expect(isSound).toBe(true);
    const found = ledgers.flatMap(({ base, findings }) => findings.map((one) => [base, one.night]));
    expect(found).toContainEqual([BASE, night]);
    expect(found.filter(([base]) => base === OTHER)).toEqual([]);
    await other.close();
  });

  it('names the base model of a night that used a flag, where an earlier release did not', async () => {
    const store = await open();
    await converse(store, 'walnut', { said: 'The blue room.', better: 'Yes.' });
    const { night } = await commitNight(store);
    await store.close();
    const { data } = JSON.parse(ops.text('/store/flags.json') ?? '');
    data.flags[0].usedBy = [night, 'n0009-2020-01-01'];
    await writeJsonAtomic('/store/flags.json', { schemaVersion: 1, data }, ops);

    const other = await open('/store', OTHER);
    expect(other.flags.list()[0]?.usedBy).toEqual([
      { night, base: BASE },
      { night: 'n0009-2020-01-01', base: OTHER },
    ]);
    expect(ops.text('/store/flags.json.v1')).toContain('walnut');
    await other.conversations.delete('walnut');
    expect(ops.text('/store/flags.json.v1')).toBeUndefined();
    await other.close();
  });

  it('stands beside that of another person', async () => {
    const [one, other] = await Promise.all([open('/one'), open('/other')]);
    await converse(one, 'a', { said: 'The blue room.', better: 'Yes.' });
    expect([one.conversations.size, other.conversations.size]).toEqual([1, 0]);
    expect([one.flags.list().length, other.flags.list().length]).toEqual([1, 0]);
    await one.close();
    await other.close();
  });

  it('finishes a deletion that was cut short when it is opened', async () => {
    const store = await open();
    await converse(store, 'a', { said: 'I promise to bring the jam.', better: 'Thank you.' });
    const turns = [{ id: 'a-m', role: 'user' as const, text: 'I promise to bring the jam.' }];
    await store.memory.remember([{ conversationId: 'a', restedAt: NOW, turns, flags: [] }]);
    store.consent.watch({ letGo: () => Promise.reject(new Error('a crash')) });
    const pending = await store.conversations.delete('a');
    expect([pending?.reason, store.flags.list().length]).toEqual(['a crash', 1]);
    await store.close();

    const again = await open();
    expect(again.conversations.ids()).toEqual([]);
    expect([again.flags.list(), again.memory.list()]).toEqual([[], []]);
    await again.close();
    await (await open()).close();
  });

  it('writes the list of conversations every half minute', async () => {
    const store = await open();
    await converse(store, 'a', { said: 'The blue room.' });
    expect(await ops.stat('/store/catalogue.json')).toBeUndefined();
    await clock.advance(30_000);
    await expect.poll(() => ops.stat('/store/catalogue.json')).toBeDefined();
    await store.close();
    expect(clock.pendingTimers).toBe(0);
  });
});
