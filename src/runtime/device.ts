// Chooses the device and opens an executor on it; what was asked for by name is never replaced.
import { input, matMul, reduceSum } from '../graph/operations.ts';
import type { Executor } from './executor.ts';
import { createOnnxExecutor, type OnnxExecutor } from './onnx.ts';

export type DeviceChoice = 'auto' | 'cpu' | 'webgpu' | 'cuda';

export interface Opened<Kind extends Executor = Executor> {
  readonly executor: Kind;
  /** Why this one, for the log and the doctor: `asked for`, or what `auto` saw. */
  readonly reason: string;
}

export interface ServingOptions {
  readonly device: DeviceChoice;
  /** Threads on the CPU; 0 = ONNX Runtime's choice. */
  readonly threads?: number;
}

/**
 * The executor that serves. `auto` is WebGPU where an adapter answers and outruns the CPU (a
 * software adapter answers too), else the CPU; CUDA only on request.
 * @throws AttuneError device-unavailable when a device that was asked for is not there
 */
export async function openServingExecutor(options: ServingOptions): Promise<Opened<OnnxExecutor>> {
  const { device, threads = 0 } = options;
  const threaded = threads > 0 ? { threads } : {};
  if (device !== 'auto') {
    const executor = await createOnnxExecutor({ device, ...threaded });
    return { executor, reason: 'asked for' };
  }
  const cpu = await createOnnxExecutor({ device: 'cpu', ...threaded });
  let webgpu: OnnxExecutor | undefined;
  try {
    webgpu = await createOnnxExecutor({ device: 'webgpu' });
    const [cpuMs, webgpuMs] = [await productMs(cpu), await productMs(webgpu)];
    const reason = `matrix products took ${webgpuMs.toFixed(1)} ms on WebGPU, ${cpuMs.toFixed(1)} ms on the CPU`;
    const [chosen, other] = webgpuMs < cpuMs ? [webgpu, cpu] : [cpu, webgpu];
    await other.close();
    return { executor: chosen, reason };
  } catch (error) {
    await webgpu?.close();
    return { executor: cpu, reason: (error as Error).message };
  }
}

export interface TrainingOptions {
  /** `auto` is ONNX Runtime, whose step was the faster one wherever it was measured. */
  readonly executor: 'auto' | 'onnx' | 'tensorflow';
  readonly threads?: number;
}

/**
 * The executor that takes gradient steps: ONNX Runtime on the CPU, or the TensorFlow.js binding on
 * whatever device its library sees.
 * @throws AttuneError device-unavailable when TensorFlow was asked for and is not there
 */
export async function openTrainingExecutor(options: TrainingOptions): Promise<Opened> {
  const { executor: name, threads = 0 } = options;
  if (name !== 'tensorflow') {
    const { executor } = await openServingExecutor({ device: 'cpu', threads });
    return { executor, reason: name === 'auto' ? 'the default' : 'asked for' };
  }
  // Loaded only here: it brings the whole of TensorFlow.js along.
  const { createTensorFlowExecutor } = await import('./tensorflow.ts');
  const executor = await createTensorFlowExecutor({ backend: 'tensorflow' });
  return { executor, reason: 'asked for' };
}

const SIDE = 512;
const REPEATS = 3;

/** Best time of four products of 512 × 512 matrices, fed from here and a number brought home. */
async function productMs(executor: Executor): Promise<number> {
  const data = new Float32Array(SIDE * SIDE).fill(1 / SIDE);
  const x = input('x', 'f32', [SIDE, SIDE]);
  let product = x;
  for (let i = 0; i < 4; i++) product = matMul(product, x);
  const program = await executor.compile({ sum: reduceSum(product) });
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i <= REPEATS; i++) {
    const start = performance.now();
    const { sum } = await program.run({ x: { dtype: 'f32', shape: [SIDE, SIDE], data } });
    await sum?.read();
    if (i > 0) best = Math.min(best, performance.now() - start); // the first compiles shaders
  }
  await program.close();
  return best;
}
