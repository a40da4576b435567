import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readDelta } from '../../src/model/delta.ts';
import { isQProj } from '../../src/model/weight-names.ts';
import { writeScenarios } from '../../src/record/files.ts';
import { scenarioOf } from '../../src/scenario/moment.ts';
import type { Scenario } from '../../src/scenario/scenario.ts';
import { ChatPriority } from '../../src/work/chat-priority.ts';
import { trainNight } from '../../src/work/training.ts';
import { everydayTurn, moment, openSmallNight, type SmallNight, talksThat } from './small-night.ts';

// A small model dreams, trains or is measured.
vi.setConfig({ testTimeout: 60_000 });

const nights: SmallNight[] = [];
afterAll(async () => {
  for (const night of nights) await night.close();
});

/** A night with four scenarios, and a talk to replay. */
async function open(measure: object = {}): Promise<SmallNight> {
  const night = await openSmallNight({ measure });
  nights.push(night);
  const scenarios = [0, 1, 2, 3].map((i) => {
    const scenario = scenarioOf(moment(i)) as Scenario;
    return { ...scenario, placebo: { last: `What of parcel ${i}?`, reply: 'No idea at all.' } };
  });
  await writeScenarios(night.folder, 'scenarios', scenarios);
  const everyday = talksThat(false, 2).map((talk, i) => everydayTurn(i, talk));
  await writeScenarios(night.folder, 'everyday', everyday);
  return night;
}

const file = ({ folder }: SmallNight, name: string): string => join(folder.path, name);
const quiet = (): void => undefined;

describe('the training of a night', () => {
  let night: SmallNight;
  let told: [number, number | null][];
  let trained: Awaited<ReturnType<typeof trainNight>>;
  beforeAll(async () => {
    night = await open();
    told = [];
    trained = await trainNight(night, night, (done, total) => told.push([done, total]));
  }, 60_000);

  it('leaves a delta of the query projections alone, and a placebo that differs', async () => {
    const delta = await readDelta(file(night, 'delta.safetensors'));
    expect(Object.keys(delta.tensors).every(isQProj)).toBe(true);
    expect(delta.metadata).toEqual({ night: night.plan.night, arm: 'real' });
    const placebo = await readDelta(file(night, 'work/deaf.safetensors'));
    expect([trained.deltaHash, trained.deafHash]).toEqual([delta.hash, placebo.hash]);
    expect(placebo.hash).not.toBe(delta.hash);
  });

  it('records each of its own steps, and how far both trainings are', async () => {
    const lines = (await readFile(file(night, 'steps.jsonl'), 'utf8')).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line).step)).toEqual([1, 2]);
    expect(told).toEqual([1, 2, 3, 4].map((done) => [done, 4]));
    expect(trained).toMatchObject({ steps: 2, examples: 4, sources: 4, refused: 0, stop: 'done' });
    const report = JSON.parse(await readFile(file(night, 'training.json'), 'utf8'));
    expect(report).toEqual({ refused: [] });
    expect(trained.outputKl).toBeGreaterThan(0);
    expect(trained.placeboOutputKl).toBeGreaterThan(0);
  });

  it('trains no placebo where none is wanted, and the same delta', async () => {
    const bare = await open({ hasPlacebo: false });
    const alone = await trainNight(bare, bare, quiet);
    expect(alone).toMatchObject({ deafHash: null, deafRelativeNorm: null });
    expect(await readdir(file(bare, 'work'))).not.toContain('deaf.safetensors');
    const [one, other] = [
      await readDelta(file(night, 'delta.safetensors')),
      await readDelta(file(bare, 'delta.safetensors')),
    ];
    expect(other.tensors).toEqual(one.tensors);
  }, 60_000);

  it('that was stopped goes on after its last step, to the same delta', async () => {
    const cut = await open({ hasPlacebo: false });
    const stopped = trainNight(cut, cut, () => cut.abort.abort(new Error('stopped')));
    await expect(stopped).rejects.toMatchObject({ code: 'night-failed' });
    const priority = new ChatPriority(new AbortController().signal);
    const resumed = await trainNight(cut, { ...cut, priority }, quiet);
    expect(resumed.steps).toBe(2);
    expect((await readDelta(file(cut, 'delta.safetensors'))).tensors).toEqual(
      (await readDelta(file(night, 'delta.safetensors'))).tensors,
    );
  }, 60_000);
});
