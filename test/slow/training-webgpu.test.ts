// A whole training on WebGPU against the same one on the CPU, and what of it crosses to the device.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ort from 'onnxruntime-node';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Model, readModel } from '../../src/model/model.ts';
import type { Executor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { FIXTURES } from '../model/runner.ts';
import { expectSameTraining, train } from '../runtime/same-training.ts';
import { whyNoWebGpu } from '../runtime/swiftshader.ts';

const unavailable = await whyNoWebGpu();
const title = `a training on WebGPU${unavailable === undefined ? '' : ` (${unavailable})`}`;

/** The tokens of a decision, its target, a step's numbers, and what follows from sizes alone. */
const CROSSES =
  /^(ids|positions|keyMask|lossMask|targets|targetAt|target|rest|weight|rate|correction|gradientScale|#size|#range)/;

/** Names of what each run feeds from host memory. */
function watchFeeds(): { names: Set<string> } {
  const seen = { names: new Set<string>() };
  const { prototype } = ort.InferenceSession as unknown as { prototype: ort.InferenceSession };
  const { run } = prototype;
  vi.spyOn(prototype, 'run').mockImplementation(function (
    this: ort.InferenceSession,
    feeds: ort.InferenceSession.FeedsType,
  ) {
    for (const [name, tensor] of Object.entries(feeds as Record<string, ort.Tensor>)) {
      if (tensor.location === 'cpu') seen.names.add(name);
    }
    return run.call(this, feeds, {});
  } as typeof run);
  return seen;
}

describe.skipIf(unavailable !== undefined)(title, () => {
  let model: Model;
  let cpu: Executor;
  let webgpu: Executor;
  let cacheDir: string;
  beforeAll(async () => {
    cacheDir = mkdtempSync(join(tmpdir(), 'attune-training-'));
    model = await readModel(join(FIXTURES, 'llama'), { cacheDir });
    cpu = await createOnnxExecutor({ device: 'cpu', threads: 1 });
    webgpu = await createOnnxExecutor({ device: 'webgpu' });
  });
  afterAll(async () => {
    await cpu?.close();
    await webgpu?.close();
    rmSync(cacheDir, { recursive: true });
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  // Software compiles shaders for minutes where other tests want the processor too.
  it('learns what it learns on the CPU, and steps move nothing of the model’s size', {
    timeout: 900_000,
  }, async () => {
    const theirs = await train(cpu, model);
    const seen = watchFeeds();
    let steps = 0;
    const ours = await train(webgpu, model, {
      // What comes before the third step places weights, coordinates, contexts and targets.
      async beforeMicroStep() {
        if (++steps === 11) seen.names.clear();
        if (steps !== 34) return;
        expect(seen.names.size).toBeGreaterThan(10);
        expect([...seen.names].filter((name) => !CROSSES.test(name))).toEqual([]);
      },
    });
    expect(steps).toBeGreaterThan(34);
    await expectSameTraining(theirs, ours);
  });
});
