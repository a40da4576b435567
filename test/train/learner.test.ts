import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Model, readModel } from '../../src/model/model.ts';
import { loadVersion } from '../../src/model/versions.ts';
import { isQProj } from '../../src/model/weight-names.ts';
import { createReader, type Reader } from '../../src/reading/reader.ts';
import type { Executor, HostTensor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { type Candidate, type Example, toCandidate } from '../../src/scenario/example.ts';
import type { Scenario } from '../../src/scenario/scenario.ts';
import { adamw } from '../../src/train/adamw.ts';
import { Learner } from '../../src/train/learner.ts';
import type { Parameter } from '../../src/train/optimizer.ts';
import { References } from '../../src/train/reference.ts';

// A model is trained.
vi.setConfig({ testTimeout: 60_000 });

const fixture = (path: string): string =>
  fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
const expected = JSON.parse(readFileSync(fixture('train/step.json'), 'utf8'));

let executor: Executor;
let model: Model;
let reader: Reader;
let first: Record<string, HostTensor>;
let moved: Record<string, HostTensor>;
let parameters: Parameter[];
let cacheDir: string;
let learner: Learner;

const example: Example = {
  scenario: { id: 'fixture' } as Scenario,
  contextIds: expected.context,
  chosen: toCandidate(expected.promptLast, expected.chosen),
  rejected: toCandidate(expected.promptLast, expected.rejected),
  spans: [],
  droppedTurns: 0,
};

beforeAll(async () => {
  cacheDir = mkdtempSync(join(tmpdir(), 'attune-learner-'));
  executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
  model = await readModel(fixture('transformers/llama'), { cacheDir });
  reader = createReader({ model, executor });
  first = { ...(await loadVersion(model, [])).weights };
  parameters = Object.entries(first).map(([name, { shape }]) => ({
    name,
    shape: shape as [number, number],
  }));
  moved = Object.fromEntries(
    Object.entries(first).map(([name, tensor], i) => [
      name,
      { ...tensor, data: Float32Array.from(tensor.data, (v, j) => v + expected.moves[i][j]) },
    ]),
  );
  learner = await newLearner();
});

afterAll(async () => {
  await learner.close();
  await reader.close();
  await executor.close();
  rmSync(cacheDir, { recursive: true });
});

const newLearner = (): Promise<Learner> =>
  Learner.create(
    {
      model,
      executor,
      fed: isQProj,
      parameters,
      optimizer: adamw,
      gradientNormMax: 0,
      objective: {
        chosenWeight: expected.weights.chosen,
        preferenceWeight: expected.weights.preference,
        preferenceMargin: expected.weights.margin,
        guardWeight: expected.weights.guard,
      },
    },
    moved,
  );

/** What one AdamW step of size ~1 does with the summed gradient tells its sign; so read the state. */
async function gradientsOf(learn: (fresh: Learner) => Promise<unknown>): Promise<Float32Array[]> {
  const fresh = await newLearner();
  try {
    await learn(fresh);
    await fresh.update(0, { rate: 0, weightDecay: 0 });
    const state = await fresh.readState();
    return parameters.map(({ name }) =>
      Float32Array.from(state[`first.${name}`]?.data ?? [], (value) => value / 0.1),
    );
  } finally {
    await fresh.close();
  }
}

function expectClose(actual: readonly Float32Array[], wanted: readonly number[][]): void {
  for (const [matrix, values] of wanted.entries()) {
    const most = Math.max(...values.map(Math.abs));
    for (const [i, value] of values.entries()) {
      expect(Math.abs((actual[matrix]?.[i] ?? Number.NaN) - value)).toBeLessThan(2e-4 * most);
    }
  }
}

describe('a context-frozen step', () => {
  it('has the log-probabilities, terms and loss of PyTorch', async () => {
    const cache = await reader.prefill(example.contextIds, moved);
    const candidates = [example.chosen, example.rejected] as Candidate[];
    const scores = await reader.logProbabilities(cache, candidates, moved);
    for (const [row, values] of expected.logProbabilities.entries()) {
      expect(scores[row]?.length).toBe(values.length);
      for (const [i, value] of values.entries()) expect(scores[row]?.[i]).toBeCloseTo(value, 4);
    }
    const terms = await learner.learn(example, cache, expected.reference);
    learner.dropSums();
    expect(terms.loss).toBeCloseTo(expected.loss, 4);
    for (const [name, value] of Object.entries(expected.terms)) {
      expect(terms[name]).toBeCloseTo(value as number, 4);
    }
    cache.release();
  });

  it('has the gradient of every query projection of PyTorch', async () => {
    const cache = await reader.prefill(example.contextIds, moved);
    expectClose(
      await gradientsOf((fresh) => fresh.learn(example, cache, expected.reference)),
      expected.gradients,
    );
  });

  it('has the loss and gradient of PyTorch on the guard’s rounded corner too', async () => {
    const cache = await reader.prefill(example.contextIds, moved);
    const { reference, loss, guard, gradients } = expected.corner;
    let terms: Readonly<Record<string, number>> = {};
    const actual = await gradientsOf(async (fresh) => {
      terms = await fresh.learn(example, cache, reference);
    });
    expect(terms.loss).toBeCloseTo(loss, 4);
    expect(terms.guard).toBeCloseTo(guard, 5);
    expect(guard).toBeCloseTo(0.02 ** 2 / 0.1, 5);
    expectClose(actual, gradients);
  });

  it('computes the first weights’ log-probabilities with their own cache', async () => {
    const references = new References(reader, first, 0);
    const sums = await references.sums(example);
    expect(sums[0]).toBeCloseTo(expected.reference[0], 3);
    expect(sums[1]).toBeCloseTo(expected.reference[1], 3);
  });

  it('has the retention term and its gradient of PyTorch', async () => {
    const { ids, targets, kl, gradients } = expected.retention;
    const replay: Example = {
      ...example,
      chosen: { ids, targets, lossMask: ids.map(() => 1) },
    };
    const logits = await new References(reader, first, 0).logits(replay);
    const cache = await reader.prefill(example.contextIds, moved);
    let retention = Number.NaN;
    const actual = await gradientsOf(async (fresh) => {
      retention = (await fresh.retain(replay, cache, { logits, weight: 1 })).retention as number;
    });
    expect(retention).toBeCloseTo(kl, 5);
    expectClose(actual, gradients);
  });

  it('moves as one AdamW step of PyTorch', async () => {
    const cache = await reader.prefill(example.contextIds, moved);
    const fresh = await newLearner();
    await fresh.learn(example, cache, expected.reference);
    await fresh.update(0, { rate: 0.01, weightDecay: 0 });
    const weights = await fresh.readWeights();
    for (const [i, { name }] of parameters.entries()) {
      for (const [j, value] of expected.afterAdamW[i].entries()) {
        // Where the gradient is near zero AdamW's first step hangs on its sign: skip those few.
        if (Math.abs(expected.gradients[i][j]) < 1e-6) continue;
        expect(weights[name]?.data[j]).toBeCloseTo(value, 4);
      }
    }
    await fresh.close();
  });

  it('gives a gradient from the first reply token alone', async () => {
    const cache = await reader.prefill(example.contextIds, moved);
    const one: Example = {
      ...example,
      chosen: toCandidate(expected.promptLast, expected.chosen.slice(0, 1)),
    };
    const { rejected: _, ...single } = one;
    const sums = [0];
    const parts = await gradientsOf((fresh) => fresh.learn(single, cache, sums));
    const size = Math.sqrt(parts.flatMap((p) => [...p]).reduce((total, v) => total + v * v, 0));
    // 0.3 × the cross-entropy; the guard (reference 0) adds its own 1 × the same gradient.
    expect(size).toBeCloseTo(1.3 * expected.firstTokenGradientNorm, 3);
  });

  it('does not see masked tokens', async () => {
    const cache = await reader.prefill(example.contextIds, moved);
    const masked = (target: number): Example => ({
      ...example,
      chosen: {
        ...example.chosen,
        targets: example.chosen.targets.with(4, target),
        lossMask: [1, 1, 1, 1, 0],
      },
    });
    const a = await gradientsOf((fresh) => fresh.learn(masked(3), cache, expected.reference));
    const b = await gradientsOf((fresh) => fresh.learn(masked(77), cache, expected.reference));
    expect(a).toEqual(b);
  });

  it('names the scenario when a term is not finite, and leaves the weights alone', async () => {
    const cache = await reader.prefill(example.contextIds, moved);
    const before = await learner.readWeights();
    const broken = learner.learn(example, cache, [Number.NaN, 0]);
    await expect(broken).rejects.toMatchObject({
      code: 'training-diverged',
      facts: { scenario: 'fixture' },
    });
    expect(await learner.readWeights()).toEqual(before);
  });
});
