// What is taken back while a real night trains, and after it: the night ends, the next learns without
// it, and one that learnt it is trained again without it, with real weights.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { listNights } from '../../src/morning/list.ts';
import type { NightProgress } from '../../src/protocol/night.ts';
import { readFlagged, readScenarioFile } from '../../src/record/files.ts';
import { TestClient } from '../server/test-client.ts';
import { flagMoment, type Loop, openLoop } from '../system/open-loop.ts';

let loop: Loop;
let client: TestClient;
beforeAll(async () => {
  loop = await openLoop();
  client = await TestClient.open(loop.daemon.port);
  await client.hello();
  client.send({ type: 'event-subscribe', topics: ['nights'] });
  const directions = ['Book the quince room.', 'Call Walnut at nine.', 'Bring the cherry cake.'];
  for (const [at, direction] of directions.entries()) {
    await flagMoment(client, { id: `${at}`, direction });
  }
}, 120_000);
afterAll(async () => {
  client?.kill();
  await loop?.close();
});

const trains = ({ phase, done }: NightProgress): boolean => phase === 'train' && done > 0;

it('ends while it trains, and the next learns from what is left', async () => {
  const { daemon, nights } = loop;
  const first = await nights.run();
  await client.next('night-progress', trains, 150_000);
  await daemon.conversations.change('talk-0', { canLearn: false });
  await nights.ended();
  expect(await nights.ledger.unfinished()).toEqual([]);
  expect(await nights.ledger.list()).toEqual([]);
  const end = client.all('night-end').at(-1);
  const reasons = [`${first} was ended: a conversation that it learns from was excluded.`];
  expect(end).toMatchObject({ verdict: 'failed', reasons });

  const second = await nights.run();
  await nights.ended();
  const flagged = await readFlagged(nights.ledger.folderOf(second));
  expect(flagged.map(({ flagId }) => flagId)).toEqual(['flag-1', 'flag-2']);
  expect(daemon.store.flags.get('flag-0').usedBy).toEqual([]);
}, 300_000);

it('is trained again without what was taken back from it', async () => {
  const { daemon, engine, nights } = loop;
  const { ledger } = nights;
  const [night] = (await ledger.list()).map((one) => one.night);
  if (night === undefined) throw new Error('there is no night');
  const at = new Date().toISOString();
  await nights.swapTo([night]);
  await ledger.setHead({ nights: { [night]: { status: 'in-force', at, why: 'a test' } } });
  const { version } = await engine.describe();
  await daemon.conversations.withdrawFlag('flag-1');
  expect((await listNights(ledger)).map(({ remedy }) => remedy)).toEqual(['retrain']);
  const again = await nights.retrain(night);
  await nights.ended();
  const manifest = await ledger.read(again);
  expect(manifest).toMatchObject({ inForce: [], review: { of: night } });
  expect(manifest.delta?.steps).toBeGreaterThan(0);
  const scenarios = await readScenarioFile(ledger.folderOf(again), 'scenarios');
  expect(JSON.stringify(scenarios)).not.toContain('Walnut');
  expect((await nights.verify()).isSound).toBe(true);
  // The gate of so small a night says no; a person may go there all the same.
  expect(await nights.swapTo([again])).toMatchObject({ from: version });
  await expect(nights.swapTo([night])).rejects.toMatchObject({ code: 'swap-refused' });
}, 300_000);
