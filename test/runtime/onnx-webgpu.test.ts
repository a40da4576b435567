// The executor contract on WebGPU: a GPU where there is one, else the SwiftShader of Debian's chromium.
import { existsSync } from 'node:fs';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { describeExecutorContract } from './executor-contract.ts';

const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';
// Set before the first request, since the Vulkan loader reads it once.
if (!existsSync('/dev/dri') && !existsSync('/dev/nvidia0') && existsSync(SWIFTSHADER)) {
  process.env.VK_DRIVER_FILES ??= SWIFTSHADER;
}

const unavailable = await createOnnxExecutor({ device: 'webgpu' }).then(
  (executor) => executor.close().then(() => undefined),
  (error: Error) => error.message.replace(/\s+/g, ' '),
);

describeExecutorContract('ONNX Runtime on webgpu', () => createOnnxExecutor({ device: 'webgpu' }), {
  ...(unavailable === undefined ? {} : { unavailable }),
  decimals: 4,
  except: {
    'sin works on each element': 'WGSL promises sin between −π and π only, the case goes to 3000',
    'cos works on each element': 'WGSL promises cos between −π and π only, the case goes to 3000',
    'an empty tensor passes through arithmetic, matMul and softmax':
      'ONNX Runtime 1.30 dispatches no empty softmax on WebGPU, and ends on an empty inner dimension',
  },
});
