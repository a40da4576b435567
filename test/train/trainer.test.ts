import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import { trainSection } from '../../src/config/section/learning.ts';
import { isLowRank, rankOf } from '../../src/model/delta.ts';
import { type Model, readModel } from '../../src/model/model.ts';
import type { Executor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { asLesson } from '../../src/teach/teacher.ts';
import type {
  Arm,
  StepRecord,
  TrainerOptions,
  TrainResult,
  TrainSettings,
} from '../../src/train/train-settings.ts';
import { Trainer } from '../../src/train/trainer.ts';
import { wordRenderer } from '../fakes/word-renderer.ts';
import { denseOf } from '../model/dense.ts';

// A model is trained.
vi.setConfig({ testTimeout: 60_000 });

const LLAMA = fileURLToPath(new URL('../fixtures/transformers/llama', import.meta.url));

let executor: Executor;
let model: Model;
let cacheDir: string;
let folder: string;

beforeAll(async () => {
  cacheDir = mkdtempSync(join(tmpdir(), 'attune-trainer-'));
  executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
  model = await readModel(LLAMA, { cacheDir });
});
afterAll(async () => {
  await executor.close();
  rmSync(cacheDir, { recursive: true });
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'attune-training-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function scenarios(count: number, from = 0): Scenario[] {
  return Array.from({ length: count }, (_, i) => {
    const random = createRandom(`scene:${from + i}`);
    const word = (): string => `w${random.int(100)}`;
    return parseScenario({
      id: `s${from + i}`,
      kind: 'listen',
      messages: [
        { role: 'user', content: `${word()} ${word()}` },
        { role: 'assistant', content: `idea ${word()}` },
        { role: 'user', content: `do ${word()} now` },
      ],
      spans: [{ feature: 'direction', message: 2, start: 0, end: 4 }],
      chosen: `yes ${word()} ${word()}`,
      source: { origin: 'suite', cluster: `c${from + i}`, domain: 'words' },
    });
  });
}

const SETTINGS: TrainSettings = {
  ...trainSection.parse({}),
  klPerStep: 0.01,
  warmupSteps: 1,
  batchSize: 2,
  holdsPerStep: 1,
  epochsMax: 2,
  checkpointSteps: 2,
  contextTokensMax: 60,
  replyTokensMax: 8,
  rank: 4,
};

type Changes = Partial<TrainerOptions> & Partial<Arm>;

/** One arm, from opening to closing. */
async function train(changes: Changes = {}): Promise<TrainResult> {
  const { lessons, holds, stepsMax, steps, minutesMax, rate, ...more } = changes;
  const { outputKlMin, resumePath, onStep, ...options } = more;
  const trainer = await Trainer.open({
    ...{ model, executor, renderer: wordRenderer(128), settings: SETTINGS, seed: 3 },
    ...options,
  });
  const arm: Arm = {
    lessons: lessons ?? scenarios(5).map(asLesson),
    holds: holds ?? scenarios(3, 50),
    ...{ stepsMax: stepsMax ?? 100, steps, minutesMax: minutesMax ?? 10, rate },
    ...(outputKlMin !== undefined && { outputKlMin }),
    ...(resumePath && { resumePath }),
    ...(onStep && { onStep }),
  };
  return trainer.train(arm).finally(() => trainer.close());
}

const withSettings = (changes: Partial<TrainSettings>): Changes => ({
  settings: { ...SETTINGS, ...changes },
});

describe('a training', () => {
  it('moves every query projection and nothing else, towards the teacher', async () => {
    const records: StepRecord[] = [];
    const onStep = (record: StepRecord): unknown => records.push(record);
    const result = await train({ onStep, ...withSettings({ epochsMax: 12 }) });
    expect(Object.keys(result.delta).sort()).toEqual(['layers.0.qProj', 'layers.1.qProj']);
    expect(result).toMatchObject({ stop: 'done', steps: 30, sources: 5, refused: [] });
    const [first, last] = [records.slice(0, 5), records.slice(-5)];
    const mean = (list: readonly StepRecord[]): number =>
      list.reduce((total, { teacherKl }) => total + teacherKl, 0) / list.length;
    expect(mean(last)).toBeLessThan(0.9 * mean(first));
    expect(records[0]?.holdKl).toBeCloseTo(0, 4);
    expect(last[0]?.holdKl).toBeGreaterThan(1e-5);
    expect(result.outputKl).toBeGreaterThan(1e-3);
  });

  it('learns of a crossed pair which of its two replies the teacher chooses', async () => {
    const crossed = scenarios(4).flatMap((scenario, at): Scenario[] => {
      const [yes, no] = [`take leek${at} now`, `take pea${at} now`];
      return [
        [yes, no],
        [no, yes],
      ].map(([chosen = '', rejected = ''], side) => ({
        ...scenario,
        id: `${scenario.id}-${side}`,
        messages: [
          ...scenario.messages.slice(0, -1),
          { role: 'user', content: `do ${chosen.split(' ')[1]}` },
        ],
        spans: [],
        chosen,
        rejected,
        pair: { id: scenario.id, side: side === 0 ? 'a' : 'b' },
        teacher: { way: 'restated', last: `again ${chosen} ${chosen}` },
      }));
    });
    const records: StepRecord[] = [];
    const onStep = (record: StepRecord): unknown => records.push(record);
    const settings = { batchSize: 4, epochsMax: 12, klPerStep: 0.02 };
    await train({ lessons: crossed, onStep, ...withSettings(settings) });
    const mean = (list: readonly StepRecord[]): number =>
      list.reduce((total, { teacherKl }) => total + teacherKl, 0) / list.length;
    expect(mean(records.slice(-4))).toBeLessThan(0.8 * mean(records.slice(0, 2)));
  });

  it.each(['apollo', 'adamw'] as const)(
    'with %s moves what is predicted by the KL it was given, whatever the size of the matrices',
    async (optimizer) => {
      const once = { optimizer, warmupSteps: 0, klPerStep: 0.002, batchSize: 5, rank: 8 };
      const small = await train({ ...withSettings(once), holds: [], stepsMax: 1 });
      const startFrom = Object.fromEntries(
        Object.entries((await train({ stepsMax: 0 })).weights).map(([name, tensor]) => [
          name,
          { ...tensor, data: Float32Array.from(tensor.data, (v) => 3 * v) },
        ]),
      );
      const large = await train({ ...withSettings(once), holds: [], startFrom, stepsMax: 1 });
      for (const { outputKl, movedShare } of [small, large]) {
        expect(outputKl).toBeGreaterThan(0.5 * once.klPerStep);
        expect(outputKl).toBeLessThan(2 * once.klPerStep);
        expect(movedShare).toBeGreaterThan(0);
      }
      expect(small.rate).not.toBeCloseTo(large.rate, 6);
    },
  );

  it('is kept in the fewest factors that lose less than a fiftieth of what it moved', async () => {
    const { delta, rank, lostShare, outputKl } = await train();
    expect(lostShare).toBeLessThan(0.02);
    expect(outputKl).toBeGreaterThan(0);
    const ranks = Object.values(delta).map((one) => (isLowRank(one) ? rankOf(one) : null));
    expect(ranks).toEqual([rank, rank]);
  });

  it('changes nothing in no step', async () => {
    const result = await train({ stepsMax: 0 });
    expect(result).toMatchObject({ steps: 0, movedShare: 0, outputKl: 0 });
    for (const tensor of Object.values(result.delta)) {
      expect((await denseOf(tensor)).every((value) => value === 0)).toBe(true);
    }
  });

  it.each(['apollo', 'adamw'] as const)(
    'with %s is the same to the last bit whole and in two halves',
    async (optimizer) => {
      const settings = { ...SETTINGS, optimizer };
      const whole = await train({ settings });
      const resumePath = join(folder, 'checkpoint.safetensors');
      const stop = new AbortController();
      const onStep = ({ step }: StepRecord): void => {
        if (step === 3) stop.abort();
      };
      const half = await train({ settings, resumePath, signal: stop.signal, onStep });
      expect(half).toMatchObject({ stop: 'aborted', steps: 3 });
      const rest = await train({ settings, resumePath });
      expect(rest.steps).toBe(whole.steps);
      expect(rest.delta).toEqual(whole.delta);
    },
  );

  it('resumes from the last checkpoint when it was killed between two', async () => {
    const resumePath = join(folder, 'checkpoint.safetensors');
    const whole = await train();
    const onStep = ({ step }: StepRecord): void => {
      if (step === 3) throw new Error('killed');
    };
    await expect(train({ resumePath, onStep })).rejects.toThrow('killed');
    const steps: number[] = [];
    const rest = await train({ resumePath, onStep: ({ step }) => void steps.push(step) });
    expect(steps[0]).toBe(3);
    expect(rest.delta).toEqual(whole.delta);
  });

  it('does not depend on how many contexts it could keep', async () => {
    const none = await train(withSettings({ contextCacheBytesMax: 0 }));
    expect(none.delta).toEqual((await train()).delta);
  });

  it('repeats with the same seed and differs with another', async () => {
    const once = await train();
    expect((await train()).delta).toEqual(once.delta);
    expect((await train({ seed: 4 })).delta).not.toEqual(once.delta);
  });

  it('begins its second arm where the first began', async () => {
    const trainer = await Trainer.open({
      ...{ model, executor, renderer: wordRenderer(128), settings: SETTINGS, seed: 3 },
    });
    const lessons = scenarios(5).map(asLesson);
    const arm = { lessons, holds: scenarios(3, 50), stepsMax: 4, minutesMax: 10 };
    const first = await trainer.train(arm);
    expect((await trainer.train(arm)).delta).toEqual(first.delta);
    const fixed = await trainer.train({ ...arm, rate: 0.004 });
    expect(fixed.rate).toBe(0.004);
    expect(fixed.delta).not.toEqual(first.delta);
    await trainer.close();
  });

  it('halves its rate after a step at which the holds had moved too far', async () => {
    const records: StepRecord[] = [];
    const onStep = (record: StepRecord): unknown => records.push(record);
    const klPerStep = 1e-5;
    const { rate } = await train({
      ...withSettings({ klPerStep, warmupSteps: 0, epochsMax: 40 }),
      onStep,
    });
    const far = records.filter(({ holdKl }) => (holdKl ?? 0) > 8 * klPerStep).length;
    expect(far).toBeGreaterThan(0);
    expect(rate).toBeCloseTo((records[0]?.rate ?? 0) / 2 ** far, 9);
  });

  it('moves as far as it must: its delta is made longer, and is otherwise the same', async () => {
    const short = await train();
    const outputKlMin = 4 * short.outputKl;
    const long = await train({ outputKlMin });
    expect(long.outputKl).toBeGreaterThan(0.8 * outputKlMin);
    expect(long.outputKl).toBeLessThan(1.25 * outputKlMin);
    expect((await train({ outputKlMin: short.outputKl / 2 })).delta).toEqual(short.delta);
    expect(long.movedShare / short.movedShare).toBeGreaterThan(1.5);
  });

  it('ends on each budget', async () => {
    expect((await train({ stepsMax: 2 })).stop).toBe('steps');
    // A placebo has fewer lessons, and exactly as many steps.
    expect((await train({ lessons: scenarios(2).map(asLesson), steps: 4 })).steps).toBe(4);
    let now = 0;
    const clock = {
      now: () => now,
      monotonicMs: () => (now += 20_000),
      setTimeout: () => ({ cancel: () => {} }),
    };
    expect((await train({ clock, minutesMax: 1 })).stop).toBe('minutes');
  });

  it('waits before each micro-step, and an abort leaves at the next one', async () => {
    const stop = new AbortController();
    let waits = 0;
    const beforeMicroStep = async (): Promise<void> => {
      waits++;
      if (waits === 13) stop.abort();
    };
    const result = await train({ rate: 0.01, signal: stop.signal, beforeMicroStep });
    expect(result).toMatchObject({ stop: 'aborted', steps: 1 });
    expect(waits).toBe(13);
  });

  it('refuses a checkpoint of another training', async () => {
    const resumePath = join(folder, 'checkpoint.safetensors');
    await train({ resumePath });
    expect(existsSync(resumePath)).toBe(true);
    const other = train({ resumePath, seed: 99 });
    await expect(other).rejects.toMatchObject({ code: 'checkpoint-damaged' });
  });

  it('leaves out what is too long, with the reason, and refuses when nothing is left', async () => {
    const [one] = scenarios(1);
    const messages = [{ role: 'user' as const, content: 'w '.repeat(90).trim() }];
    const spans = [{ feature: 'direction' as const, message: 0, start: 0, end: 3 }];
    const long = asLesson({ ...(one as Scenario), id: 'long', messages, spans });
    const result = await train({ lessons: [...scenarios(3).map(asLesson), long] });
    expect(result.refused).toMatchObject([{ id: 'long' }]);
    const nothing = train({ lessons: [long] });
    await expect(nothing).rejects.toMatchObject({ code: 'training-impossible' });
  });

  it('learns the beginning of a reply that is longer than what trains', async () => {
    const long = { ...(scenarios(1)[0] as Scenario), chosen: 'w '.repeat(12).trim() };
    expect(await train({ lessons: [asLesson(long)] })).toMatchObject({ refused: [] });
  });

  it('names the scenario that is not finite', async () => {
    const { weights } = await train({ stepsMax: 0 });
    const startFrom = Object.fromEntries(
      Object.entries(weights).map(([name, tensor]) => [
        name,
        { ...tensor, data: Float32Array.from(tensor.data, () => Number.NaN) },
      ]),
    );
    await expect(train({ startFrom })).rejects.toMatchObject({
      code: 'training-diverged',
      facts: { scenario: expect.stringMatching(/^s\d$/) },
    });
  });
});
