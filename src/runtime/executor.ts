// What it takes to run a tensor graph: the one interface that both executors implement.
import type { DataType, Tensor } from '../graph/tensor.ts';

export type HostData = Float32Array | Int32Array | Uint8Array;

/** A tensor in this process's memory; bool is one byte an element. Row-major. */
export interface HostTensor {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly data: HostData;
}

/**
 * A tensor where the executor wants it (host memory, GPU buffer). Whoever received it owns it and
 * releases it once; feeding it to a run does not consume it.
 */
export interface Value {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  /** Copies it to host memory, where it is not there already. */
  read(): Promise<HostTensor>;
  release(): void;
}

/** A compiled graph. `run` is not reentrant; callers queue. */
export interface Program {
  /** Names of inputs and outputs are those given to `compile`. @throws runtime-failed */
  run(feeds: Readonly<Record<string, Value | HostTensor>>): Promise<Record<string, Value>>;
  close(): Promise<void>;
}

export interface CompileOptions {
  /** Outputs that stay on the device between runs (KV caches, weights, optimizer state). */
  readonly keepOnDevice?: readonly string[];
  /**
   * Packs constant matrices for the kernels at compile time: faster products of few rows, and the
   * same bits whatever rows are beside a row, at the cost of a private copy. Off when absent; an
   * executor that has nothing to pack ignores it.
   */
  readonly isPrepacked?: boolean;
  /**
   * Products with quantised matrices round their other operand to 8 bits, several times faster for
   * one row; off when absent: they are summed in f32.
   */
  readonly roundsActivations?: boolean;
}

export type ExecutorName = 'onnx' | 'tensorflow';
export type DeviceName = 'cpu' | 'webgpu' | 'cuda';

export interface Executor {
  readonly name: ExecutorName;
  readonly device: DeviceName;
  /** What runs: packages and versions. */
  readonly description: string;
  /** @throws graph-unsupported, runtime-failed */
  compile(outputs: Readonly<Record<string, Tensor>>, options?: CompileOptions): Promise<Program>;
  upload(tensor: HostTensor): Promise<Value>;
  close(): Promise<void>;
}
