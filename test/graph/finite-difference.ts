// Checks a gradient against central differences, both computed in f64 by ONNX Runtime.
import ort from 'onnxruntime-node';
import { expect } from 'vitest';
import { evaluate } from '../../src/graph/dimension.ts';
import { gradients } from '../../src/graph/gradient.ts';
import { input, multiply, reduceSum } from '../../src/graph/operations.ts';
import type { Shape, Tensor } from '../../src/graph/tensor.ts';
import { prepare } from './ort-run.ts';

export interface Differentiated {
  /** Shape of each f32 input, which may be symbolic. */
  readonly inputs: Readonly<Record<string, Shape>>;
  readonly sizes?: Readonly<Record<string, number>>;
  /** i32 and bool inputs, fed as given. */
  readonly fixed?: Readonly<Record<string, ort.Tensor>>;
  /** Value of element `i` of every input; away from kinks and poles of the function. */
  readonly at?: (i: number, name: string) => number;
  readonly build: (inputs: Readonly<Record<string, Tensor>>) => Tensor;
  readonly isRecomputing?: boolean;
}

const STEP = 1e-5;
const TOLERANCE = 1e-7;

/**
 * The loss is Σ f(x)²: every element of the result has another cotangent.
 * Compares `∂loss/∂x` of each input, element by element.
 */
export async function expectGradients(given: Differentiated): Promise<void> {
  const sizes = new Map(Object.entries(given.sizes ?? {}));
  const at = given.at ?? ((i, name) => Math.sin(3.7 * i + name.length) * 1.5 + 0.31);
  const inputs = mapValues(given.inputs, (shape, name) => input(name, 'f32', shape));
  const fixedInputs = mapValues(given.fixed ?? {}, ({ type, dims }, name) =>
    input(name, type === 'bool' ? 'bool' : 'i32', dims),
  );
  const result = given.build({ ...inputs, ...fixedInputs });
  const loss = reduceSum(multiply(result, result));
  const names = Object.keys(inputs);
  const { isRecomputing = false } = given;
  const found = gradients(loss, Object.values(inputs), { isRecomputing });
  const outputs = Object.fromEntries(names.map((name, i) => [`d${name}`, found[i] as Tensor]));
  const run = await prepare({ loss, ...outputs }, { sizes: given.sizes ?? {}, floats: 'f64' });
  const feeds = mapValues(given.inputs, (shape, name) => {
    const dims = shape.map((dimension) => evaluate(dimension, sizes));
    const data = Float64Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) =>
      at(i, name),
    );
    return new ort.Tensor('float64', data, dims);
  });
  const lossAt = async (): Promise<number> =>
    (await run({ ...feeds, ...given.fixed })).loss?.data[0] as number;
  const derivatives = await run({ ...feeds, ...given.fixed });
  for (const name of names) {
    const feed = feeds[name] as ort.Tensor;
    const data = feed.data as Float64Array;
    const got = derivatives[`d${name}`] as ort.Tensor;
    expect([name, got.dims]).toEqual([name, feed.dims]);
    for (let i = 0; i < data.length; i++) {
      const value = data[i] as number;
      data[i] = value + STEP;
      const above = await lossAt();
      data[i] = value - STEP;
      const below = await lossAt();
      data[i] = value;
      const wanted = (above - below) / (2 * STEP);
      const error = Math.abs(((got.data[i] as number) - wanted) / Math.max(1, Math.abs(wanted)));
      if (!(error < TOLERANCE)) {
        expect.fail(`d${name}[${i}] is ${got.data[i]}, finite differences give ${wanted}`);
      }
    }
  }
}

function mapValues<From, To>(
  record: Readonly<Record<string, From>>,
  change: (value: From, name: string) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([name, v]) => [name, change(v, name)]));
}
