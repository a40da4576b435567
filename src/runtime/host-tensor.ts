// Tensors in this process's memory, made of what they hold.
import type { HostTensor } from './executor.ts';

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

export const zeros = (shape: readonly number[]): HostTensor =>
  f32(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));

/** Of shape (). */
export const number = (value: number): HostTensor => f32([], Float32Array.of(value));
