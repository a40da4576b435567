import { beforeEach, describe, expect, it } from 'vitest';
import { type ReviewChange, writeReview } from '../../src/ledger/deletion.ts';
import type { Manifest } from '../../src/ledger/manifest.ts';
import { beginAgain } from '../../src/night/again.ts';
import { findUnfinished } from '../../src/night/prepare.ts';
import { readScenarioFile, writeScenarios } from '../../src/record/files.ts';
import { openJournal, resultOf } from '../../src/record/journal.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';
import { commitNight, type NightStore, openNightStore } from './night-store.ts';

const dream = (id: string) =>
  parseScenario({
    ...{ id, kind: 'listen', chosen: `The ${id} is here.`, rejected: `Who needs a ${id}?` },
    messages: [{ role: 'user', content: `Where is the ${id}?` }],
    source: { origin: 'dream', cluster: `talk-${id}`, domain: 'home' },
  });
const change = (id: string, rest: Partial<ReviewChange> = {}): ReviewChange => ({
  ...{ id, cluster: `talk-${id}`, at: '2026-03-04T07:00:00.000Z', isDropped: false, chosen: null },
  ...rest,
});

let night: NightStore;
let manifest: Manifest;
beforeEach(async () => {
  night = await openNightStore();
  const scenarios = ['fern', 'lamp', 'boat'].map(dream);
  manifest = await commitNight(night.store, { passed: false, scenarios });
  await setStatus('refused');
});

const setStatus = (status: 'refused' | 'reverted') =>
  night.store.ledger.setHead({
    nights: { [manifest.night]: { status, at: '2026-03-04T06:00:00.000Z', why: 'a test' } },
  });
const review = (...changes: ReviewChange[]): Promise<void> =>
  writeReview(night.store.ledger, manifest.night, changes);
const again = () => beginAgain(manifest.night, night.plan);

describe('a night that is trained again', () => {
  it('trains on the same without what was dropped, with the new words, from the same seed', async () => {
    await review(change('lamp', { isDropped: true }), change('boat', { chosen: 'It is at sea.' }));
    const { plan, folder } = await again();
    expect(plan).toMatchObject({
      ...{ number: 2, seed: manifest.seed, parent: { night: manifest.night } },
      review: { of: manifest.night, dropped: 1, reworded: 1 },
    });
    const scenarios = await readScenarioFile(folder, 'scenarios');
    const replies = scenarios.map(({ id, chosen }) => [id, chosen]);
    expect(replies).toEqual([
      ['fern', 'The fern is here.'],
      ['boat', 'It is at sea.'],
    ]);
  });

  it('begins behind the dreams: gathering, dreaming and admission have their lines', async () => {
    await review(change('lamp', { isDropped: true }));
    const { folder } = await again();
    const journal = await openJournal(folder, night.clock);
    expect(journal.lines.map(({ phase }) => phase)).toEqual(['gather', 'dream', 'admit']);
    expect(resultOf(journal.lines, 'gather')).toMatchObject({ replies: 9 });
    expect(resultOf(journal.lines, 'admit')).toMatchObject({
      ...{ training: 2, flags: 0, admitted: [{ name: 'listen', count: 2 }] },
      refused: [
        { name: 'too easy', count: 4 },
        { name: 'dropped by the person', count: 1 },
      ],
    });
    await journal.close();
  });

  it('is found again when it is cut off', async () => {
    await review(change('lamp', { isDropped: true }));
    const { plan } = await again();
    expect((await findUnfinished(night.plan))?.plan).toEqual(plan);
  });
});

describe('a night is not trained again', () => {
  const refusal = (why: string) => ({
    code: 'review-refused',
    message: expect.stringContaining(why),
  });

  it('where nothing was changed', async () => {
    await expect(again()).rejects.toMatchObject(refusal('nothing of it was dropped or reworded'));
    expect(await night.store.ledger.unfinished()).toEqual([]);
  });

  it('where it was decided already', async () => {
    await review(change('lamp', { isDropped: true }));
    await setStatus('reverted');
    await expect(again()).rejects.toMatchObject(refusal('it is reverted'));
  });

  it('where other weights are active by now', async () => {
    await review(change('lamp', { isDropped: true }));
    const { night: other } = await commitNight(night.store);
    await night.store.ledger.setHead({ inForce: [other] });
    await expect(again()).rejects.toMatchObject(refusal('other weights'));
  });

  it('where texts of it were deleted', async () => {
    await review(change('lamp', { isDropped: true }));
    const folder = night.store.ledger.folderOf(manifest.night);
    await writeScenarios(folder, 'scenarios', [dream('fern')]);
    await expect(again()).rejects.toMatchObject(refusal('texts of it were deleted'));
  });

  it('where there is no such night', async () => {
    const unknown = beginAgain('n0009-2026-03-03', night.plan);
    await expect(unknown).rejects.toMatchObject({ code: 'night-unknown' });
  });
});
