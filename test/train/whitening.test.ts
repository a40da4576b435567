import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import * as op from '../../src/graph/operations.ts';
import { type Model, readModel } from '../../src/model/model.ts';
import { loadVersion } from '../../src/model/versions.ts';
import { klOfLogits } from '../../src/reading/logits.ts';
import { createReader, type Reader } from '../../src/reading/reader.ts';
import { render } from '../../src/reading/render.ts';
import type { Executor, HostTensor } from '../../src/runtime/executor.ts';
import { f32 } from '../../src/runtime/host-tensor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import type { Example } from '../../src/scenario/example.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';
import { Coordinates } from '../../src/train/coordinates.ts';
import { type Curvature, curvatureOf } from '../../src/train/curvature.ts';
import { type Optimizer, stepFeeds, updateGraph } from '../../src/train/optimizer.ts';
import { parametersOf } from '../../src/train/plan.ts';
import {
  coordinatesOf,
  factorsFrom,
  normOfCoordinates,
  type Whitening,
  whitened,
  whiteningOf,
} from '../../src/train/whitening.ts';
import { wordRenderer } from '../fakes/word-renderer.ts';

// A model is run with gradient.
vi.setConfig({ testTimeout: 60_000 });

const LLAMA = fileURLToPath(new URL('../fixtures/transformers/llama', import.meta.url));
const random = createRandom('whitening');
const gaussian = (size: number): Float32Array => random.fillGaussian(new Float32Array(size), 1);

/** A Bᵀ of matrices with that many rows of `width` entries each. */
const product = (a: ArrayLike<number>, b: ArrayLike<number>, width: number): number[][] => {
  const rows = (of: ArrayLike<number>) =>
    Array.from({ length: of.length / width }, (_, i) =>
      Array.from({ length: width }, (_, j) => of[i * width + j] as number),
    );
  return rows(a).map((x) =>
    rows(b).map((y) => x.reduce((sum, value, i) => sum + value * (y[i] as number), 0)),
  );
};
const transposed = (values: ArrayLike<number>, columns: number): number[] =>
  Array.from({ length: columns }, (_, j) =>
    Array.from({ length: values.length / columns }, (_, i) => values[i * columns + j] as number),
  ).flat();

const [HEADS, HEAD, COLUMNS] = [2, 3, 5];
const SHAPE: readonly [number, number] = [HEADS * HEAD, COLUMNS];

/** Σ of some outer products: symmetric, positive. */
function spread(size: number): number[] {
  const rows = gaussian(size * (size + 2));
  return product(transposed(rows, size), transposed(rows, size), size + 2).flat();
}

const curvature: Curvature = {
  input: Float64Array.from(spread(COLUMNS)),
  output: Float64Array.from([...spread(HEAD), ...spread(HEAD)]),
};

/** leftᵀ Z right, written out. */
function weightsOf(z: ArrayLike<number>, { left, right }: Whitening): number[] {
  const byHead = Array.from({ length: HEADS }, (_, head) => {
    const block = left.subarray(head * HEAD * HEAD, (head + 1) * HEAD * HEAD);
    const part = Array.from(
      { length: HEAD * COLUMNS },
      (_, i) => z[head * HEAD * COLUMNS + i] as number,
    );
    return product(transposed(block, HEAD), transposed(part, COLUMNS), HEAD).flat();
  }).flat();
  return product(byHead, transposed(right, COLUMNS), COLUMNS).flat();
}

