// Runs a graph on ONNX Runtime without the executor, for tests of the graph alone.
import ort from 'onnxruntime-node';
import { encodeOnnx } from '../../src/graph/onnx/encode.ts';
import type { Tensor } from '../../src/graph/tensor.ts';

export const f32 = (dims: readonly number[], values: readonly number[]): ort.Tensor =>
  new ort.Tensor('float32', Float32Array.from(values), dims);
export const i32 = (dims: readonly number[], values: readonly number[]): ort.Tensor =>
  new ort.Tensor('int32', Int32Array.from(values), dims);
export const bool = (dims: readonly number[], values: readonly number[]): ort.Tensor =>
  new ort.Tensor('bool', Uint8Array.from(values), dims);

export interface RunSettings {
  readonly sizes?: Readonly<Record<string, number>>;
  readonly floats?: 'f32' | 'f64';
}

export type Feeds = Readonly<Record<string, ort.Tensor>>;

/** A function that runs the graph; feeds that it does not need are left out. */
export async function prepare(
  outputs: Readonly<Record<string, Tensor>>,
  { sizes = {}, floats = 'f32' }: RunSettings = {},
): Promise<(feeds: Feeds) => Promise<Record<string, ort.Tensor>>> {
  const { bytes, derived } = encodeOnnx(outputs, { floats });
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 4 });
  const bindings = new Map(Object.entries(sizes));
  const own = derived.map(({ name, type, rank, derive }) => {
    const values = derive(bindings);
    const dims = rank === 0 ? [] : [values.length];
    const wide = (): ort.Tensor =>
      new ort.Tensor(
        'int64',
        BigInt64Array.from(values, (value) => BigInt(value)),
        dims,
      );
    return [name, type === 'i32' ? i32(dims, values) : wide()] as const;
  });
  return async (feeds) => {
    const used = Object.entries(feeds).filter(([name]) => session.inputNames.includes(name));
    return { ...(await session.run(Object.fromEntries([...own, ...used]))) };
  };
}

export async function run(
  outputs: Readonly<Record<string, Tensor>>,
  feeds: Feeds,
  settings: RunSettings = {},
): Promise<Record<string, ort.Tensor>> {
  return (await prepare(outputs, settings))(feeds);
}

export const numbersOf = (tensor: ort.Tensor | undefined): number[] =>
  Array.from((tensor?.data ?? []) as Float32Array);
