import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import { gradients } from '../../src/graph/gradient.ts';
import * as op from '../../src/graph/operations.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import { klOfLogits } from '../../src/reading/logits.ts';
import type { Executor, HostTensor } from '../../src/runtime/executor.ts';
import { f32 } from '../../src/runtime/host-tensor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { targetInputs, truncatedKl } from '../../src/train/objective.ts';
import { LIKELIEST, targetFeeds, targetOf } from '../../src/train/target.ts';

const ROWS = 3;

let executor: Executor;
beforeAll(async () => {
  executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
});
afterAll(() => executor.close());

const logits = (seed: string, vocabulary: number, size = 2): HostTensor =>
  f32(
    [ROWS, vocabulary],
    createRandom(seed).fillGaussian(new Float32Array(ROWS * vocabulary), size),
  );

/** KL of each row and the gradient to the student's logits. */
async function run(teacher: HostTensor, student: HostTensor) {
  const shape = [1, ...student.shape];
  const x = op.input('x', 'f32', shape);
  const kl = truncatedKl(x, targetInputs(shape.slice(0, 2)));
  const [slope] = gradients(op.reduceSum(kl), [x]) as [Tensor];
  const program = await executor.compile({ kl, slope });
  const feeds = { x: { ...student, shape }, ...targetFeeds(targetOf(teacher)) };
  const results = await program.run(feeds);
  const read = async (name: string) => [...((await results[name]?.read())?.data ?? [])] as number[];
  const found = { kl: await read('kl'), slope: await read('slope') };
  await program.close();
  return found;
}

const mean = (values: readonly number[]): number =>
  values.reduce((a, b) => a + b, 0) / values.length;

describe('the KL to a teacher', () => {
  it('is the KL over the whole vocabulary where every token is told apart', async () => {
    const [teacher, student] = [logits('teacher', LIKELIEST), logits('student', LIKELIEST)];
    expect(mean((await run(teacher, student)).kl)).toBeCloseTo(klOfLogits(teacher, student), 4);
  });

  it('is never above the whole KL, and near it where the teacher is sure', async () => {
    const [teacher, student] = [logits('teacher', 500, 4), logits('student', 500)];
    const [found, whole] = [mean((await run(teacher, student)).kl), klOfLogits(teacher, student)];
    expect(found).toBeLessThanOrEqual(whole);
    expect(found).toBeGreaterThan(0.95 * whole);
  });

  it('is nothing, and pulls nowhere, where the student says what the teacher says', async () => {
    const same = logits('same', 500);
    const { kl, slope } = await run(same, same);
    for (const value of kl) expect(Math.abs(value)).toBeLessThan(1e-5);
    for (const value of slope) expect(Math.abs(value)).toBeLessThan(1e-5);
  });

  it('has the slope of finite differences', async () => {
    const [teacher, student] = [logits('teacher', 200), logits('student', 200)];
    const { slope } = await run(teacher, student);
    const most = Math.max(...slope.map(Math.abs));
    for (const index of [0, 17, 201, 333, 599]) {
      const moved = async (by: number): Promise<number> => {
        const data = Float32Array.from(student.data, (v, i) => (i === index ? v + by : v));
        return mean((await run(teacher, { ...student, data })).kl) * ROWS;
      };
      const numeric = ((await moved(0.05)) - (await moved(-0.05))) / 0.1;
      expect(Math.abs(numeric - (slope[index] as number))).toBeLessThan(0.02 * most);
    }
  });
});

describe('a teacher’s distribution', () => {
  it('keeps its likeliest tokens, and all others as one', () => {
    const row = Float32Array.from({ length: 1000 }, (_, i) => (i % 10 === 0 ? 3 : 0));
    const { ids, probabilities, rest } = targetOf(f32([1, 1000], row));
    expect(ids).toHaveLength(LIKELIEST);
    expect([...ids].every((id) => id % 10 === 0)).toBe(true);
    const total = probabilities.reduce((a, b) => a + b, 0) + (rest[0] as number);
    expect(total).toBeCloseTo(1, 6);
  });
});
