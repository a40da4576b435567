// Tensors that ONNX Runtime holds, as the executor interface hands them out.
import ort from 'onnxruntime-node';
import { AttuneError } from '../base/errors.ts';
import type { DataType } from '../graph/tensor.ts';
import type { HostData, HostTensor, Value } from './executor.ts';
import { assertWhole } from './host-tensor.ts';

const TYPE_NAMES = { f32: 'float32', i32: 'int32', bool: 'bool' } as const;

/** Where tensors are. With its last session a device goes, and its tensors with it. */
export interface Home {
  readonly isClosed: boolean;
  copyToHost(tensor: ort.Tensor, dtype: DataType): Promise<HostTensor>;
}

/** Owns one tensor until it is released. */
export class OnnxValue implements Value {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly #home: Home;
  #tensor: ort.Tensor | undefined;

  constructor(tensor: ort.Tensor, dtype: DataType, home: Home) {
    this.dtype = dtype;
    this.shape = [...tensor.dims];
    this.#tensor = tensor;
    this.#home = home;
  }

  /** Still owned by this value. @throws AttuneError runtime-failed after its release or its device's */
  get tensor(): ort.Tensor {
    if (this.#tensor !== undefined && !this.#isGone) return this.#tensor;
    const what = `(${this.shape.join(', ')}) ${this.dtype}`;
    const message = `a value of ${what} was used after its release`;
    throw new AttuneError('runtime-failed', message);
  }

  /** In host memory the very array of this value, no copy: whoever changes it changes both. */
  async read(): Promise<HostTensor> {
    const { tensor, dtype, shape } = this;
    if (tensor.location !== 'cpu') return this.#home.copyToHost(tensor, dtype);
    return { dtype, shape, data: tensor.data as HostData };
  }

  release(): void {
    if (this.#tensor?.location !== 'cpu' && !this.#isGone) this.#tensor?.dispose();
    this.#tensor = undefined;
  }

  get #isGone(): boolean {
    return this.#home.isClosed && this.#tensor?.location !== 'cpu';
  }
}

/** Wraps the caller's memory, no copy. @throws AttuneError runtime-failed when it does not fit */
export function toOrtTensor(host: HostTensor): ort.Tensor {
  assertWhole(host);
  return new ort.Tensor(TYPE_NAMES[host.dtype], host.data as Float32Array, host.shape);
}
