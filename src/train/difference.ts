// How far weights moved: differences and norms of sets of matrices.
import { addDelta, type DeltaTensor } from '../model/delta.ts';
import type { HostTensor } from '../runtime/executor.ts';

/** f32, row-major. */
export type FloatTensor = HostTensor & { readonly data: Float32Array };

type HostTensors = Readonly<Record<string, HostTensor>>;

const tensorOf = (tensors: HostTensors, name: string): HostTensor => {
  const tensor = tensors[name];
  if (tensor === undefined) throw new Error(`train: no tensor ${name}`);
  return tensor;
};

/** after − before, f32, of the named matrices. */
export function differences(
  after: HostTensors,
  before: HostTensors,
  names: readonly string[],
): Record<string, FloatTensor> {
  return Object.fromEntries(
    names.map((name) => {
      const a = tensorOf(after, name);
      const b = tensorOf(before, name).data;
      const data = Float32Array.from(a.data, (value, i) => value - (b[i] as number));
      return [name, { dtype: 'f32' as const, shape: a.shape, data }];
    }),
  );
}

/** `factor` × delta. */
export function scaled(
  delta: Readonly<Record<string, FloatTensor>>,
  factor: number,
): Record<string, FloatTensor> {
  return Object.fromEntries(
    Object.entries(delta).map(([name, one]) => [
      name,
      { ...one, data: one.data.map((value) => factor * value) },
    ]),
  );
}

/** Frobenius norm over all matrices together. */
export function normOf(tensors: HostTensors): number {
  let total = 0;
  for (const { data } of Object.values(tensors)) for (const value of data) total += value * value;
  return Math.sqrt(total);
}

/** ‖after − before‖ ÷ ‖before‖ over the named matrices together. */
export function movedShare(
  after: HostTensors,
  before: HostTensors,
  names: readonly string[],
): number {
  const start = Object.fromEntries(names.map((name) => [name, tensorOf(before, name)]));
  return normOf(differences(after, before, names)) / normOf(start);
}

/** before + delta, for every matrix of `before`; rounded once. */
export async function plus(
  before: HostTensors,
  delta: Readonly<Record<string, DeltaTensor>>,
): Promise<Record<string, HostTensor>> {
  const after: Record<string, HostTensor> = { ...before };
  for (const [name, change] of Object.entries(delta)) {
    const tensor = tensorOf(before, name);
    const sum = Float64Array.from(tensor.data);
    await addDelta(sum, change);
    after[name] = { ...tensor, data: Float32Array.from(sum) };
  }
  return after;
}