describe('the coordinates of a matrix', () => {
  it('are whitened by the damped curvature', async () => {
    const { right } = await whiteningOf(curvature, SHAPE);
    const trace = curvature.input.reduce((sum, v, i) => sum + (i % (COLUMNS + 1) ? 0 : v), 0);
    const damped = curvature.input.map(
      (v, i) => v + (i % (COLUMNS + 1) ? 0 : (0.1 * trace) / COLUMNS),
    );
    const half = product(right, damped, COLUMNS).flat();
    for (const [i, row] of product(half, right, COLUMNS).entries()) {
      for (const [j, value] of row.entries()) expect(value).toBeCloseTo(i === j ? 1 : 0, 4);
    }
  });

  it('are found again, and factors of them are factors of the change', async () => {
    const whitening = await whiteningOf(curvature, SHAPE);
    const z = gaussian(SHAPE[0] * SHAPE[1]);
    const data = Float32Array.from(weightsOf(z, whitening));
    const found = await coordinatesOf({ shape: SHAPE, data }, whitening);
    for (const [i, value] of found.data.entries()) expect(value).toBeCloseTo(z[i] as number, 4);

    const [loraA, loraB] = [gaussian(2 * COLUMNS), gaussian(SHAPE[0] * 2)];
    const ofZ = product(loraB, transposed(loraA, COLUMNS), 2).flat();
    const ofW = factorsFrom({ shape: SHAPE, loraA, loraB }, whitening);
    const whole = product(ofW.loraB, transposed(ofW.loraA, COLUMNS), 2).flat();
    for (const [i, value] of weightsOf(ofZ, whitening).entries()) {
      expect(whole[i]).toBeCloseTo(value, 4);
    }
  });
});

