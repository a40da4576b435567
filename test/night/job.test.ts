import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { installationFolder } from '../../src/config/load.ts';
import { writeReview } from '../../src/ledger/deletion.ts';
import type { Manifest } from '../../src/ledger/manifest.ts';
import { beginAgain } from '../../src/night/again.ts';
import { writeJob } from '../../src/night/job.ts';
import { readScenarioFile, writeScenarios } from '../../src/record/files.ts';
import { parseScenarios } from '../../src/scenario/file.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';
import { commitNight, type NightStore, openNightStore } from './night-store.ts';

const turn = (id: string, more: object = {}) =>
  parseScenario({
    ...{ id, kind: 'listen', chosen: `The ${id} is here.`, ...more },
    messages: [{ role: 'user', content: `Where is the ${id}?` }],
    source: { origin: 'dream', cluster: `talk-${id}`, domain: 'home' },
  });
const LESSONS = ['fern', 'lamp'].map((id) =>
  turn(id, {
    teacher: { way: 'restated', last: `Again: where is the ${id}?` },
    placebo: { last: 'Again: good morning.', reply: 'Good morning.' },
  }),
);

let night: NightStore;
let manifest: Manifest;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-job-'));
  night = await openNightStore();
  manifest = await commitNight(night.store, { passed: false, scenarios: LESSONS });
  const own = night.store.ledger.folderOf(manifest.night);
  await writeScenarios(own, 'holds', [turn('boat')]);
  await night.store.ledger.setHead({
    nights: { [manifest.night]: { status: 'refused', at: '2026-03-04T06:00:00.000Z', why: 'x' } },
  });
});
afterEach(() => rm(folder, { recursive: true }));

const write = () => {
  const programs = join(installationFolder, 'experiments', 'reference');
  return writeJob(night.store.ledger, manifest.night, {
    ...{ folder, programs, config: night.plan.config },
  });
};
const bring = () => beginAgain(manifest.night, night.plan, folder);
const read = (name: string): Promise<string> => readFile(join(folder, name), 'utf8');

describe('a job', () => {
  it('has the lessons with their teachers, what is held, and all that trains it', async () => {
    expect(await write()).toEqual({ folder, lessons: 2, holds: 1 });
    const lessons = parseScenarios(await read('lessons.jsonl'), 'lessons');
    expect(lessons).toEqual(LESSONS);
    expect(parseScenarios(await read('holds.jsonl'), 'holds').map(({ id }) => id)).toEqual([
      'boat',
    ]);
    expect(JSON.parse(await read('job.json'))).toMatchObject({
      ...{ night: manifest.night, base: manifest.base, seed: manifest.seed },
      ...{ steps: 1, batch: 8, kl: 0.06, rank: 16, replyTokens: 48 },
    });
    for (const name of ['job.py', 'night.py', 'README.md']) {
      expect((await read(name)).length).toBeGreaterThan(500);
    }
  });

  it('comes back as a night of the same lessons, though nothing of them was changed', async () => {
    await write();
    const { plan, folder: own } = await bring();
    expect(plan).toMatchObject({ job: folder, seed: manifest.seed, number: 2 });
    expect(await readScenarioFile(own, 'scenarios')).toEqual(LESSONS);
  });

  it.each([
    ['the lessons were changed since', /changed since the job was written/, 'drop'],
    ['it is of another night', /is of n0009/, 'other'],
    ['there is none', /there is no job/, 'none'],
  ])('does not come back where %s', async (_, message, what) => {
    await write();
    if (what === 'drop') {
      const drop = { id: 'lamp', cluster: 'talk-lamp', isDropped: true, chosen: null };
      const at = '2026-03-04T07:00:00.000Z';
      await writeReview(night.store.ledger, manifest.night, [{ ...drop, at }]);
    }
    if (what === 'other') {
      const job = { ...JSON.parse(await read('job.json')), night: 'n0009-2026-03-04' };
      await writeFile(join(folder, 'job.json'), JSON.stringify(job));
    }
    if (what === 'none') await rm(join(folder, 'job.json'));
    await expect(bring()).rejects.toMatchObject({
      ...{ code: 'review-refused', message: expect.stringMatching(message) },
    });
  });

  it('is not written of a night that has no lessons', async () => {
    const { night: bare } = await commitNight(night.store);
    const programs = join(installationFolder, 'experiments', 'reference');
    const to = { folder, programs, config: night.plan.config };
    await expect(writeJob(night.store.ledger, bare, to)).rejects.toMatchObject({
      code: 'training-impossible',
    });
  });
});
