// Tensors that TensorFlow.js holds, as the executor interface hands them out.
import * as tf from '@tensorflow/tfjs-core';
import { AttuneError } from '../base/errors.ts';
import type { DataType } from '../graph/tensor.ts';
import type { HostTensor, Value } from './executor.ts';
import { ARRAYS, assertWhole } from './host-tensor.ts';
import { TF_TYPES } from './tensorflow-kernels.ts';

/** Owns one tensor until it is released. */
export class TensorFlowValue implements Value {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly #tensor: tf.Tensor;

  constructor(tensor: tf.Tensor, dtype: DataType) {
    this.#tensor = tensor;
    this.dtype = dtype;
    this.shape = [...tensor.shape];
  }

  /** Still owned by this value. @throws runtime-failed after release */
  get tensor(): tf.Tensor {
    if (!this.#tensor.isDisposed) return this.#tensor;
    const value = `a value of (${this.shape.join(', ')}) ${this.dtype}`;
    throw new AttuneError('runtime-failed', `${value} was used after its release`);
  }

  async read(): Promise<HostTensor> {
    return readTensor(this.tensor, this.dtype);
  }

  release(): void {
    this.#tensor.dispose();
  }
}

/** A result that is in host memory already; nothing is held for it elsewhere. */
export class HostValue implements Value {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  #host: HostTensor | undefined;

  constructor(host: HostTensor) {
    this.#host = host;
    this.dtype = host.dtype;
    this.shape = host.shape;
  }

  async read(): Promise<HostTensor> {
    if (this.#host !== undefined) return this.#host;
    throw new AttuneError('runtime-failed', 'a value was read after its release');
  }

  release(): void {
    this.#host = undefined;
  }
}

/** A copy: later writes to `host.data` do not show. The caller disposes it. */
export function toTensor(host: HostTensor): tf.Tensor {
  assertWhole(host);
  return placed({ ...host, data: host.data.slice() });
}

/** Over the very data where the backend is in this process. The caller disposes it. */
export const placed = ({ data, shape, dtype }: HostTensor): tf.Tensor =>
  tf.tensor(data, [...shape], TF_TYPES[dtype]);

/**
 * A copy in this process's memory; the tensor stays. Copied because a backend may answer with the
 * very memory of a constant, or (plain JS, after a cast) with an array of another type.
 */
export async function readTensor(tensor: tf.Tensor, dtype: DataType): Promise<HostTensor> {
  const data = await tensor.data();
  return { dtype, shape: [...tensor.shape], data: new ARRAYS[dtype](data) };
}
