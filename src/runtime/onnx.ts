// The executor on ONNX Runtime: CPU, WebGPU or CUDA, whichever was asked for and never another.
import ort from 'onnxruntime-node';
import { AttuneError } from '../base/errors.ts';
import { slice } from '../graph/indexing.ts';
import { add, input } from '../graph/operations.ts';
import type { DataType, Tensor } from '../graph/tensor.ts';
import { ConstantPool } from './constant-pool.ts';
import type { CompileOptions, Executor, HostTensor, Program, Value } from './executor.ts';
import { createOnnxProgram, type OnnxDevice } from './onnx-program.ts';
import { type Home, OnnxValue, toOrtTensor } from './onnx-value.ts';

export interface OnnxExecutorOptions {
  readonly device: OnnxDevice;
  /** Threads of one operation on the CPU; the number of physical cores when absent. */
  readonly threads?: number;
}

/** @throws AttuneError device-unavailable saying why, and what to install */
export async function createOnnxExecutor(options: OnnxExecutorOptions): Promise<Executor> {
  const executor = new OrtExecutor(options);
  if (options.device !== 'cpu') await executor.probe();
  return executor;
}

class OrtExecutor implements Executor, Home {
  readonly name = 'onnx';
  readonly description = `onnxruntime-node ${ort.env.versions.node ?? ort.env.versions.common}`;
  readonly device: OnnxDevice;
  isClosed = false;
  readonly #sessionOptions: ort.InferenceSession.SessionOptions;
  readonly #programs = new Set<Program>();
  readonly #copies = new Map<string, Promise<Program>>();
  readonly #constants: ConstantPool<OnnxValue> | undefined;

  constructor(options: OnnxExecutorOptions) {
    this.device = options.device;
    if (this.device === 'webgpu') {
      this.#constants = new ConstantPool({
        place: (tensor) => this.upload(tensor),
        dispose: (value) => value.release(),
      });
    }
    this.#sessionOptions = sessionOptionsOf(options);
  }

  async compile(
    outputs: Readonly<Record<string, Tensor>>,
    options: CompileOptions = {},
  ): Promise<Program> {
    const program = await createOnnxProgram({
      device: this.device,
      outputs,
      options,
      sessionOptions: this.#sessionOptions,
      home: this,
      constants: this.#constants,
      onClose: (closed) => this.#programs.delete(closed),
    });
    this.#programs.add(program);
    return program;
  }

  /** On the CPU the value wraps the very array of `tensor`; on WebGPU it is a copy there. */
  async upload(tensor: HostTensor): Promise<OnnxValue> {
    const local = toOrtTensor(tensor);
    if (this.device !== 'webgpu' || tensor.data.length === 0) {
      return new OnnxValue(local, tensor.dtype, this);
    }
    const program = await this.#copy(tensor.dtype, tensor.shape.length, ['copy']);
    const { copy, first } = await program.run({ x: tensor });
    first?.release();
    return copy as OnnxValue;
  }

  async close(): Promise<void> {
    for (const program of [...this.#programs]) await program.close();
    this.#copies.clear();
    this.isClosed = true;
  }

  /** Runs one addition on the device. */
  async probe(): Promise<void> {
    try {
      const x = input('x', 'f32', [2]);
      const program = await this.compile({ sum: add(x, x) });
      await program.run({ x: { dtype: 'f32', shape: [2], data: Float32Array.of(1, 2) } });
      await program.close();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const message = `${this.device} does not answer (${reason.trim()}). ${REMEDY[this.device]}`;
      throw new AttuneError('device-unavailable', message, { device: this.device }, { cause });
    }
  }

  /** As the output of a run: `getData` of a tensor on the GPU ends the process in 1.30. */
  async copyToHost(tensor: ort.Tensor, dtype: DataType): Promise<HostTensor> {
    const program = await this.#copy(dtype, tensor.dims.length, []);
    const { copy } = await program.run({ x: new OnnxValue(tensor, dtype, this) });
    return (copy as Value).read();
  }

  #copy(dtype: DataType, rank: number, keepOnDevice: readonly string[]): Promise<Program> {
    const key = `${dtype} ${rank} ${keepOnDevice}`;
    const known = this.#copies.get(key);
    if (known !== undefined) return known;
    const shape = Array.from({ length: rank }, (_, axis) => `size${axis}`);
    const x = input('x', dtype, shape);
    // That comes home, so the run waits for the device, which else collects what is on its way.
    const first = shape.reduce<Tensor>((part, _, axis) => slice(part, axis, 0, 1), x);
    const isUpload = keepOnDevice.length > 0 && dtype === 'f32' && shape.length > 0;
    const program = this.compile({ copy: x, ...(isUpload && { first }) }, { keepOnDevice });
    this.#copies.set(key, program);
    return program;
  }
}

const REMEDY = {
  cpu: '',
  webgpu:
    'WebGPU needs a GPU with a Vulkan driver and loader (Debian: apt-get install libvulkan1 ' +
    'mesa-vulkan-drivers, or the vendor driver), Metal or Direct3D 12; or set the device to cpu',
  cuda:
    'CUDA needs an NVIDIA driver, CUDA 12 and cuDNN 9, and the CUDA libraries of ' +
    'onnxruntime-node (ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node); ' +
    'or set the device to cpu',
} as const satisfies Record<OnnxDevice, string>;

function sessionOptionsOf(options: OnnxExecutorOptions): ort.InferenceSession.SessionOptions {
  const { device, threads } = options;
  return {
    executionProviders: [device],
    graphOptimizationLevel: 'all',
    executionMode: 'sequential',
    logSeverityLevel: 4, // what goes wrong is thrown
    ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
    extra: device === 'cpu' ? {} : { 'session.disable_cpu_ep_fallback': '1' },
  };
}
