// Which executor is opened: what was asked for or an error that says why and what to install.
import { describe, expect, it } from 'vitest';
import { openServingExecutor, openTrainingExecutor } from '../../src/runtime/device.ts';
import { whyNoWebGpu } from './swiftshader.ts';

const noWebGpu = await whyNoWebGpu();

describe('the serving executor', () => {
  it('runs on the CPU when that is asked for', async () => {
    const { executor, reason } = await openServingExecutor({ device: 'cpu', threads: 1 });
    expect([executor.name, executor.device, reason]).toEqual(['onnx', 'cpu', 'asked for']);
    await executor.close();
  });

  it('chooses the CPU by itself where WebGPU is missing or mere software, and says what it saw', async () => {
    const { executor, reason } = await openServingExecutor({ device: 'auto' });
    if (executor.device === 'cpu') expect(reason).toMatch(/webgpu does not answer|ms on WebGPU/);
    else expect(reason).toMatch(/ms on WebGPU/);
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

describe('the training executor', () => {
  it('is ONNX Runtime unless TensorFlow is asked for', async () => {
    for (const name of ['auto', 'onnx'] as const) {
      const { executor } = await openTrainingExecutor({ executor: name, threads: 1 });
      expect([executor.name, executor.device]).toEqual(['onnx', 'cpu']);
      await executor.close();
    }
  });
});
