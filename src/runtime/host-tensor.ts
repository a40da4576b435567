// Makes tensors in host memory, brings those of a run there, and takes them to a device.
import { AttuneError } from '../base/errors.ts';
import type { Executor, HostTensor, Value } from './executor.ts';

const tensor =
  <Data extends HostTensor['data']>(dtype: HostTensor['dtype']) =>
  (shape: readonly number[], data: Data): HostTensor => ({ dtype, shape, data });

export const i32 = tensor<Int32Array>('i32');
export const f32 = tensor<Float32Array>('f32');
/** One byte an element, 1 = true. */
export const bool = tensor<Uint8Array>('bool');

const elementsOf = (shape: readonly number[]): number =>
  shape.reduce((product, size) => product * size, 1);

export const zeros = (shape: readonly number[]): HostTensor =>
  f32(shape, new Float32Array(elementsOf(shape)));

/** i32: `from`, `from` + 1, … */
export const ascending = (shape: readonly number[], from = 0): HostTensor =>
  i32(
    shape,
    Int32Array.from({ length: elementsOf(shape) }, (_, i) => from + i),
  );

/** What holds the elements of each type. */
export const ARRAYS = { f32: Float32Array, i32: Int32Array, bool: Uint8Array } as const;

/** @throws AttuneError runtime-failed when the data are not of this shape and type */
export function assertWhole({ data, shape, dtype }: HostTensor): void {
  if (data.length === elementsOf(shape) && data instanceof ARRAYS[dtype]) return;
  const given = `${data.length} elements of ${data.constructor.name}`;
  const message = `${given} are no (${shape.join(', ')}) ${dtype}`;
  throw new AttuneError('runtime-failed', message, { dtype });
}

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

/** Brings tensors to where an executor computes; whoever asked releases them. */
export async function uploadAll(
  executor: Executor,
  tensors: Readonly<Record<string, HostTensor>>,
): Promise<Record<string, Value>> {
  const values: Record<string, Value> = {};
  for (const [name, tensor] of Object.entries(tensors))
    values[name] = await executor.upload(tensor);
  return values;
}

export function releaseAll(values: Readonly<Record<string, Value>>): void {
  for (const value of Object.values(values)) value.release();
}
