// A person looks through a night's dreams, changes some, and has it trained again.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { deleteFromReviews, readReview } from '../../src/ledger/deletion.ts';
import type { NightId } from '../../src/ledger/manifest.ts';
import { changeDream, reviewView } from '../../src/morning/review.ts';
import type { ReviewRequest } from '../../src/protocol/summary.ts';
import { readScenarioFile, writeScenarios } from '../../src/record/files.ts';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { asLesson } from '../../src/teach/teacher.ts';
import { TestClient } from '../server/test-client.ts';
import { flagMoment, type Loop, openLoop } from './open-loop.ts';

// Whole nights are run.
vi.setConfig({ testTimeout: 60_000 });

let loop: Loop;
let night: NightId;

beforeAll(async () => {
  loop = await openLoop({ night: { dreamsMax: 16, swap: 'review' } });
  const client = await TestClient.open(loop.daemon.port);
  await client.hello();
  for (const [id, direction] of ['Book the blue room.', 'Call Mira at nine.'].entries()) {
    await flagMoment(client, { id: String(id), direction });
  }
  client.kill();
  night = await loop.nights.run();
  await loop.nights.ended();
  // A random model carries nothing out, told or not: what it dreamt found no teacher.
  const folder = loop.nights.ledger.folderOf(night);
  const lessons = await readScenarioFile(folder, 'scenarios');
  await writeScenarios(folder, 'scenarios', [...lessons, ...['red', 'low', 'old'].map(dreamOf)]);
}, 200_000);
afterAll(() => loop?.close());

/** A lesson that was dreamt, as the admit phase writes it. */
function dreamOf(word: string): Scenario {
  const direction = `Take the ${word} one.`;
  return asLesson(
    parseScenario({
      id: `dream-${word}`,
      kind: 'listen',
      messages: [
        { role: 'user', content: 'Which of the boats is ours?' },
        { role: 'assistant', content: 'The new one.' },
        { role: 'user', content: direction },
      ],
      spans: [{ feature: 'direction', message: 2, start: 0, end: direction.length }],
      chosen: `The ${word} one it is.`,
      rejected: 'The new one it is.',
      source: { origin: 'dream', cluster: 'talk-0', domain: 'boats' },
    }),
  );
}

const change = (request: ReviewRequest) =>
  changeDream(loop.nights.ledger, night, { request, at: '2026-03-03T03:03:03.000Z' });

it('shows every dream that trained, and is not trained again while nothing was changed', async () => {
  const view = await reviewView(loop.nights.ledger, night);
  expect(view.canChange).toBe(true);
  expect(view.changes).toBe(0);
  expect(view.dreams.length).toBeGreaterThan(1);
  expect(view.dreams.map(({ number }) => number)).toEqual(view.dreams.map((_, i) => i + 1));
  await expect(loop.nights.retrain(night)).rejects.toMatchObject({ code: 'review-refused' });
  expect(await loop.nights.ledger.unfinished()).toEqual([]);
});

it('refuses words that cannot be a reply, and dreams that are not there', async () => {
  const [dream] = (await reviewView(loop.nights.ledger, night)).dreams;
  const dreamId = dream?.id ?? '';
  const same = { dreamId, chosen: dream?.rejected ?? '' };
  await expect(change(same)).rejects.toMatchObject({ code: 'review-refused' });
  await expect(change({ dreamId, chosen: '   ' })).rejects.toMatchObject({
    code: 'review-refused',
  });
  await expect(change({ dreamId: 'none' })).rejects.toMatchObject({ code: 'night-unknown' });
  expect(await readReview(loop.nights.ledger, night)).toEqual([]);
});

it('takes a dropped dream in again, and a reworded reply back', async () => {
  const before = await reviewView(loop.nights.ledger, night);
  const dreamId = before.dreams[0]?.id ?? '';
  expect((await change({ dreamId, isDropped: true })).changes).toBeGreaterThan(0);
  expect((await change({ dreamId, isDropped: false })).changes).toBe(0);
  await change({ dreamId, chosen: 'As you say.' });
  expect(await change({ dreamId, chosen: null })).toEqual(before);
});

it('trains the night again without what was dropped and with the new words', async () => {
  const { ledger } = loop.nights;
  const { dreams } = await reviewView(ledger, night);
  const first = dreams[0];
  const second = dreams.find(({ id, pairId }) => id !== first?.id && pairId !== first?.pairId);
  const other = second ?? dreams.find(({ id }) => id !== first?.id);
  await change({ dreamId: first?.id ?? '', isDropped: true });
  const view = await change({ dreamId: other?.id ?? '', chosen: 'I heard you. It is done.' });
  const dropped = view.dreams.filter(({ isDropped }) => isDropped);
  for (const { pairId } of dropped) {
    if (pairId === null) continue;
    expect(dropped.filter((one) => one.pairId === pairId)).toHaveLength(2);
  }
  const all = (await readScenarioFile(ledger.folderOf(night), 'scenarios')).length;
  const original = await readFile(join(ledger.folderOf(night).path, 'scenarios.jsonl'), 'utf8');

  const again = await loop.nights.retrain(night);
  await loop.nights.ended();
  const [old, manifest] = [await ledger.read(night), await ledger.read(again)];
  const reworded = view.dreams.filter((one) => one.isReworded && !one.isDropped).length;
  expect(manifest.review).toEqual({ of: night, dropped: dropped.length, reworded });
  expect(manifest.seed).toBe(old.seed);
  expect(manifest.data).toHaveLength(all - dropped.length);
  const scenarios = await readScenarioFile(ledger.folderOf(again), 'scenarios');
  expect(scenarios.map(({ id }) => id)).not.toContain(first?.id);
  const worded = scenarios.find(({ id }) => id === other?.id);
  if (reworded > 0) expect(worded?.chosen).toBe('I heard you. It is done.');
  expect(worded?.teacher?.last).toContain('I heard you. It is done.');
  expect(manifest.delta?.hash).not.toBe(old.delta?.hash);
  expect(ledger.statusOf(old)).toBe('rejected');
  expect(ledger.head().nights[night]?.why).toContain(`trained again as ${again}`);
  expect(await readFile(join(ledger.folderOf(night).path, 'scenarios.jsonl'), 'utf8')).toBe(
    original,
  );
  // Nothing but the dreams that this test has put there.
  const { findings } = (await loop.nights.verify()).ledgers[0] ?? {};
  expect(findings?.map(({ text }) => text)).toEqual(['scenarios.jsonl was changed']);
}, 120_000);

it('changes nothing of a night that is in use', async () => {
  await loop.nights.swapTo([night]);
  await loop.nights.ledger.setHead({
    nights: { [night]: { status: 'in-force', at: '2026-03-03T03:03:03.000Z', why: 'a test' } },
  });
  const [dream] = (await reviewView(loop.nights.ledger, night)).dreams;
  const drop = { dreamId: dream?.id ?? '', isDropped: true };
  await expect(change(drop)).rejects.toMatchObject({ code: 'review-refused' });
  await expect(loop.nights.retrain(night)).rejects.toMatchObject({ code: 'review-refused' });
});

it('loses the words of a change with the talk that the dream came from', async () => {
  const { ledger } = loop.nights;
  const kept = await readReview(ledger, night);
  expect(kept.length).toBeGreaterThan(0);
  for (const cluster of new Set(kept.map((one) => one.cluster))) {
    await deleteFromReviews(ledger, (one) => one.cluster === cluster);
  }
  expect(await readReview(ledger, night)).toEqual([]);
});
