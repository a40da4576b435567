import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadVersion } from '../../src/model/versions.ts';
import { writeFlagged, writeScenarios } from '../../src/record/files.ts';
import {
  type Measured,
  type NightMeasures,
  readMeasures,
  readReplies,
  type Trained,
} from '../../src/record/phase-result.ts';
import { scenarioOf } from '../../src/scenario/moment.ts';
import { gateNight, measureNight } from '../../src/work/evidence.ts';
import { nightEngine } from '../../src/work/night-engine.ts';
import { trainNight } from '../../src/work/training.ts';
import { everydayTurn, moment, openSmallNight, type SmallNight, talksThat } from './small-night.ts';

// A small model trains and is measured.
vi.setConfig({ testTimeout: 60_000 });

const measuresOf = async ({ folder }: SmallNight): Promise<NightMeasures> => {
  const measures = await readMeasures(folder);
  if (measures === undefined) throw new Error('nothing was measured');
  return measures;
};

async function prepare(night: SmallNight, count: number): Promise<void> {
  const trained = Array.from({ length: count }, (_, i) => moment(i));
  await writeFlagged(night.folder, [...trained, moment(8, { isHeldBack: true })]);
  const placebo = { last: 'What shall we take along?', reply: 'No idea at all.' };
  const scenarios = trained.flatMap((one) => {
    const scenario = scenarioOf(one);
    return scenario === undefined ? [] : [{ ...scenario, placebo }];
  });
  await writeScenarios(night.folder, 'scenarios', scenarios);
}

describe('the evidence of a night', () => {
  let night: SmallNight;
  let trained: Trained;
  let measured: Measured;
  const told: (readonly [number, number | null])[] = [];
  beforeAll(async () => {
    night = await openSmallNight();
    await prepare(night, 3);
    const everyday = talksThat(true, 4).map((talk, i) => everydayTurn(i, talk));
    await writeScenarios(night.folder, 'everyday', everyday);
    trained = await trainNight(night, night, () => undefined);
    const tools = { ...night, withEngine: nightEngine(night.plan, night.model) };
    measured = await measureNight(night, tools, (done, total) => told.push([done, total]));
  }, 120_000);
  afterAll(() => night.close());

  it('is pairs under every arm, replies by kind, perplexity and attention', async () => {
    const { listening, replies, perplexity, attention } = await measuresOf(night);
    expect(measured).toEqual({ pairs: 3, replies: replies.holds.replies + 6, everyday: 10 });
    const arms = ['after', 'placebo', 'rule', 'told', 'untold'];
    expect(Object.keys(listening.shares).sort()).toEqual(arms);
    expect(listening.beyondPlacebo?.observations).toBe(3);
    expect(new Set(replies.kinds.map(({ kind }) => kind))).toEqual(
      new Set(['listen', 'push-back', 'invite', 'ordinary', 'everyday']),
    );
    expect(perplexity.base).toEqual(perplexity.parent);
    expect(perplexity.parent.ratio).toBeGreaterThan(0);
    expect(attention.map(({ feature }) => feature)).toEqual(['direction', 'own-idea']);
    expect(told.at(-1)).toEqual([5, 6]);
  });

  it('has every flagged moment answered by both weights', async () => {
    const replies = await readReplies(night.folder);
    expect(replies.map(({ flagId }) => flagId)).toEqual(['flag-8', 'flag-0', 'flag-1', 'flag-2']);
  });

  it('leaves a probe of the weights after the night, on what trained', async () => {
    const probe = JSON.parse(await readFile(join(night.folder.path, 'probe.json'), 'utf8'));
    const delta = join(night.folder.path, 'delta.safetensors');
    expect(probe.version).toBe((await loadVersion(night.model, [delta])).id);
    expect(probe.sequences).toHaveLength(3);
    for (const { ids, from, logprobs } of probe.sequences) {
      expect(logprobs).toHaveLength(ids.length - from);
      expect(logprobs.every((value: number) => value < 0)).toBe(true);
    }
  });

  it('is judged by every rule; three pairs prove nothing', async () => {
    const verdict = await gateNight(night, { ...trained, outputKl: 0.2, placeboOutputKl: 0.01 });
    expect(verdict.passed).toBe(false);
    const failed = verdict.reasons.filter(({ passes }) => !passes).map(({ rule }) => rule);
    expect(failed).toContain('listening');
    expect(failed).not.toContain('finite');
    expect(failed).not.toContain('only W_q moved');
    const beyond = verdict.reasons.find(({ rule }) => rule === 'beyond the placebo');
    expect(beyond?.text).toContain('it is not a placebo');
  });
});

describe('a night without placebo', () => {
  it('has none of its numbers, and is refused for that', async () => {
    const bare = await openSmallNight({ measure: { hasPlacebo: false, pairs: 2, heldReplies: 2 } });
    try {
      await prepare(bare, 1);
      const own = await trainNight(bare, bare, () => undefined);
      const withEngine = nightEngine(bare.plan, bare.model);
      await measureNight(bare, { ...bare, withEngine }, () => undefined);
      await expect(access(join(bare.folder.path, 'work/deaf.safetensors'))).rejects.toThrow();
      expect((await measuresOf(bare)).listening.beyondPlacebo).toBeNull();
      const { reasons } = await gateNight(bare, own);
      expect(reasons.find(({ rule }) => rule === 'beyond the placebo')).toMatchObject({
        passes: false,
        text: 'no placebo was trained',
      });
    } finally {
      await bare.close();
    }
  }, 120_000);
});
