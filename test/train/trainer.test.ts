import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import { trainSection } from '../../src/config/section/learning.ts';
import { type Model, readModel } from '../../src/model/model.ts';
import type { Executor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { normOf } from '../../src/train/difference.ts';
import type { StepRecord, TrainOptions, TrainSettings } from '../../src/train/train-settings.ts';
import { trainDelta } from '../../src/train/trainer.ts';
import { wordRenderer } from '../fakes/word-renderer.ts';

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
      rejected: `no ${word()}`,
      source: { origin: 'suite', cluster: `c${from + i}`, domain: 'words' },
    });
  });
}

const SETTINGS: TrainSettings = {
  ...trainSection.parse({}),
  learningRate: 0.01,
  retentionWeight: 2,
  warmupSteps: 1,
  batchSize: 2,
  epochsMax: 2,
  checkpointSteps: 2,
  evaluationSteps: 3,
  patience: 100,
  replaysPerStep: 1,
  replayTokens: 4,
  contextTokensMax: 32,
  replyTokensMax: 8,
  rank: 4,
  contextRefreshSteps: 3,
};

const options = (changes: Partial<TrainOptions> = {}): TrainOptions => ({
  model,
  executor,
  renderer: wordRenderer(128),
  scenarios: scenarios(5),
  replays: scenarios(3, 50),
  settings: SETTINGS,
  seed: 3,
  ...changes,
});

const withSettings = (changes: Partial<TrainSettings>): Partial<TrainOptions> => ({
  settings: { ...SETTINGS, ...changes },
});

