import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Model, readModel } from '../../src/model/model.ts';
import { loadVersion } from '../../src/model/versions.ts';
import { isQProj } from '../../src/model/weight-names.ts';
import { type ContextCache, createReader, type Reader } from '../../src/reading/reader.ts';
import type { Executor, HostTensor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { type Candidate, toCandidate } from '../../src/scenario/example.ts';
import { adamw } from '../../src/train/adamw.ts';
import { Learner } from '../../src/train/learner.ts';
import type { Parameter } from '../../src/train/optimizer.ts';
import { type Target, targetOf } from '../../src/train/target.ts';

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
let target: Target;
let cache: ContextCache;

const reply = toCandidate(expected.promptLast, expected.reply);

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
  target = await teacherOf(reply);
  cache = await reader.prefill(expected.context, moved);
});

afterAll(async () => {
  cache.release();
  await learner.close();
  await reader.close();
  await executor.close();
  rmSync(cacheDir, { recursive: true });
});

const newLearner = async (): Promise<Learner> => {
  const fresh = await Learner.create({
    ...{ model, executor, fed: isQProj, parameters, optimizer: adamw },
  });
  await fresh.begin(moved);
  return fresh;
};

/** What the first weights say of these tokens in the teacher's context. */
async function teacherOf(candidate: Candidate): Promise<Target> {
  const told = await reader.prefill(expected.teacher, first);
  return targetOf(await reader.logits(told, candidate, first).finally(() => told.release()));
}

/** The gradient of each matrix: AdamW's first moment after one step is a tenth of it. */
async function gradientsOf(
  candidate: Candidate,
  lesson: { target: Target; weight?: number },
): Promise<Float32Array[]> {
  const fresh = await newLearner();
  try {
    await fresh.learn(candidate, cache, { id: 'fixture', weight: 1, ...lesson });
    await fresh.update(0, 0);
    const state = await fresh.readState();
    return parameters.map(({ name }) =>
      Float32Array.from(state[`first.${name}`]?.data ?? [], (value) => value / 0.1),
    );
  } finally {
    await fresh.close();
  }
}

const sizeOf = (parts: readonly Float32Array[]): number =>
  Math.sqrt(parts.flatMap((part) => [...part]).reduce((total, v) => total + v * v, 0));

describe('a context-frozen step', () => {
  it('has the KL to the teacher of PyTorch', async () => {
    const kl = await learner.learn(reply, cache, { id: 'fixture', target, weight: 1 });
    learner.dropSums();
    expect(kl).toBeCloseTo(expected.kl, 4);
    expect(kl).toBeLessThan(expected.wholeKl);
  });

  it('has the gradient of every query projection of PyTorch', async () => {
    const actual = await gradientsOf(reply, { target });
    for (const [matrix, values] of (expected.gradients as number[][]).entries()) {
      const most = Math.max(...values.map(Math.abs));
      for (const [i, value] of values.entries()) {
        expect(Math.abs((actual[matrix]?.[i] ?? Number.NaN) - value)).toBeLessThan(2e-4 * most);
      }
    }
  });

  it('moves as one AdamW step of PyTorch', async () => {
    const fresh = await newLearner();
    await fresh.learn(reply, cache, { id: 'fixture', target, weight: 1 });
    await fresh.update(0, 0.01);
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
    const one = toCandidate(expected.promptLast, expected.reply.slice(0, 1));
    const parts = await gradientsOf(one, { target: await teacherOf(one) });
    expect(sizeOf(parts)).toBeGreaterThan(1e-3);
  });

  it('weighs what it is told to weigh', async () => {
    const [once, twice] = [
      await gradientsOf(reply, { target }),
      await gradientsOf(reply, { target, weight: 2 }),
    ];
    expect(sizeOf(twice)).toBeCloseTo(2 * sizeOf(once), 5);
    expect(sizeOf(await gradientsOf(reply, { target, weight: 0 }))).toBe(0);
  });

  it('does not see masked rows', async () => {
    const masked = { ...reply, lossMask: [1, 1, 1, 1, 0] };
    const other = { ...target, probabilities: target.probabilities.slice().fill(0.01, 4 * 64) };
    expect(await gradientsOf(masked, { target: other })).toEqual(
      await gradientsOf(masked, { target }),
    );
  });

  it('names the scenario when the loss is not finite, and leaves the weights alone', async () => {
    const before = await learner.readWeights();
    const rest = target.rest.slice().fill(Number.NaN);
    const broken = learner.learn(reply, cache, {
      ...{ id: 'fixture', weight: 1, target: { ...target, rest } },
    });
    await expect(broken).rejects.toMatchObject({
      code: 'training-diverged',
      facts: { scenario: 'fixture' },
    });
    expect(await learner.readWeights()).toEqual(before);
  });
});
