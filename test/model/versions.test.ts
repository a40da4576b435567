import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  type DeltaTensor,
  type LowRankDelta,
  readDelta,
  writeDelta,
} from '../../src/model/delta.ts';
import { exportModel } from '../../src/model/export.ts';
import { type Model, readModel, readWeight, type Weight } from '../../src/model/model.ts';
import { loadVersion, versionId } from '../../src/model/versions.ts';
import type { Executor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { floats, withHeader } from './bytes.ts';
import { denseOf } from './dense.ts';
import * as run from './runner.ts';
import { Runner } from './runner.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let executor: Executor;
let model: Model;
let expected: run.Expected;
let folder: string;
beforeAll(async () => {
  executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
  ({ model, expected } = await run.readFixture('llama'));
});
afterAll(() => executor.close());
beforeEach(async () => {
  folder = await run.temporaryFolder();
});

const Q0 = 'layers.0.qProj';
const Q1 = 'layers.1.qProj';
const constant = (value: number): DeltaTensor => ({
  shape: [32, 32],
  data: new Float32Array(1024).fill(value),
});
const write = async (
  name: string,
  tensors: Record<string, DeltaTensor>,
  baseHash = model.baseHash,
) => {
  const path = join(folder, name);
  await writeDelta(path, { baseHash, tensors });
  return path;
};

describe('a weights version', () => {
  test('of no deltas is the base, under the id of the base', async () => {
    const version = await loadVersion(model, []);
    expect(version.id).toBe(versionId(model.baseHash, []));
    expect(Object.keys(version.weights)).toEqual([Q0, Q1]);
    const base = await readWeight(model.weights.get(Q0) as Weight);
    expect(version.weights[Q0]).toEqual({ dtype: 'f32', shape: [32, 32], data: base });
  });

  test('adds its deltas and leaves weights without one bit-equal', async () => {
    const paths = [
      await write('a', { [Q1]: constant(0.5) }),
      await write('b', { [Q1]: constant(-0.25) }),
    ];
    const { weights, deltas } = await loadVersion(model, paths);
    const base = await readWeight(model.weights.get(Q1) as Weight);
    expect(weights[Q1]?.data).toEqual(base.map((value) => value + 0.25));
    expect(weights[Q0]?.data).toEqual(await readWeight(model.weights.get(Q0) as Weight));
    expect(deltas.map(({ path }) => path)).toEqual(paths);
  });

  test('leaves a delta out without a trace: a reverted night is as if it had never been', async () => {
    const a = await write('a', { [Q0]: constant(0.1) });
    const b = await write('b', { [Q0]: constant(1e6) });
    const c = await write('c', { [Q0]: constant(1e-7) });
    const without = await loadVersion(model, [a, c]);
    expect((await loadVersion(model, [a, b, c])).id).not.toBe(without.id);
    expect((await loadVersion(model, [a, c])).weights).toEqual(without.weights);
  });

  test('rounds once: many small deltas are not lost, and their sum in f64 is the same', async () => {
    const tiny = constant(1e-9);
    const paths = await Promise.all(
      [...Array(20).keys()].map((i) => write(`${i}`, { [Q0]: tiny })),
    );
    const sum = { shape: [32, 32], data: new Float64Array(1024).fill(Math.fround(1e-9) * 20) };
    const merged = await loadVersion(model, [await write('sum', { [Q0]: sum })]);
    expect((await loadVersion(model, paths)).weights).toEqual(merged.weights);
  });

  test('has one id for the same deltas in the same order, wherever they lie', async () => {
    const first = await write('a', { [Q0]: constant(1) });
    const copy = await write('copy', { [Q0]: constant(1) });
    const second = await write('b', { [Q0]: constant(2) });
    const idOf = async (...paths: string[]) => (await loadVersion(model, paths)).id;
    expect(await idOf(copy, second)).toBe(await idOf(first, second));
    expect(await idOf(second, first)).not.toBe(await idOf(first, second));
    expect(await idOf(first)).toMatch(/^v-[0-9a-f]{12}$/);
    expect((await loadVersion(model, [first], { id: 'named' })).id).toBe('named');
  });

  test('that is fed answers as a model folder that was exported with it', async () => {
    const noise = (seed: number): DeltaTensor => ({
      shape: [32, 32],
      data: Float32Array.from({ length: 1024 }, (_, i) => Math.sin(seed * 1000 + i) * 0.2),
    });
    const version = await loadVersion(model, [
      await write('a', { [Q0]: noise(1), [Q1]: noise(2) }),
    ]);
    await exportModel(model, version, join(folder, 'export'));
    const exported = await readModel(join(folder, 'export'), { cacheDir: join(folder, 'cache') });
    expect(exported.config).toEqual(model.config);
    expect(exported.baseHash).not.toBe(model.baseHash);
    const options = { past: 'none', outputs: { logits: true } } as const;
    const logitsOf = async (of: Model, weights: run.Feeds): Promise<Float32Array> => {
      const runner = await Runner.primitive(executor, of, options);
      return run.valuesOf(
        await runner.run({ ...run.sequence(expected.ids), ...weights }),
        'logits',
      );
    };
    const fed = await logitsOf(model, version.weights);
    expect(run.distance(fed, await logitsOf(exported, {}))).toBe(0);
    expect(run.distance(fed, await logitsOf(model, {}))).toBeGreaterThan(0.1);
    const baked = await Runner.primitive(executor, exported, {
      ...options,
      trainable: () => false,
    });
    const constantLogits = run.valuesOf(await baked.run(run.sequence(expected.ids)), 'logits');
    expect(run.distance(fed, constantLogits)).toBeLessThan(1e-5);
    for (const [name, weight] of exported.weights) {
      if (name in version.weights) continue;
      const base = await readWeight(model.weights.get(name) as Weight);
      expect(await readWeight(weight)).toEqual(base);
    }
  });
});

describe('an ablation', () => {
  test('may train other projections, in versions as in graphs', async () => {
    const trainable = (name: string) => /\.[kvo]Proj$/.test(name);
    const delta = await write('kv', {
      'layers.0.kProj': { shape: [16, 32], data: new Float32Array(512).fill(1) },
    });
    const { weights } = await loadVersion(model, [delta], { trainable });
    expect(Object.keys(weights)).toHaveLength(6);
    await expect(loadVersion(model, [delta])).rejects.toMatchObject({ code: 'delta-damaged' });
  });
});

describe('a delta', () => {
  test('is read back with its facts and its hash', async () => {
    const path = join(folder, 'delta');
    const metadata = { night: '2026-01-02' };
    const tensors = { [Q0]: constant(0.5) };
    const hash = await writeDelta(path, { baseHash: model.baseHash, tensors, metadata });
    expect(await readDelta(path)).toEqual({
      path,
      baseHash: model.baseHash,
      tensors,
      metadata,
      hash,
    });
  });

  test('is kept as factors too, and those of several nights add up to the last bit', async () => {
    const wave = (length: number, seed: number): Float32Array =>
      Float32Array.from({ length }, (_, i) => Math.sin(seed * 100 + i) * 0.1);
    const factors = (rank: number, seed: number): LowRankDelta => ({
      shape: [32, 32],
      loraA: wave(rank * 32, seed),
      loraB: wave(32 * rank, seed + 1),
    });
    const one = factors(2, 1);
    const path = await write('factors', { [Q0]: one });
    expect((await readDelta(path)).tensors).toEqual({ [Q0]: one });
    const base = await readWeight(model.weights.get(Q0) as Weight);
    const { weights } = await loadVersion(model, [path]);
    for (const [i, value] of (await denseOf(one)).entries()) {
      expect(weights[Q0]?.data[i]).toBe(Math.fround((base[i] as number) + value));
    }
    const other = factors(3, 5);
    const rows = (b: Float32Array, row: number, rank: number): number[] => [
      ...b.subarray(row * rank, (row + 1) * rank),
    ];
    const both: LowRankDelta = {
      shape: [32, 32],
      loraA: Float32Array.from([...one.loraA, ...other.loraA]),
      loraB: Float32Array.from(
        [...Array(32).keys()].flatMap((row) => [
          ...rows(one.loraB, row, 2),
          ...rows(other.loraB, row, 3),
        ]),
      ),
    };
    const paths = [path, await write('other', { [Q0]: other })];
    const summed = await loadVersion(model, [await write('both', { [Q0]: both })]);
    expect((await loadVersion(model, paths)).weights).toEqual(summed.weights);
  });

  test('with one factor, or factors that do not fit, is refused', async () => {
    const __metadata__ = { schema: 'attune-delta-2', baseHash: model.baseHash };
    const a = { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] };
    const path = join(folder, 'half');
    const header = { __metadata__, [`${Q0}.loraA`]: a };
    await writeFile(path, withHeader(JSON.stringify(header), floats(...Array(6).fill(1))));
    await expect(readDelta(path)).rejects.toThrow(/one of its two factors/);
    const b = { dtype: 'F32', shape: [4, 1], data_offsets: [24, 40] };
    const wrong = JSON.stringify({ ...header, [`${Q0}.loraB`]: b });
    await writeFile(path, withHeader(wrong, floats(...Array(10).fill(1))));
    await expect(readDelta(path)).rejects.toThrow(/no factors of layers.0.qProj/);
  });

  test('of another base is refused', async () => {
    const path = await write('other', { [Q0]: constant(1) }, '0'.repeat(64));
    await expect(loadVersion(model, [path])).rejects.toMatchObject({ code: 'version-mismatch' });
  });

  test.each([
    ['of another shape', { [Q0]: { shape: [1024], data: new Float32Array(1024) } }],
    ['of a layer that is not there', { 'layers.2.qProj': constant(1) }],
    [
      'of a weight that is not trained',
      { 'layers.0.kProj': { shape: [16, 32], data: new Float32Array(512) } },
    ],
  ])('%s is refused', async (_, tensors) => {
    const path = await write('wrong', tensors as Record<string, DeltaTensor>);
    await expect(loadVersion(model, [path])).rejects.toMatchObject({ code: 'delta-damaged' });
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])(
    'with the value %d is never written',
    async (value) => {
      const data = new Float32Array(1024);
      data[77] = value;
      const writing = write('broken', { [Q0]: { shape: [32, 32], data } });
      await expect(writing).rejects.toMatchObject({ code: 'delta-damaged' });
      await expect(readDelta(join(folder, 'broken'))).rejects.toMatchObject({
        code: 'model-not-found',
      });
    },
  );

  test('that adds up to infinity is refused', async () => {
    const paths = [
      await write('a', { [Q0]: constant(3e38) }),
      await write('b', { [Q0]: constant(3e38) }),
    ];
    await expect(loadVersion(model, paths)).rejects.toThrow(/not finite/);
  });

  test('with one flipped bit is refused', async () => {
    const path = await write('a', { [Q0]: constant(1) });
    const bytes = await readFile(path);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 4) ^ 1, bytes.length - 4);
    await writeFile(path, bytes);
    await expect(readDelta(path)).rejects.toMatchObject({ code: 'delta-damaged' });
  });

  test('that is missing, cut, or some other file is refused', async () => {
    const path = await write('a', { [Q0]: constant(1) });
    await expect(readDelta(join(folder, 'none'))).rejects.toMatchObject({
      code: 'model-not-found',
    });
    await writeFile(path, (await readFile(path)).subarray(0, 500));
    await expect(readDelta(path)).rejects.toMatchObject({ code: 'delta-damaged' });
    const foreign = join(run.FIXTURES, 'llama', 'model.safetensors');
    await expect(readDelta(foreign)).rejects.toThrow(/is not a delta/);
  });

  test('whose tensors are of another type is refused', async () => {
    const __metadata__ = { schema: 'attune-delta-1', baseHash: model.baseHash };
    const entry = { dtype: 'I32', shape: [1], data_offsets: [0, 4] };
    const path = join(folder, 'integers');
    await writeFile(path, withHeader(JSON.stringify({ __metadata__, [Q0]: entry }), floats(1)));
    await expect(readDelta(path)).rejects.toThrow(/stored as I32/);
  });
});
