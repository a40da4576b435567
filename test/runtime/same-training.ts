// One training run on two executors, so that what they learn can be compared.
import { expect } from 'vitest';
import { trainSection } from '../../src/config/section/learning.ts';
import type { Model } from '../../src/model/model.ts';
import type { Executor } from '../../src/runtime/executor.ts';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { asLesson } from '../../src/teach/teacher.ts';
import type { StepRecord, TrainerOptions, TrainResult } from '../../src/train/train-settings.ts';
import { Trainer } from '../../src/train/trainer.ts';
import { wordRenderer } from '../fakes/word-renderer.ts';
import { denseOf } from '../model/dense.ts';

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

export interface Training {
  readonly result: TrainResult;
  readonly records: readonly StepRecord[];
}

/** Ten steps of two lessons and up to eight holds. */
export async function train(
  executor: Executor,
  model: Model,
  options: Partial<TrainerOptions> = {},
): Promise<Training> {
  const records: StepRecord[] = [];
  const trainer = await Trainer.open({
    ...{ model, executor, renderer: wordRenderer(128), seed: 5 },
    settings: {
      ...trainSection.parse({}),
      ...{ warmupSteps: 1, batchSize: 2, holdsPerStep: 1, epochsMax: 8 },
      ...{ contextTokensMax: 48, replyTokensMax: 8, rank: 4 },
    },
    ...options,
  });
  const [held, ...taught] = scenarios;
  const arm = { lessons: taught.map(asLesson), holds: held === undefined ? [] : [held] };
  const onStep = (record: StepRecord): unknown => records.push(record);
  const result = await trainer
    // One rate for both: what a trial step moves is known to a few digits only.
    .train({ ...arm, stepsMax: 10, minutesMax: 10, rate: 0.05, onStep })
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

/** The first loss and gradient within 1e-4 of each other, those of ten steps within 1 %. */
export async function expectSameTraining(theirs: Training, ours: Training): Promise<void> {
  expect(ours.records).toHaveLength(10);
  ours.records.forEach(({ teacherKl, gradientNorm }, i) => {
    const expected = theirs.records[i] as StepRecord;
    // Kernels add in another order, and Adam turns rounding near zero into whole steps.
    const tolerance = i === 0 ? 1e-4 : 1e-2;
    expect(Math.abs(teacherKl / expected.teacherKl - 1), `KL of step ${i}`).toBeLessThan(tolerance);
    const apart = Math.abs(gradientNorm / expected.gradientNorm - 1);
    expect(apart, `gradient of step ${i}`).toBeLessThan(tolerance);
  });
  expect(ours.records.at(-1)?.teacherKl).toBeLessThan(ours.records[0]?.teacherKl as number);
  expect(await likeness(ours.result, theirs.result)).toBeGreaterThan(0.999);
}
