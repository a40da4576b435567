// Chooses the device and opens an executor on it; what was asked for by name is never replaced.
import { existsSync } from 'node:fs';
import { AttuneError } from '../base/errors.ts';
import { input, matMul, reduceSum } from '../graph/operations.ts';
import type { Executor } from './executor.ts';
import { mayHaveCard, NVIDIA } from './graphics-card.ts';
import { createOnnxExecutor } from './onnx.ts';

export type DeviceChoice = 'auto' | 'cpu' | 'webgpu' | 'cuda';

export interface Opened {
  readonly executor: Executor;
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
export async function openServingExecutor(options: ServingOptions): Promise<Opened> {
  const { device, threads = 0 } = options;
  const threaded = threads > 0 ? { threads } : {};
  if (device !== 'auto') {
    const executor = await createOnnxExecutor({ device, ...threaded });
    return { executor, reason: 'asked for' };
  }
  const cpu = await createOnnxExecutor({ device: 'cpu', ...threaded });
  return fastestOf(cpu, [() => createOnnxExecutor({ device: 'webgpu' })]);
}

/** The CPU, or the fastest of what opens beside it; the others are closed. */
async function fastestOf(
  cpu: Executor,
  others: readonly (() => Promise<Executor>)[],
): Promise<Opened> {
  if (!mayHaveCard()) return { executor: cpu, reason: 'no GPU is attached to this machine' };
  let best = cpu;
  const reasons: string[] = [];
  for (const open of others) {
    let gpu: Executor | undefined;
    try {
      gpu = await open();
      const { executor, reason } = await fasterOf(gpu, best);
      await (executor === gpu ? best : gpu).close();
      best = executor;
      reasons.push(reason);
    } catch (error) {
      await gpu?.close();
      reasons.push((error as Error).message);
    }
  }
  return { executor: best, reason: reasons.join('; ') };
}

/** Which of two executors multiplies matrices faster; neither is closed. */
export async function fasterOf(gpu: Executor, cpu: Executor): Promise<Opened> {
  // A small product first: a software adapter is found out before it takes seconds.
  const side = (await productMs(gpu, 128)) > SOFTWARE_MS ? 128 : 1024;
  const [gpuMs, cpuMs] = [await productMs(gpu, side), await productMs(cpu, side)];
  const took = `${gpuMs.toFixed(1)} ms on ${gpu.device}, ${cpuMs.toFixed(1)} ms on ${cpu.device}`;
  const reason = `a matrix product of side ${side} took ${took}`;
  return { executor: gpuMs < cpuMs ? gpu : cpu, reason };
}

/** A product of side 128 takes a GPU below 5 ms, SwiftShader on two cores about 100. */
const SOFTWARE_MS = 50;

export type TrainingDevice = 'auto' | 'cpu' | 'webgpu' | 'tensorflow' | 'elsewhere';

export interface TrainingOptions {
  readonly device: TrainingDevice;
  readonly threads?: number;
}

/**
 * The executor that takes gradient steps. `auto`, and `elsewhere` for what is measured here, is the
 * fastest of the CPU, WebGPU and, on CUDA, the TensorFlow.js binding; which of two is faster says a
 * product of matrices.
 * @throws AttuneError device-unavailable when what was asked for by name is not there
 */
export async function openTrainingExecutor(options: TrainingOptions): Promise<Opened> {
  const { device, threads = 0 } = options;
  if (device === 'tensorflow') return { executor: await openTensorFlow(), reason: 'asked for' };
  if (device === 'cpu' || device === 'webgpu') return openServingExecutor({ device, threads });
  const { executor: cpu } = await openServingExecutor({ device: 'cpu', threads });
  const webgpu = (): Promise<Executor> => createOnnxExecutor({ device: 'webgpu' });
  return fastestOf(cpu, existsSync(NVIDIA) ? [webgpu, openCuda] : [webgpu]);
}

/** Loaded only here: it brings the whole of TensorFlow.js along. */
async function openTensorFlow(): Promise<Executor> {
  const { createTensorFlowExecutor } = await import('./tensorflow.ts');
  return createTensorFlowExecutor({ backend: 'tensorflow' });
}

/** On the CPU ONNX Runtime is faster. @throws device-unavailable where TensorFlow sees no card */
async function openCuda(): Promise<Executor> {
  const executor = await openTensorFlow();
  if (executor.device === 'cuda') return executor;
  await executor.close();
  throw new AttuneError('device-unavailable', 'TensorFlow sees no graphics card');
}

/** Best time of three products of square matrices that are fed from here. */
async function productMs(executor: Executor, side: number): Promise<number> {
  const feed = { dtype: 'f32', shape: [side, side], data: new Float32Array(side * side) } as const;
  const x = input('x', 'f32', feed.shape);
  const program = await executor.compile({ sum: reduceSum(matMul(x, x)) });
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 4; i++) {
    const start = performance.now();
    const { sum } = await program.run({ x: feed });
    await sum?.read(); // waits for the device
    if (i > 0) best = Math.min(best, performance.now() - start); // the first compiles shaders
  }
  await program.close();
  return best;
}
