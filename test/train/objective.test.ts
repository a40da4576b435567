import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gradients } from '../../src/graph/gradient.ts';
import * as op from '../../src/graph/operations.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import type { Executor, HostTensor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { GUARD_WIDTH, preferenceObjective, smoothHinge } from '../../src/train/objective.ts';
import { f32 } from './optimizer-bench.ts';

let executor: Executor;
beforeAll(async () => {
  executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
});
afterAll(() => executor.close());

async function evaluate(
  outputs: Record<string, Tensor>,
  feeds: Record<string, HostTensor>,
): Promise<Record<string, Float32Array>> {
  const program = await executor.compile(outputs);
  const results = await program.run(feeds);
  const read = Object.entries(results).map(
    async ([name, value]) => [name, (await value.read()).data as Float32Array] as const,
  );
  const values = Object.fromEntries(await Promise.all(read));
  await program.close();
  return values;
}

describe('the guard against a falling log p(chosen)', () => {
  const hinge = (): Record<string, Tensor> => {
    const x = op.input('x', 'f32', []);
    const value = smoothHinge(x, GUARD_WIDTH);
    return { value, slope: gradients(value, [x])[0] as Tensor };
  };
  const w = GUARD_WIDTH;

  it.each([
    ['no fall', -1, 0, 0],
    ['the start of a training, a fall of exactly 0,', 0, 0, 0],
    ['half the width', w / 2, w / 8, 0.5],
    ['exactly the width', w, w / 2, 1],
    ['a great fall', 3, 3 - w / 2, 1],
  ])('at %s has the value and slope of its formula', async (_, x, value, slope) => {
    const got = await evaluate(hinge(), { x: f32([], [x]) });
    expect(got.value?.[0]).toBeCloseTo(value, 6);
    expect(got.slope?.[0]).toBeCloseTo(slope, 5);
  });

  it('has the slope of finite differences on both sides of its corners', async () => {
    for (const x of [-0.4 * w, 0.3 * w, 0.95 * w, 1.05 * w, 2 * w]) {
      const at = async (value: number) => evaluate(hinge(), { x: f32([], [value]) });
      const step = 0.02 * w;
      const [high, low] = [await at(x + step), await at(x - step)];
      const slope = ((high.value?.[0] ?? 0) - (low.value?.[0] ?? 0)) / (2 * step);
      expect((await at(x)).slope?.[0]).toBeCloseTo(slope, 3);
    }
  });

  it('adds no gradient at all before the weights have moved', async () => {
    const build = (guardWeight: number): Record<string, Tensor> => {
      const logProbabilities = op.input('logProbabilities', 'f32', [2, 3]);
      const lossMask = op.input('lossMask', 'f32', [2, 3]);
      const reference = op.input('reference', 'f32', [2]);
      const { loss, terms } = preferenceObjective({ logProbabilities, lossMask, reference }, true, {
        chosenWeight: 0.3,
        preferenceWeight: 1,
        preferenceMargin: 1,
        guardWeight,
      });
      const gradient = gradients(loss, [logProbabilities])[0] as Tensor;
      return { loss, guard: terms.guard as Tensor, gradient };
    };
    const start = {
      logProbabilities: f32([2, 3], [-1, -2, -3, -4, -2, 0]),
      lossMask: f32([2, 3], [1, 1, 1, 1, 1, 0]),
      reference: f32([2], [-6, -6]),
    };
    const [guarded, bare] = [await evaluate(build(5), start), await evaluate(build(0), start)];
    expect(guarded.guard?.[0]).toBe(0);
    expect(guarded.gradient).toEqual(bare.gradient);
    const fallen = { ...start, reference: f32([2], [-5, -6]) };
    const pushed = await evaluate(build(5), fallen);
    expect(pushed.guard?.[0]).toBeGreaterThan(0.3);
    // 5 × slope 1 over three tokens, upwards in log p(chosen).
    const [withGuard, without] = [pushed.gradient, (await evaluate(build(0), fallen)).gradient];
    expect((withGuard?.[0] ?? 0) - (without?.[0] ?? 0)).toBeCloseTo(-5 / 3, 5);
  });
});

describe('the preference', () => {
  const build = (): Record<string, Tensor> => {
    const logProbabilities = op.input('logProbabilities', 'f32', [2, 3]);
    const lossMask = op.input('lossMask', 'f32', [2, 3]);
    const reference = op.input('reference', 'f32', [2]);
    const { loss } = preferenceObjective({ logProbabilities, lossMask, reference }, true, {
      chosenWeight: 0,
      preferenceWeight: 2,
      preferenceMargin: 4,
      guardWeight: 0,
    });
    return { loss, gradient: gradients(loss, [logProbabilities])[0] as Tensor };
  };
  // Three tokens against two: log p − log p₀ is 0.6 and −0.4, so 1 ahead.
  const feeds = {
    logProbabilities: f32([2, 3], [-1, -2, -3, -4, -2, 0]),
    lossMask: f32([2, 3], [1, 1, 1, 1, 1, 0]),
    reference: f32([2], [-6.6, -5.6]),
  };

  it('is the squared distance of the lead to its goal, as a share of it', async () => {
    const { loss, gradient } = await evaluate(build(), feeds);
    expect(loss?.[0]).toBeCloseTo(2 * ((0.6 + 0.4) / 4 - 1) ** 2, 5);
    // 2 · 2 · (0.25 − 1) / 4 at each token, up or down; what is masked has none.
    const slope = -0.75;
    const expected = [slope, slope, slope, -slope, -slope, 0];
    for (const [i, value] of expected.entries()) expect(gradient?.[i]).toBeCloseTo(value, 5);
  });

  it('pulls back what has gone beyond its goal', async () => {
    const beyond = { ...feeds, reference: f32([2], [-12, 0]) };
    expect((await evaluate(build(), beyond)).gradient?.[0]).toBeGreaterThan(0);
  });
});
