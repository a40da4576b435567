import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadVersion } from '../../src/model/versions.ts';
import { readScenarioFile, writeFlagged, writeScenarios } from '../../src/record/files.ts';
import { scenarioOf } from '../../src/record/moment.ts';
import { type Measured, readMeasures, type Trained } from '../../src/record/phase-result.ts';
import { gateNight, measureNight } from '../../src/work/evidence.ts';
import { readNightSet } from '../../src/work/measuring-set.ts';
import { nightEngine } from '../../src/work/night-engine.ts';
import { trainNight } from '../../src/work/training.ts';
import { everydayTurn, moment, openSmallNight, type SmallNight, talksThat } from './small-night.ts';

// A small model dreams, trains or is measured.
vi.setConfig({ testTimeout: 60_000 });

let night: SmallNight;
beforeAll(async () => {
  night = await openSmallNight();
  const trained = [moment(0), moment(1), moment(2)];
  await writeFlagged(night.folder, [...trained, moment(3, { isHeldBack: true })]);
  await writeScenarios(
    night.folder,
    'scenarios',
    trained.flatMap((one) => {
      const scenario = scenarioOf(one);
      const placebo = { last: 'What shall we take along?', reply: 'No idea at all.' };
      return scenario === undefined ? [] : [{ ...scenario, placebo }];
    }),
  );
  const talks = [...talksThat(true, 4), ...talksThat(false, 2)];
  const everyday = talks.map((talk, i) => everydayTurn(i, talk));
  await writeScenarios(night.folder, 'everyday', everyday);
});
afterAll(() => night.close());

describe('what a night measures on', () => {
  it('is the tests, held-back flags and crossed moments of talks that measure', async () => {
    const set = await readNightSet(night);
    expect(set.heldBack.map(({ id }) => id)).toEqual(['moment-3']);
    const kinds = set.scenarios.filter(({ source }) => source.origin === 'suite');
    expect(kinds.length).toBe(8);
    const measuring = new Set(talksThat(true, 4));
    expect(set.own.length).toBeGreaterThan(0);
    expect(set.own.every(({ source }) => measuring.has(source.cluster))).toBe(true);
    expect(set.own.every(({ source }) => source.origin === 'log')).toBe(true);
    const quiet = set.everyday.filter(({ source }) => source.origin === 'log');
    expect(quiet.map(({ source }) => source.cluster)).toEqual(talksThat(true, 4));
    expect(set.flagged.map(({ id }) => id)).toEqual([0, 1, 2, 3].map((i) => `moment-${i}`));
  });

  it('has no talk that trained, and no test that a flag nearly copies', async () => {
    const tests = await readNightSet(night);
    const copied = tests.scenarios.find(({ source }) => source.origin === 'suite');
    const own = tests.own[0];
    if (copied === undefined || own === undefined) throw new Error('nothing to copy');
    const before = await readScenarioFile(night.folder, 'scenarios');
    await writeScenarios(night.folder, 'scenarios', [
      ...before,
      { ...copied, id: 'copied' },
      { ...own, id: 'trained' },
    ]);
    const { scenarios, own: left } = await readNightSet(night);
    await writeScenarios(night.folder, 'scenarios', before);
    expect(scenarios.map(({ id }) => id)).not.toContain(copied.id);
    expect(left.map(({ source }) => source.cluster)).not.toContain(own.source.cluster);
  });
});

describe('the evidence of a night', () => {
  let trained: Trained;
  let measured: Measured;
  const told: (number | null)[][] = [];
  beforeAll(async () => {
    trained = await trainNight(night, night, () => undefined);
    const tools = { ...night, withEngine: nightEngine(night.plan, night.model) };
    measured = await measureNight(night, tools, (...progress) =>
      told.push(progress.slice(0, 2) as []),
    );
  }, 60_000);
  const read = async (name: string) =>
    JSON.parse(await readFile(join(night.folder.path, name), 'utf8'));

  it('is measures of both weights and their placebo, with the margins of all flags', async () => {
    const { measures, replies, flagged } = await readMeasures(night.folder);
    expect(measures.examples).toBe(measured.examples);
    expect(measures.realMinusDeaf).toBeDefined();
    expect(measures.retention.base).toEqual(measures.retention.parent);
    expect(flagged.map(({ id }) => id)).toEqual([0, 1, 2, 3].map((i) => `moment-${i}`));
    expect(replies).toBeNull();
    expect(measured.heldBackFlags).toBe(1);
    expect(told).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((done) => [done, 10]));
  });

  it('keeps what was crossed of the person’s own talk, so that a deletion finds it', async () => {
    const own = await readScenarioFile(night.folder, 'own');
    expect(own.length).toBeGreaterThan(0);
    const { measures } = await readMeasures(night.folder);
    const scored = measures.scores.map(({ id }) => id);
    expect(own.every(({ id }) => scored.includes(id))).toBe(true);
  });

  it('leaves a probe of the weights after the night, on what trained', async () => {
    const probe = await read('probe.json');
    const delta = join(night.folder.path, 'delta.safetensors');
    expect(probe.version).toBe((await loadVersion(night.model, [delta])).id);
    expect(probe.sequences).toHaveLength(3);
    for (const { ids, from, logprobs } of probe.sequences) {
      expect(logprobs).toHaveLength(ids.length - from);
      expect(logprobs.every((value: number) => value < 0)).toBe(true);
    }
  });

  it('is judged by every rule; a night so small is refused for its sources', async () => {
    const verdict = await gateNight(night, trained);
    expect(verdict.passed).toBe(false);
    const failed = verdict.reasons.filter(({ passes }) => !passes).map(({ rule }) => rule);
    expect(failed).toContain('sources');
    expect(failed).not.toContain('finite');
    expect(failed).not.toContain('only W_q moved');
  });

  it('of a night without placebo has none of it, and is refused for that', async () => {
    const bare = await openSmallNight({ measure: { hasPlacebo: false } });
    try {
      await writeFlagged(bare.folder, [moment(0)]);
      await writeScenarios(
        bare.folder,
        'scenarios',
        [scenarioOf(moment(0))].flatMap((s) => s ?? []),
      );
      const own = await trainNight(bare, bare, () => undefined);
      const withEngine = nightEngine(bare.plan, bare.model);
      await measureNight(bare, { ...bare, withEngine }, () => undefined);
      await expect(access(join(bare.folder.path, 'work/deaf.safetensors'))).rejects.toThrow();
      const { reasons } = await gateNight(bare, own);
      expect(reasons.find(({ rule }) => rule === 'real − placebo')).toMatchObject({
        passes: false,
        text: 'no placebo was trained',
      });
    } finally {
      await bare.close();
    }
  }, 60_000);
});