describe('a training', () => {
  it('moves every query projection and nothing else, and prefers what it was taught', async () => {
    const records: StepRecord[] = [];
    const result = await trainDelta(
      options({ onStep: (r) => records.push(r), ...withSettings({ epochsMax: 6 }) }),
    );
    expect(Object.keys(result.delta).sort()).toEqual(['layers.0.qProj', 'layers.1.qProj']);
    expect(result.stop).toBe('done');
    expect(result.steps).toBe(15);
    expect(result.sources).toBe(5);
    expect(result.movedShare).toBeGreaterThan(0.01);
    const [first, last] = [records[0], records.at(-1)] as [StepRecord, StepRecord];
    expect(last.terms.margin).toBeGreaterThan(first.terms.margin as number);
    expect(Object.keys(first.terms).sort()).toEqual(
      ['chosen', 'guard', 'loss', 'margin', 'preference', 'retention'].sort(),
    );
    expect(first.terms.retention).toBeCloseTo(0, 4);
    expect(last.terms.retention).toBeGreaterThan(1e-5);
  });

  it('changes nothing at a learning rate of zero', async () => {
    const result = await trainDelta(options(withSettings({ learningRate: 0 })));
    expect(normOf(result.delta)).toBe(0);
    expect(result.movedShare).toBe(0);
  });

  it.each(['apollo', 'apollo-mini', 'adamw'] as const)(
    'with %s moves by the learning rate as a share of the matrices, whatever their size',
    async (optimizer) => {
      const rate = 0.05;
      const once = { optimizer, learningRate: rate, warmupSteps: 0, stepsMax: 1, rank: 8 };
      const { movedShare } = await trainDelta(options(withSettings(once)));
      // The first step of AdamW is ±1 an entry; APOLLO's factors spread around it.
      expect(movedShare / rate).toBeGreaterThan(optimizer === 'adamw' ? 0.95 : 0.5);
      expect(movedShare / rate).toBeLessThan(optimizer === 'adamw' ? 1.01 : 2);
      const large = Object.fromEntries(
        Object.entries((await trainDelta(options(withSettings({ learningRate: 0 })))).weights).map(
          ([name, t]) => [name, { ...t, data: Float32Array.from(t.data, (v) => 3 * v) }],
        ),
      );
      const moved = await trainDelta(options({ ...withSettings(once), startFrom: large }));
      expect(moved.movedShare / rate).toBeGreaterThan(0.5);
      expect(moved.movedShare / rate).toBeLessThan(2);
    },
  );

  it.each(['apollo', 'apollo-mini', 'adamw'] as const)(
    'with %s is the same to the last bit whole and in two halves',
    async (optimizer) => {
      const heldOut = scenarios(2, 90);
      const settings = { ...SETTINGS, optimizer, projectionSteps: 2 };
      const whole = await trainDelta(options({ settings, heldOut }));
      const resumePath = join(folder, 'checkpoint.safetensors');
      const stop = new AbortController();
      const half = await trainDelta(
        options({
          settings,
          heldOut,
          resumePath,
          signal: stop.signal,
          onStep: ({ step }) => {
            if (step === 3) stop.abort();
          },
        }),
      );
      expect(half.stop).toBe('aborted');
      expect(half.steps).toBe(3);
      const rest = await trainDelta(options({ settings, heldOut, resumePath }));
      expect(rest.steps).toBe(whole.steps);
      expect(rest.delta).toEqual(whole.delta);
    },
  );

  it('resumes from the last checkpoint when it was killed between two', async () => {
    const resumePath = join(folder, 'checkpoint.safetensors');
    const whole = await trainDelta(options());
    const killed = trainDelta(
      options({
        resumePath,
        onStep: ({ step }) => {
          if (step === 3) throw new Error('killed');
        },
      }),
    );
    await expect(killed).rejects.toThrow('killed');
    const steps: number[] = [];
    const rest = await trainDelta(options({ resumePath, onStep: ({ step }) => steps.push(step) }));
    expect(steps[0]).toBe(3);
    expect(rest.delta).toEqual(whole.delta);
  });

  it('does not depend on how many contexts it could keep', async () => {
    const kept = await trainDelta(options());
    const none = await trainDelta(options(withSettings({ contextCacheBytesMax: 0 })));
    expect(none.delta).toEqual(kept.delta);
  });

  it('repeats with the same seed and differs with another', async () => {
    const once = await trainDelta(options());
    expect((await trainDelta(options())).delta).toEqual(once.delta);
    expect((await trainDelta(options({ seed: 4 }))).delta).not.toEqual(once.delta);
  });

  it('leaves layers and heads outside its settings alone', async () => {
    const oneLayer = await trainDelta(options(withSettings({ layers: [1, 2] })));
    expect(Object.keys(oneLayer.delta)).toEqual(['layers.1.qProj']);
    const oneHead = await trainDelta(options(withSettings({ heads: [2] })));
    const data = oneHead.delta['layers.0.qProj']?.data as Float32Array; // (32, 32), 8 rows a head
    expect(data.subarray(0, 512).every((v) => v === 0)).toBe(true);
    expect(data.subarray(512, 768).some((v) => v !== 0)).toBe(true);
  });

  it('ends on each budget', async () => {
    const stop = async (changes: Partial<TrainSettings>) =>
      (await trainDelta(options(withSettings(changes)))).stop;
    expect(await stop({ stepsMax: 2 })).toBe('steps');
    expect(await stop({ tokensMax: 30 })).toBe('tokens');
    let now = 0;
    const clock = {
      now: () => now,
      monotonicMs: () => (now += 20_000),
      setTimeout: () => ({ cancel: () => {} }),
    };
    expect((await trainDelta(options({ clock, ...withSettings({ minutesMax: 2 }) }))).stop).toBe(
      'minutes',
    );
  });

  it('ends when held-out scenarios make no progress, with the last that were above the start', async () => {
    const heldOut = scenarios(4, 30).map((s) => ({
      ...s,
      chosen: s.rejected as string,
      rejected: s.chosen,
    }));
    const result = await trainDelta(
      options({
        scenarios: scenarios(4, 30),
        heldOut,
        ...withSettings({ evaluationSteps: 1, patience: 2, epochsMax: 20 }),
      }),
    );
    expect(result.stop).toBe('no-progress');
    expect(result.keptStep).toBeLessThanOrEqual(result.steps - 2);
    expect(result.heldOutMargin).toBeGreaterThanOrEqual(result.heldOutMarginBefore as number);
  });

  it('waits before each micro-step, and an abort leaves at the next one', async () => {
    const stop = new AbortController();
    let waits = 0;
    const result = await trainDelta(
      options({
        signal: stop.signal,
        beforeMicroStep: async () => {
          waits++;
          if (waits === 5) stop.abort();
        },
      }),
    );
    expect(result).toMatchObject({ stop: 'aborted', steps: 1 });
    expect(waits).toBe(5);
  });

  it('refuses a checkpoint of another training', async () => {
    const resumePath = join(folder, 'checkpoint.safetensors');
    await trainDelta(options({ resumePath }));
    expect(existsSync(resumePath)).toBe(true);
    const other = trainDelta(options({ resumePath, seed: 99 }));
    await expect(other).rejects.toMatchObject({ code: 'checkpoint-damaged' });
  });

  it('leaves out what is too long, with the reason, and refuses when nothing is left', async () => {
    const long = { ...(scenarios(1)[0] as Scenario), id: 'long', chosen: 'w '.repeat(60).trim() };
    const result = await trainDelta(options({ scenarios: [...scenarios(3), long] }));
    expect(result.refused).toHaveLength(1);
    expect(result.refused[0]?.reason).toContain('61 tokens');
    const nothing = trainDelta(options({ scenarios: [long] }));
    await expect(nothing).rejects.toMatchObject({ code: 'training-impossible' });
  });

  it('is refused layers and heads that the model does not have, with its numbers', async () => {
    const { numHiddenLayers: layers, numAttentionHeads: heads } = model.config;
    const cases: [Partial<TrainSettings>, object, string][] = [
      [{ layers: [7, 9] }, { layers }, `which has ${layers}`],
      [{ layers: [1, 1] }, { layers }, '[1, 1] is no range of layers'],
      [{ heads: [0, 42] }, { heads, head: 42 }, 'there is no head 42'],
    ];
    for (const [settings, facts, text] of cases) {
      const message = expect.stringContaining(text);
      await expect(trainDelta(options(withSettings(settings)))).rejects.toMatchObject({
        ...{ code: 'config-invalid', facts, message },
      });
    }
  });

  it('names the scenario that is not finite', async () => {
    const startFrom = (await trainDelta(options(withSettings({ learningRate: 0 })))).weights;
    const bad = Object.fromEntries(
      Object.entries(startFrom).map(([name, tensor]) => [
        name,
        { ...tensor, data: Float32Array.from(tensor.data, () => Number.NaN) },
      ]),
    );
    await expect(trainDelta(options({ startFrom: bad }))).rejects.toMatchObject({
      code: 'training-diverged',
      facts: { scenario: expect.stringMatching(/^s\d$/) },
    });
  });
});
