// The executor contract on every backend of TensorFlow.js, and what only this executor promises.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as op from '../../src/graph/operations.ts';
import { node, scope } from '../../src/graph/tensor.ts';
import type { Executor, Program } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { createTensorFlowExecutor } from '../../src/runtime/tensorflow.ts';
import { f32 } from './cases/operation-case.ts';
import { describeExecutorContract } from './executor-contract.ts';
import { whyNoTensorFlow } from './tensorflow-at-hand.ts';

const BACKENDS = ['tensorflow', 'cpu'] as const;
const unavailable = await whyNoTensorFlow();

for (const backend of BACKENDS) {
  describeExecutorContract(
    `TensorFlow.js on ${backend}`,
    () => createTensorFlowExecutor({ backend }),
    backend === 'tensorflow' && unavailable !== undefined ? { unavailable } : {},
  );
}

const x = op.input('x', 'f32', ['n', 2]);
const w = op.input('w', 'f32', [2, 2]);
const FUSED = {
  kind: 'groupQueryAttention',
  heads: 1,
  kvHeads: 1,
  scale: 1,
  isRotary: false,
} as const;
const feeds = { x: f32([3, 2], [1, 2, 3, 4, 5, 6]), w: f32([2, 2], [1, 0, 0, 1]) };

const OWN = unavailable === undefined ? (['cpu', 'tensorflow'] as const) : (['cpu'] as const);

describe.each(OWN)('the executor on %s', (backend) => {
  let executor: Executor;
  beforeAll(async () => {
    executor = await createTensorFlowExecutor({ backend });
  });
  afterAll(() => executor.close());

  const run = async (program: Program): Promise<void> => {
    const { kept, home } = await program.run(feeds);
    await kept?.read();
    kept?.release();
    home?.release();
  };

  it('holds no more tensors and bytes after many runs than after the first', async () => {
    const product = op.matMul(x, w);
    const outputs = { kept: op.softmax(op.add(product, product)), home: op.logSoftmax(product) };
    const program = await executor.compile(outputs, { keepOnDevice: ['kept'] });
    await run(program);
    const { numTensors, numBytes } = tf.memory();
    for (let i = 0; i < 50; i++) await run(program);
    expect(tf.memory()).toMatchObject({ numTensors, numBytes });
    await program.close();
  });

  it('gives up every tensor of a run that fails half-way', async () => {
    const table = op.input('table', 'f32', [2, 2]);
    const ids = op.input('ids', 'i32', ['n']);
    const rows = scope('embedding', () => node({ kind: 'gather' }, [table, ids], 'f32', ['n', 2]));
    const program = await executor.compile({ rows: op.add(op.exp(rows), op.exp(rows)) });
    const { numTensors } = tf.memory();
    const run = program.run({
      table: feeds.w,
      ids: { dtype: 'i32', shape: [1], data: Int32Array.of(7) },
    });
    await expect(run).rejects.toMatchObject({
      code: 'runtime-failed',
      message: expect.stringContaining('gather at embedding'),
    });
    expect(tf.memory().numTensors).toBe(numTensors);
  });

  it('is not disturbed by a caller who changes what was uploaded, fed or read', async () => {
    const data = Float32Array.of(1, 2);
    const value = await executor.upload({ dtype: 'f32', shape: [1, 2], data });
    data.fill(9);
    const program = await executor.compile({ same: x });
    const { same } = await program.run({ x: value });
    (await value.read()).data.fill(8);
    expect([...((await same?.read())?.data ?? [])]).toEqual([1, 2]);
    expect([...(await value.read()).data]).toEqual([1, 2]);
  });

  it('holds a constant of a file once for all programs, and gives it up with the last', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'attune-tensorflow-'));
    const path = join(folder, 'w.bin');
    writeFileSync(path, new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer));
    const source = { from: 'file', path, offset: 0, length: 16, storedAs: 'f32' } as const;
    const make = () =>
      executor.compile({ y: op.matMul(x, op.constant('b', source, 'f32', [2, 2])) });
    const before = tf.memory().numBytes;
    const programs = [await make(), await make()];
    expect(tf.memory().numBytes).toBe(before + 16);
    await programs[0]?.close();
    rmSync(folder, { recursive: true });
    const { y } = (await programs[1]?.run({ x: f32([2, 2], [1, 0, 0, 1]) })) ?? {};
    expect([...((await y?.read())?.data ?? [])]).toEqual([1, 2, 3, 4]);
    await programs[1]?.close();
    expect(tf.memory().numBytes).toBe(before);
  });

  it('takes values of another executor', async () => {
    const other = await createOnnxExecutor({ device: 'cpu' });
    const foreign = await other.upload(f32([1, 2], [1, 2]));
    const program = await executor.compile({ twice: op.add(x, x) });
    const { twice } = await program.run({ x: foreign });
    expect([...((await twice?.read())?.data ?? [])]).toEqual([2, 4]);
    foreign.release();
  });

  it('refuses fused attention by name before anything runs', async () => {
    const fused = scope('layers.0', () => node(FUSED, [x], 'f32', ['n', 2]));
    await expect(executor.compile({ fused })).rejects.toMatchObject({
      code: 'graph-unsupported',
      message: expect.stringContaining('groupQueryAttention at layers.0'),
    });
  });

  it('says which package and version computes', () => {
    const library = /^@tensorflow\/tfjs-(backend-cpu 4\.22\.0|node(-gpu)?, TensorFlow \d+\.\d+)/;
    expect(executor.description).toMatch(library);
  });
});
