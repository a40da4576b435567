// What a case of one operation is, and short ways to write one.
import * as op from '../../../src/graph/operations.ts';
import type { DataType, Shape, Tensor } from '../../../src/graph/tensor.ts';
import type { HostTensor } from '../../../src/runtime/executor.ts';

export interface OperationCase {
  /** A sentence of behaviour. */
  readonly title: string;
  readonly output: Tensor;
  readonly feeds: Readonly<Record<string, HostTensor>>;
  readonly expected: HostTensor;
}

export const f32 = (shape: readonly number[], values: readonly number[]): HostTensor => ({
  dtype: 'f32',
  shape,
  data: Float32Array.from(values),
});
export const i32 = (shape: readonly number[], values: readonly number[]): HostTensor => ({
  dtype: 'i32',
  shape,
  data: Int32Array.from(values),
});
export const bool = (shape: readonly number[], values: readonly (0 | 1)[]): HostTensor => ({
  dtype: 'bool',
  shape,
  data: Uint8Array.from(values),
});

export const inf = Number.POSITIVE_INFINITY;
/** 0, 1, … as values that are easy to tell apart. */
export const counting = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
export const input = (name: string, dtype: DataType, ...shape: Shape): Tensor =>
  op.input(name, dtype, shape);

type Build = (inputs: Record<string, Tensor>) => Tensor;

/** Inputs take the shapes of the feeds, literal. */
export function given(
  title: string,
  feeds: Record<string, HostTensor>,
  build: Build,
  expected: HostTensor,
): OperationCase {
  const inputs = Object.fromEntries(
    Object.entries(feeds).map(([name, fed]) => [name, input(name, fed.dtype, ...fed.shape)]),
  );
  return { title, output: build(inputs), feeds, expected };
}

/** Hand-made inputs, for symbolic shapes. */
export function symbolic(
  title: string,
  output: Tensor,
  feeds: Record<string, HostTensor>,
  expected: HostTensor,
): OperationCase {
  return { title, output, feeds, expected };
}

export const t = (inputs: Record<string, Tensor>, name: string): Tensor => inputs[name] as Tensor;
