// A whole training on the real TensorFlow against the same one on ONNX Runtime.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { trainSection } from '../../src/config/section/learning.ts';
import { type Model, readModel } from '../../src/model/model.ts';
import type { Executor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { createTensorFlowExecutor } from '../../src/runtime/tensorflow.ts';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { asLesson } from '../../src/teach/teacher.ts';
import type { StepRecord, TrainResult } from '../../src/train/train-settings.ts';
import { Trainer } from '../../src/train/trainer.ts';
import { wordRenderer } from '../fakes/word-renderer.ts';
import { denseOf } from '../model/dense.ts';
import { FIXTURES } from '../model/runner.ts';
import { whyNoTensorFlow } from './tensorflow-at-hand.ts';

const unavailable = await whyNoTensorFlow();
const reason = unavailable === undefined ? '' : ` (${unavailable})`;

const scenarios: Scenario[] = Array.from({ length: 4 }, (_, i) =>
  parseScenario({
    id: `s${i}`,
    kind: 'listen',
    messages: [{ role: 'user', content: `w${i} w${i + 10} do w${i + 20} now` }],
    spans: [{ feature: 'direction', message: 0, quote: `do w${i + 20}` }],
    chosen: `yes w${i + 30} w${i + 40}`,
    source: { origin: 'suite', cluster: `c${i}`, domain: 'words' },
  }),
);

interface Training {
  readonly result: TrainResult;
  readonly records: readonly StepRecord[];
}

async function train(executor: Executor, model: Model): Promise<Training> {
  const records: StepRecord[] = [];
  const trainer = await Trainer.open({
    ...{ model, executor, renderer: wordRenderer(128), seed: 5 },
    settings: {
      ...trainSection.parse({}),
      ...{ warmupSteps: 1, batchSize: 2, contextTokensMax: 48, replyTokensMax: 8, rank: 4 },
    },
  });
  const [held, ...taught] = scenarios;
  const arm = { lessons: taught.map(asLesson), holds: held === undefined ? [] : [held] };
  const onStep = (record: StepRecord): unknown => records.push(record);
  const result = await trainer
    // One rate for both: what a trial step moves is known to a few digits only.
    .train({ ...arm, stepsMax: 8, minutesMax: 10, rate: 0.05, onStep })
    .finally(() => trainer.close());
  return { result, records };
}

/** Cosine of the angle between two deltas. */
async function likeness(a: TrainResult, b: TrainResult): Promise<number> {
  let [ab, aa, bb] = [0, 0, 0];
  for (const [name, tensor] of Object.entries(a.delta)) {
    const other = await denseOf(b.delta[name]);
    (await denseOf(tensor)).forEach((x, i) => {
      const y = other[i] ?? Number.NaN;
      ab += x * y;
      aa += x * x;
      bb += y * y;
    });
  }
  return ab / Math.sqrt(aa * bb);
}

describe.skipIf(unavailable !== undefined)(`a training on TensorFlow${reason}`, () => {
  it('learns what it learns on ONNX Runtime, and holds no tensor afterwards', async () => {
    const cacheDir = mkdtempSync(join(tmpdir(), 'attune-training-'));
    const model = await readModel(join(FIXTURES, 'llama'), { cacheDir });
    const onnx = await createOnnxExecutor({ device: 'cpu', threads: 1 });
    const tensorflow = await createTensorFlowExecutor({ backend: 'tensorflow' });
    const tensorsBefore = tf.memory().numTensors;
    const theirs = await train(onnx, model);
    const ours = await train(tensorflow, model);
    expect(tf.memory().numTensors).toBe(tensorsBefore);

    expect(ours.result.steps).toBe(theirs.result.steps);
    expect(ours.records.length).toBeGreaterThan(4);
    ours.records.forEach(({ teacherKl, gradientNorm }, i) => {
      const expected = theirs.records[i] as StepRecord;
      // Kernels add in another order, and Adam turns rounding near zero into whole steps.
      const tolerance = i === 0 ? 1e-4 : 1e-3;
      expect(Math.abs(teacherKl / expected.teacherKl - 1)).toBeLessThan(tolerance);
      expect(Math.abs(gradientNorm / expected.gradientNorm - 1)).toBeLessThan(tolerance);
    });
    expect(ours.records.at(-1)?.teacherKl).toBeLessThan(ours.records[0]?.teacherKl as number);
    expect(await likeness(ours.result, theirs.result)).toBeGreaterThan(0.9999);

    await onnx.close();
    await tensorflow.close();
    rmSync(cacheDir, { recursive: true });
  });
});
