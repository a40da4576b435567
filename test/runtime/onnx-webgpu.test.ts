// The executor contract on WebGPU: a GPU where there is one, else software from Debian's chromium.
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { describeExecutorContract } from './executor-contract.ts';
import { whyNoWebGpu } from './swiftshader.ts';

const unavailable = await whyNoWebGpu();

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
