// Changing a night's dreams on a real ledger, over the daemon's own routes.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { deleteSource, readReview } from '../../src/ledger/deletion.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { reviewed } from '../../src/morning/review.ts';
import { ReviewView } from '../../src/protocol/summary.ts';
import { writeDrafts, writeScenarios } from '../../src/record/files.ts';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import type { TestDaemon } from '../server/open-test-daemon.ts';
import { type Morning, NIGHT, openMorning, postJson } from './committed-night.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const scenario = (id: string, cluster: string, pair?: Scenario['pair']): Scenario =>
  parseScenario({
    id,
    kind: 'listen',
    messages: [{ role: 'user', content: `Water the ${id}.` }],
    spans: [{ feature: 'direction', message: 0, quote: 'Water' }],
    chosen: `I water the ${id}.`,
    rejected: 'Plants like music.',
    source: { origin: id === 'flag' ? 'flag' : 'dream', cluster, domain: 'home' },
    ...(pair === undefined ? {} : { pair }),
  });

const SCENARIOS = [
  scenario('flag', 'talk-1'),
  scenario('fern', 'talk-1'),
  scenario('rose', 'talk-2', { id: 'p', side: 'a' }),
  scenario('moss', 'talk-2', { id: 'p', side: 'b' }),
];

let morning: Morning;
let ledger: Ledger;
let daemon: TestDaemon;

beforeEach(async () => {
  morning = await openMorning();
  ({ ledger } = morning);
  await morning.commit({
    async prepare(building) {
      await writeScenarios(building, 'scenarios', SCENARIOS);
      await writeDrafts(building, []);
    },
  });
  daemon = await morning.openDaemon();
});
afterEach(async () => {
  await daemon.end();
  await morning.end();
});

const url = (what: string): string => `${daemon.url}/api/nights/${NIGHT}/${what}`;
const read = async (): Promise<ReviewView> =>
  ReviewView.parse(await (await fetch(url('review'))).json());
const change = (body: object, what = 'review') => postJson(url(what), body);

describe('a review', () => {
  it('shows the dreams and not the flags, which are the person’s own', async () => {
    const { dreams, canChange } = await read();
    expect(dreams.map(({ id, pairId }) => [id, pairId])).toEqual([
      ['fern', null],
      ['rose', 'p'],
      ['moss', 'p'],
    ]);
    expect(canChange).toBe(true);
  });

  it('drops a pair whole, rewords one side alone, and keeps one change a dream', async () => {
    await change({ dreamId: 'rose', chosen: 'The rose has water.' });
    await change({ dreamId: 'moss', isDropped: true });
    await change({ dreamId: 'moss', isDropped: true });
    const changes = await readReview(ledger, NIGHT);
    expect(changes.map(({ id, isDropped, chosen }) => [id, isDropped, chosen])).toEqual([
      ['rose', true, 'The rose has water.'],
      ['moss', true, null],
    ]);
    const left = reviewed(SCENARIOS, changes);
    expect(left.scenarios.map(({ id }) => id)).toEqual(['flag', 'fern']);
    expect(left).toMatchObject({ dropped: 2, reworded: 0 });
  });

  it('gives the new words to training, and every other scenario as it was', async () => {
    await change({ dreamId: 'fern', chosen: '  The fern has water. ' });
    const { scenarios, dropped, reworded } = reviewed(SCENARIOS, await readReview(ledger, NIGHT));
    expect(scenarios[1]?.chosen).toBe('The fern has water.');
    expect([scenarios[0], ...scenarios.slice(2)]).toEqual([SCENARIOS[0], ...SCENARIOS.slice(2)]);
    expect([dropped, reworded]).toEqual([0, 1]);
  });

  it('gives both sides of a crossed pair the new words of one, each with what is right in it', () => {
    const crossed = (['rose', 'moss'] as const).map((id, at) => ({
      ...scenario(id, 'talk-2', { id: 'p', side: at === 0 ? 'a' : 'b' }),
      rejected: `I water the ${id === 'rose' ? 'moss' : 'rose'}.`,
      facts: { needs: [[id]] },
      teacher: { way: 'restated' as const, last: `As I said: "Water" Water the ${id}.` },
    }));
    const worded = (id: string, chosen: string) => ({
      ...{ id, cluster: 'talk-2', at: '2026-03-04T00:00:00.000Z', isDropped: false, chosen },
    });
    const wordsOf = (...changes: ReturnType<typeof worded>[]) => {
      const { scenarios, dropped, reworded } = reviewed(crossed, changes);
      const words = scenarios.map(({ id, chosen, rejected }) => [id, chosen, rejected]);
      return { words, dropped, reworded };
    };
    expect(wordsOf(worded('moss', 'First the moss.'))).toEqual({
      words: [
        ['moss', 'First the moss.', 'First the rose.'],
        ['rose', 'First the rose.', 'First the moss.'],
      ],
      ...{ dropped: 0, reworded: 1 },
    });
    // Words that cannot be exchanged teach alone, and so do those of both sides.
    expect(wordsOf(worded('moss', 'Gladly.')).words).toEqual([['moss', 'Gladly.', undefined]]);
    expect(wordsOf(worded('rose', 'The rose.'), worded('moss', 'The moss.')).words).toEqual([
      ['rose', 'The rose.', undefined],
      ['moss', 'The moss.', undefined],
    ]);
  });

  it.each([
    [400, { dreamId: 'fern', words: 'x' }],
    [400, { dreamId: 'fern', chosen: '' }],
    [404, { dreamId: 'flag', isDropped: true }],
    [404, { dreamId: 'nothing', isDropped: true }],
    [409, { dreamId: 'fern', chosen: ' Plants like music. ' }],
  ])('answers %i to %j and changes nothing', async (status, body) => {
    expect((await change(body)).status).toBe(status);
    expect(await readReview(ledger, NIGHT)).toEqual([]);
  });

  it('is closed once the night is in force, and a night unchanged is not trained again', async () => {
    expect((await change({}, 'retrain')).status).toBe(409);
    await ledger.setHead({
      nights: { [NIGHT]: { status: 'in-force', at: '2026-03-03T07:00:00.000Z', why: 'approved' } },
    });
    expect((await read()).canChange).toBe(false);
    expect((await change({ dreamId: 'fern', isDropped: true })).status).toBe(409);
  });

  it('loses the words of a change with the talk that the dream came from', async () => {
    await change({ dreamId: 'fern', chosen: 'The fern has water.' });
    await change({ dreamId: 'rose', isDropped: true });
    const at = '2026-03-04T00:00:00.000Z';
    await deleteSource(ledger, 'talk-1', {
      at,
      left: () => ({ texts: new Map(), hasTrained: false, ids: new Set() }),
    });
    expect((await readReview(ledger, NIGHT)).map(({ id }) => id)).toEqual(['rose', 'moss']);
  });
});
