// Makes tensors in host memory, and brings those of a run there; none copies what it is given.
import type { HostTensor, Value } from './executor.ts';

export const i32 = (shape: readonly number[], data: Int32Array): HostTensor => ({
  dtype: 'i32',
  shape,
  data,
});

export const f32 = (shape: readonly number[], data: Float32Array): HostTensor => ({
  dtype: 'f32',
  shape,
  data,
});

/** One byte an element, 1 = true. */
export const bool = (shape: readonly number[], data: Uint8Array): HostTensor => ({
  dtype: 'bool',
  shape,
  data,
});

export const zeros = (shape: readonly number[]): HostTensor =>
  f32(shape, new Float32Array(shape.reduce((product, size) => product * size, 1)));

/** Of shape (). */
export const number = (value: number): HostTensor => f32([], Float32Array.of(value));

/** Reads all values of a run and releases them. */
export async function takeAll(
  values: Readonly<Record<string, Value>>,
): Promise<Record<string, HostTensor>> {
  const tensors: Record<string, HostTensor> = {};
  for (const [name, value] of Object.entries(values)) {
    tensors[name] = await value.read();
    value.release();
  }
  return tensors;
}
