import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import {
  readDrafts,
  readScenarioFile,
  writeDrafts,
  writeFlagged,
  writeScenarios,
} from '../../src/record/files.ts';
import { measuresForgetting } from '../../src/scenario/moment.ts';
import { NOT_TAUGHT } from '../../src/teach/teach.ts';
import { admitNight, dreamNight } from '../../src/work/dreaming.ts';
import { nightEngine, type WithEngine } from '../../src/work/night-engine.ts';
import { everydayTurn, moment, openSmallNight, type SmallNight, talksThat } from './small-night.ts';

// A small model dreams, trains or is measured.
vi.setConfig({ testTimeout: 60_000 });

let night: SmallNight;
beforeAll(async () => {
  night = await openSmallNight();
});
afterAll(() => night.close());

const noEngine: WithEngine = () => Promise.reject(new Error('no engine is needed here'));
const tools = (withEngine: WithEngine) => ({ ...night, clock: systemClock, withEngine });
const quiet = (): void => undefined;

describe('dreaming', () => {
  it('of nothing that was flagged or remembered writes no dream and opens no engine', async () => {
    const dreamt = await dreamNight(night, tools(noEngine), quiet);
    expect(dreamt).toMatchObject({ written: [], tokens: 0, stop: 'nothing to dream of' });
    expect(await readDrafts(night.folder)).toEqual([]);
  });

  it('never draws on what is held back, in flags or in everyday talk', async () => {
    const talks = [...talksThat(true, 4), ...talksThat(false, 4)];
    const turns = talks.map((talk, i) => everydayTurn(i, talk));
    await writeScenarios(night.folder, 'everyday', turns);
    await writeFlagged(night.folder, [moment(0), moment(1, { isHeldBack: true })]);
    const told: number[] = [];
    const tell = (done: number): unknown => told.push(done);
    const dreamt = await dreamNight(night, tools(nightEngine(night.plan, night.model)), tell);
    const drafts = await readDrafts(night.folder);
    const clusters = drafts.map(({ seed }) => seed.cluster);
    expect(clusters).not.toContain('talk-1');
    const measured = new Set(turns.filter(measuresForgetting).map(({ source }) => source.cluster));
    expect(clusters.filter((cluster) => measured.has(cluster))).toEqual([]);
    expect(dreamt.written.reduce((total, { count }) => total + count, 0)).toBe(drafts.length);
    expect(dreamt.rehearsals).toBe((await readScenarioFile(night.folder, 'rehearsal')).length);
    expect(dreamt.tokens).toBeGreaterThan(0);
    expect(told.length).toBeGreaterThan(0);
  }, 60_000);

  it('ends with what stopped the night', async () => {
    const stopped = await openSmallNight();
    try {
      await writeFlagged(stopped.folder, [moment(0)]);
      stopped.abort.abort(new Error('stopped'));
      const withEngine = nightEngine(stopped.plan, stopped.model);
      const dreaming = dreamNight(stopped, { ...stopped, clock: systemClock, withEngine }, quiet);
      await expect(dreaming).rejects.toThrow('stopped');
    } finally {
      await stopped.close();
    }
  });
});

describe('admitting', () => {
  const admit = () => admitNight(night, tools(nightEngine(night.plan, night.model)), quiet);

  it('makes a lesson of each flag with better words, and gives it a placebo', async () => {
    await writeFlagged(night.folder, [moment(0), moment(1, { isHeldBack: true })]);
    await writeDrafts(night.folder, []);
    const admitted = await admit();
    expect(admitted).toMatchObject({ training: 1, flags: 1, heldBack: 1, sampledShare: null });
    expect(admitted.teachers).toEqual([{ name: 'better', count: 1 }]);
    const [lesson] = await readScenarioFile(night.folder, 'scenarios');
    expect(lesson).toMatchObject({ id: 'moment-0', chosen: 'Wrapping parcel 0 now.' });
    expect(lesson?.teacher?.last).toContain('Wrapping parcel 0 now.');
    expect(lesson?.placebo?.last).toContain('What shall we take along tomorrow?');
  }, 60_000);

  it('counts a flag that nobody can teach, and holds what was marked as good', async () => {
    const { chosen: _, ...open } = moment(2);
    const good = moment(3, { kind: 'good', rejected: undefined, chosen: 'Parcel 3 it is.' });
    await writeFlagged(night.folder, [open, good]);
    const admitted = await admit();
    // A random model carries nothing out, told or not.
    expect(admitted).toMatchObject({ training: 0, flags: 0, holds: 1 });
    expect(admitted.refused).toEqual([{ name: NOT_TAUGHT.nobody, count: 1 }]);
    const [held] = await readScenarioFile(night.folder, 'holds');
    expect(held).toMatchObject({ id: 'moment-3', chosen: 'Parcel 3 it is.' });
    expect(held?.teacher).toBeUndefined();
  }, 60_000);
});
