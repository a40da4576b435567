// WebGPU against ONNX Runtime's CPU on whole transformers, forwards and gradients.
import { afterAll, beforeAll, describe, it, vi } from 'vitest';
import type { Executor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { FIXTURE_NAMES } from '../model/runner.ts';
import { whyNoWebGpu } from './swiftshader.ts';
import { expectAgreement, resultsOf } from './whole-transformer.ts';

// The software adapter of WebGPU is slow.
vi.setConfig({ testTimeout: 60_000 });

const unavailable = await whyNoWebGpu();
const title = `WebGPU and the CPU${unavailable === undefined ? '' : ` (${unavailable})`}`;

describe.skipIf(unavailable !== undefined)(title, () => {
  let cpu: Executor;
  let webgpu: Executor;
  beforeAll(async () => {
    cpu = await createOnnxExecutor({ device: 'cpu' });
    webgpu = await createOnnxExecutor({ device: 'webgpu' });
  });
  afterAll(async () => {
    await cpu?.close();
    await webgpu?.close();
  });

  // Software compiles shaders for minutes where other tests want the processor too.
  it.each(FIXTURE_NAMES)(
    'agree on every output of the model %s',
    { timeout: 600_000 },
    async (name) => {
      const [theirs, ours] = [await resultsOf(cpu, name), await resultsOf(webgpu, name)];
      expectAgreement(theirs, ours, { absolute: 1e-4, relative: 1e-3 });
    },
  );
});
