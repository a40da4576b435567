import { beforeEach, describe, expect, it } from 'vitest';
import { createFakeClock } from '../../src/base/fake-clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { configSchema } from '../../src/config/schema.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { MemoryDisk } from '../fakes/memory-disk.ts';
import { BASE, commitNight, converse, NOW } from '../night/night-store.ts';

let ops: MemoryDisk;
let clock: ReturnType<typeof createFakeClock>;
beforeEach(() => {
  ops = new MemoryDisk();
  clock = createFakeClock(NOW);
});

const open = (folder = '/store', base: string | Promise<string> = BASE): Promise<Store> =>
  openStore(folder, { config: configSchema.parse({}), clock, logger: silentLogger, base, ops });

describe('the store of a person', () => {
  it('is open once its base model is known', async () => {
    let name: (base: string) => void = () => undefined;
    const opening = open('/store', new Promise<string>((resolve) => (name = resolve)));
    name(BASE);
    const store = await opening;
    expect([store.ledger.base, store.conversations.size]).toEqual([BASE, 0]);
    await store.close();
  });

  it('is not opened when the base model cannot be, or is another', async () => {
    const store = await open();
    await commitNight(store);
    await store.ledger.setHead({ inForce: [] });
    await store.close();
    const failed = Promise.reject(new Error('no model'));
    await expect(open('/store', failed)).rejects.toThrow('no model');
    await expect(open('/store', 'c'.repeat(64))).rejects.toMatchObject({ code: 'ledger-foreign' });
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
    store.beforeForget(() => Promise.reject(new Error('a crash')));
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