describe('on a model', () => {
  let executor: Executor;
  let model: Model;
  let reader: Reader;
  let before: Readonly<Record<string, HostTensor>>;
  let examples: Example[];
  let cacheDir: string;

  beforeAll(async () => {
    cacheDir = mkdtempSync(join(tmpdir(), 'attune-whitening-'));
    executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
    model = await readModel(LLAMA, { cacheDir });
    reader = createReader({ model, executor });
    before = (await loadVersion(model, [])).weights;
    const scenes = Array.from({ length: 12 }, (_, i) => {
      const word = (): string => `w${random.int(100)}`;
      return parseScenario({
        ...{ id: `s${i}`, kind: 'listen', spans: [] },
        messages: [{ role: 'user', content: `${word()} ${word()} do ${word()}` }],
        chosen: `yes ${word()} ${word()} ${word()} ${word()}`,
        source: { origin: 'suite', cluster: `c${i}`, domain: 'words' },
      });
    });
    const limits = { windowTokens: 60, replyTokensMax: 8 };
    examples = render(scenes, { renderer: wordRenderer(128), limits }, []);
  });
  afterAll(async () => {
    await reader.close();
    await executor.close();
    rmSync(cacheDir, { recursive: true });
  });

  async function predict(
    { contextIds, chosen }: Example,
    weights: typeof before,
  ): Promise<HostTensor> {
    const cache = await reader.prefill(contextIds, weights);
    return reader.logits(cache, chosen, weights).finally(() => cache.release());
  }

  const read = (signal?: AbortSignal) =>
    curvatureOf(examples, {
      ...{ model, executor, weights: before, seed: 1, signal },
      predict: (example) => predict(example, before),
    });

  it('a step of one length moves what is held by about one KL, whatever its direction', async () => {
    const curvatures = await read();
    const first = await Promise.all(examples.map((example) => predict(example, before)));
    const parameters = parametersOf(model);
    const length = 0.1;
    const kls: number[] = [];
    for (let direction = 0; direction < 8; direction++) {
      const { name, shape } = parameters[direction % 2] as (typeof parameters)[number];
      const whitening = await whiteningOf(curvatures?.[name] as Curvature, shape);
      const [rows, columns] = shape;
      // One pair of vectors, as different as they come.
      const [loraB, loraA] = [gaussian(rows), gaussian(columns)];
      const norm = Math.hypot(...loraB) * Math.hypot(...loraA);
      const one = factorsFrom(
        { shape, loraA, loraB: loraB.map((v) => (v * length) / norm) },
        whitening,
      );
      const data = (before[name] as HostTensor).data.slice() as Float32Array;
      for (let i = 0; i < data.length; i++) {
        const row = Math.floor(i / columns);
        data[i] =
          (data[i] as number) + (one.loraB[row] as number) * (one.loraA[i % columns] as number);
      }
      const after = { ...before, [name]: f32([...shape], data) };
      const moved = await Promise.all(
        examples.map(async (example, i) =>
          klOfLogits(first[i] as HostTensor, await predict(example, after)),
        ),
      );
      kls.push(moved.reduce((a, b) => a + b, 0) / moved.length);
    }
    // ½ ρ² without damping; less with it, for these directions carry much of what is seldom seen.
    for (const kl of kls) {
      expect(kl).toBeLessThan(2 * length ** 2);
      expect(kl).toBeGreaterThan(length ** 2 / 100);
    }
    expect(Math.max(...kls) / Math.min(...kls)).toBeLessThan(12);
  });

  it('a matrix moves by as much as it has to learn, and is never left out', async () => {
    const parameters = parametersOf(model);
    const coordinates = new Coordinates(parameters);
    const options = { model, executor, weights: before, seed: 1 };
    const reading = { ...options, predict: (example: Example) => predict(example, before) };
    expect(await coordinates.read(examples, reading)).toBe(true);
    const plain = parameters.map(({ name }) => coordinates.of(name));
    const sums = (sizes: readonly number[]) =>
      Object.fromEntries(
        parameters.map(({ name, shape }, i) => {
          const gradient = gaussian(shape[0] * shape[1]);
          const norm = normOfCoordinates(gradient, plain[i] as Whitening);
          return [
            name,
            f32(
              [...shape],
              gradient.map((v) => (v * (sizes[i] ?? 0)) / norm),
            ),
          ];
        }),
      );
    const shares = () =>
      parameters.map(
        ({ name }, i) => (coordinates.of(name).left[0] ?? 0) / (plain[i]?.left[0] ?? 0),
      );
    coordinates.scale(sums([3, 1]));
    expect(shares()[0]).toBeCloseTo(1.5, 3);
    expect(shares()[1]).toBeCloseTo(0.5, 3);
    // The next arm begins with what was read, not with what this one made of it.
    await coordinates.read(examples, reading);
    coordinates.scale(sums([1, 0]));
    expect(shares()[0]).toBeCloseTo(2, 3);
    expect(shares()[1]).toBeCloseTo(0.05, 3);
  });

  it('curvature is the same for the same seed, and is left where it is aborted', async () => {
    const [one, two] = [await read(), await read()];
    expect(one).toEqual(two);
    expect(await read(AbortSignal.abort())).toBeUndefined();
  });

  it('the optimizer works on coordinates, and the weights follow', async () => {
    const plain: Optimizer = {
      init: () => ({}),
      update: (_, { weight, gradient }, { rate, correction }) => ({
        weight: op.subtract(weight, op.multiply(op.multiply(rate, correction), gradient)),
        state: {},
      }),
      feeds: () => ({}),
    };
    const whitening = await whiteningOf(curvature, SHAPE);
    const parameter = { name: 'w', shape: SHAPE };
    const optimizer = whitened(plain, HEAD, () => whitening);
    const program = await executor.compile(updateGraph(optimizer, [parameter]));
    const z = gaussian(SHAPE[0] * SHAPE[1]);
    const gradient = gaussian(SHAPE[0] * SHAPE[1]);
    const results = await program.run({
      ...stepFeeds(optimizer, [parameter], { step: 0, rate: 0.5, gradientScale: 1 }),
      w: f32([...SHAPE], Float32Array.from(weightsOf(z, whitening))),
      'sum.w': f32([...SHAPE], gradient),
    });
    const after = await results['next.w']?.read();
    await program.close();
    // What the gradient of Z is: left G rightᵀ.
    const byHead = Array.from({ length: HEADS }, (_, head) => {
      const block = whitening.left.subarray(head * HEAD * HEAD, (head + 1) * HEAD * HEAD);
      const part = gradient.subarray(head * HEAD * COLUMNS, (head + 1) * HEAD * COLUMNS);
      return product(block, transposed(part, COLUMNS), HEAD).flat();
    }).flat();
    const correction = Math.sqrt(0.001) / 0.1;
    const ofZ = product(byHead, whitening.right, COLUMNS).flat();
    expect(normOfCoordinates(gradient, whitening)).toBeCloseTo(Math.hypot(...ofZ), 3);
    const moved = weightsOf(
      z.map((value, i) => value - 0.5 * correction * (ofZ[i] as number)),
      whitening,
    );
    for (const [i, value] of moved.entries()) expect(after?.data[i]).toBeCloseTo(value, 4);
  });
});
