// Which executor is opened: what was asked for or an error that says why and what to install.
import { describe, expect, it } from 'vitest';
import { fasterOf, openServingExecutor, openTrainingExecutor } from '../../src/runtime/device.ts';
import type { Executor } from '../../src/runtime/executor.ts';
import { whyNoWebGpu } from './swiftshader.ts';

const noWebGpu = await whyNoWebGpu();

describe('the serving executor', () => {
  it('runs on the CPU when that is asked for', async () => {
    const { executor, reason } = await openServingExecutor({ device: 'cpu', threads: 1 });
    expect([executor.name, executor.device, reason]).toEqual(['onnx', 'cpu', 'asked for']);
    await executor.close();
  });

  it('opens something by itself and says why', async () => {
    const { executor, reason } = await openServingExecutor({ device: 'auto' });
    expect(reason).toMatch(/no GPU is attached|webgpu does not answer|ms on webgpu/);
    await executor.close();
  });

  it.skipIf(noWebGpu === undefined)(
    'refuses WebGPU by name where no adapter answers (needs a machine without WebGPU)',
    async () => {
      await expect(openServingExecutor({ device: 'webgpu' })).rejects.toMatchObject({
        code: 'device-unavailable',
        message: expect.stringMatching(/webgpu does not answer.*Vulkan/s),
      });
    },
  );

  it('refuses CUDA by name where its libraries are not installed', async () => {
    const opening = openServingExecutor({ device: 'cuda' });
    const refusal = opening.then(
      async ({ executor }) => {
        await executor.close();
        return undefined; // a machine with CUDA
      },
      (error: unknown) => error,
    );
    const error = await refusal;
    if (error === undefined) return;
    expect(error).toMatchObject({
      code: 'device-unavailable',
      message: expect.stringMatching(/cuda does not answer.*ONNXRUNTIME_NODE_INSTALL/s),
    });
  });
});

describe('the faster of two executors', () => {
  const taking = (device: 'cpu' | 'webgpu', ms: number): Executor => ({
    name: 'onnx',
    device,
    description: 'slow',
    compile: async () => ({
      run: () => new Promise((resolve) => setTimeout(() => resolve({}), ms)),
      close: async () => undefined,
    }),
    upload: () => Promise.reject(new Error('nothing is uploaded')),
    close: async () => undefined,
  });

  it('is the one that takes less time', async () => {
    const [gpu, cpu] = [taking('webgpu', 1), taking('cpu', 15)];
    const { executor, reason } = await fasterOf(gpu, cpu);
    expect(executor).toBe(gpu);
    expect(reason).toMatch(/side 1024 took .* ms on webgpu, .* ms on cpu/);
  });

  it('is found by a small product where the GPU is mere software', async () => {
    const [gpu, cpu] = [taking('webgpu', 60), taking('cpu', 1)];
    const { executor, reason } = await fasterOf(gpu, cpu);
    expect(executor).toBe(cpu);
    expect(reason).toMatch(/side 128/);
  });
});

describe('the training executor', () => {
  it('runs on the CPU when that is asked for', async () => {
    const { executor } = await openTrainingExecutor({ device: 'cpu', threads: 1 });
    expect([executor.name, executor.device]).toEqual(['onnx', 'cpu']);
    await executor.close();
  });

  it('opens something by itself and says why', async () => {
    const { executor, reason } = await openTrainingExecutor({ device: 'auto', threads: 1 });
    expect(reason).toMatch(/no GPU is attached|webgpu does not answer|ms on webgpu/);
    await executor.close();
  });
});
