// Quantised matrices in ONNX Runtime: products and rows against the widened matrix.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import { type GgufType, typeNamed } from '../../src/gguf/block-type.ts';
import { type PackedForm, packBlocks, packedFormOf } from '../../src/gguf/packed.ts';
import { gather } from '../../src/graph/indexing.ts';
import { constant, input, matMul } from '../../src/graph/operations.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import type { CompileOptions, Executor, HostTensor } from '../../src/runtime/executor.ts';
import { f32, i32, takeAll } from '../../src/runtime/host-tensor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { QUANTISED, randomBlocks } from '../gguf/random-blocks.ts';
import { temporaryFolder } from '../model/runner.ts';

const [OUT, INNER] = [48, 256];

let executor: Executor;
let folder: string;
beforeAll(async () => {
  executor = await createOnnxExecutor({ device: 'cpu', threads: 2 });
  folder = await temporaryFolder();
});
afterAll(() => executor?.close());

async function packedConstant(name: string): Promise<{ weight: Tensor; values: Float32Array }> {
  const type = typeNamed(name) as GgufType;
  const blocks = randomBlocks(name, OUT * INNER);
  const values = new Float32Array(OUT * INNER);
  type.dequantize?.(blocks, values);
  const { hasMinima, ...form } = packedFormOf(type) as PackedForm;
  const { codes, scales, minima } = packBlocks(type, blocks);
  const range = async (part: string, { buffer }: { buffer: ArrayBuffer }) => {
    const path = join(folder, `${name}.${part}`);
    await writeFile(path, new Uint8Array(buffer));
    return { path, offset: 0, length: buffer.byteLength };
  };
  const source = {
    ...{ from: 'blocks' as const, ...form },
    codes: await range('codes', codes),
    scales: await range('scales', scales),
    minima: hasMinima ? await range('minima', minima) : undefined,
  };
  return { weight: constant('w', source, 'f32', [OUT, INNER]), values };
}

const someRows = (rows: number): HostTensor =>
  f32([rows, INNER], createRandom('x').fillGaussian(new Float32Array(rows * INNER), 1));

function timesTransposed({ data }: HostTensor, values: Float32Array): number[] {
  const products: number[] = [];
  for (let row = 0; row < data.length / INNER; row++) {
    for (let out = 0; out < OUT; out++) {
      let sum = 0;
      for (let i = 0; i < INNER; i++) {
        sum += (data[row * INNER + i] as number) * (values[out * INNER + i] as number);
      }
      products.push(sum);
    }
  }
  return products;
}

async function run(
  result: Tensor,
  feeds: Readonly<Record<string, HostTensor>>,
  options: CompileOptions = {},
): Promise<Float32Array> {
  const program = await executor.compile({ result }, options);
  const { result: found } = await takeAll(await program.run(feeds));
  await program.close();
  return found?.data as Float32Array;
}

/** Root mean square of the difference, as a share of that of `wanted`. */
function errorOf(found: ArrayLike<number>, wanted: readonly number[]): number {
  const squares = (of: readonly number[]): number => of.reduce((total, x) => total + x * x, 0);
  const differences = wanted.map((value, i) => (found[i] as number) - value);
  return Math.sqrt(squares(differences) / squares(wanted));
}

describe.each(QUANTISED)('%s', (name) => {
  it('is multiplied exactly, and closely where activations are rounded', async () => {
    const { weight, values } = await packedConstant(name);
    const x = someRows(5);
    const product = matMul(input('x', 'f32', ['rows', INNER]), weight, { transposeB: true });
    const wanted = timesTransposed(x, values);
    expect(errorOf(await run(product, { x }), wanted)).toBeLessThan(2e-6);
    const packed = { isPrepacked: true };
    expect(errorOf(await run(product, { x }, packed), wanted)).toBeLessThan(2e-6);
    const rounded = await run(product, { x }, { ...packed, roundsActivations: true });
    expect(errorOf(rounded, wanted)).toBeLessThan(2e-2);
    expect(errorOf(rounded, wanted)).toBeGreaterThan(1e-5);
  });

  it('gives its rows bit for bit, and takes more axes than two', async () => {
    const { weight, values } = await packedConstant(name);
    const ids = i32([2, 3], Int32Array.of(47, 0, 3, 3, 11, 46));
    const rows = gather(weight, input('ids', 'i32', ['batch', 3]));
    const wanted = Float32Array.from(
      [...ids.data].flatMap((row) => [...values.subarray(row * INNER, (row + 1) * INNER)]),
    );
    expect(await run(rows, { ids })).toEqual(wanted);
    const x = f32([2, 3, INNER], wanted);
    const product = matMul(input('x', 'f32', ['a', 'b', INNER]), weight, { transposeB: true });
    expect(errorOf(await run(product, { x }), timesTransposed(x, values))).toBeLessThan(2e-6);
  });

  it('gives a row the same bits whatever rows are beside it, but alone at 4 bits', async () => {
    const { weight } = await packedConstant(name);
    const product = matMul(input('x', 'f32', ['rows', INNER]), weight, { transposeB: true });
    const program = await executor.compile(
      { product },
      { isPrepacked: true, roundsActivations: true },
    );
    const all = someRows(9).data as Float32Array;
    const firstOf = async (rows: number): Promise<Float32Array> => {
      const x = f32([rows, INNER], all.slice(0, rows * INNER));
      const found = (await takeAll(await program.run({ x }))).product as HostTensor;
      return (found.data as Float32Array).slice(0, OUT);
    };
    const fewest = packedFormOf(typeNamed(name))?.bits === 8 ? 1 : 2;
    const wanted = await firstOf(fewest);
    for (const rows of [2, 3, 4, 5, 8, 9]) expect(await firstOf(rows)).toEqual(wanted);
    await program.close();
  });
});

it('is no value of its own', async () => {
  const { weight } = await packedConstant('Q4_0');
  const x = input('x', 'f32', ['rows', OUT]);
  await expect(executor.compile({ y: matMul(x, weight) })).rejects.toMatchObject({
    code: 'graph-shape',
  });
});
