// The executor on TensorFlow.js: the C++ library, or plain JS for tests of small graphs.
import type { Tensor as TensorFlowTensor } from '@tensorflow/tfjs-core';
import type { Tensor } from '../graph/tensor.ts';
import { ConstantPool } from './constant-pool.ts';
import type { CompileOptions, Executor, HostTensor, Program, Value } from './executor.ts';
import { type BackendName, loadBackend, useBackend } from './tensorflow-backend.ts';
import { createProgram } from './tensorflow-program.ts';
import { placed, TensorFlowValue, toTensor } from './tensorflow-value.ts';

export interface TensorFlowExecutorOptions {
  /**
   * `tensorflow`: `@tensorflow/tfjs-node-gpu`, else `@tensorflow/tfjs-node`; on CUDA where that
   * library sees a GPU. Never one for another.
   */
  readonly backend: BackendName;
}

/** @throws device-unavailable saying why, and what to install */
export async function createTensorFlowExecutor(
  options: TensorFlowExecutorOptions,
): Promise<Executor> {
  const { name: backend, device, description } = await loadBackend(options.backend);
  const constants = new ConstantPool<TensorFlowTensor>({
    async place(tensor) {
      useBackend(backend);
      return placed(tensor);
    },
    dispose: (tensor) => tensor.dispose(),
  });
  const programs = new Set<Program>();
  return {
    name: 'tensorflow',
    device,
    description,
    async compile(outputs: Readonly<Record<string, Tensor>>, compileOptions: CompileOptions = {}) {
      const onClose = (): unknown => programs.delete(program);
      const parts = { backend, outputs, options: compileOptions, constants, onClose };
      const program: Program = await createProgram(parts);
      programs.add(program);
      return program;
    },
    async upload(tensor: HostTensor): Promise<Value> {
      useBackend(backend);
      return new TensorFlowValue(toTensor(tensor), tensor.dtype);
    },
    async close() {
      for (const program of programs) await program.close();
    },
  };
}
