// Graphs as ONNX models: symbolic shapes, empty parts, files, names, and nothing computed twice.
import { join } from 'node:path';
import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { product, sum } from '../../../src/graph/dimension.ts';
import * as indexing from '../../../src/graph/indexing.ts';
import { encodeOnnx } from '../../../src/graph/onnx/encode.ts';
import * as op from '../../../src/graph/operations.ts';
import { scope, type Tensor } from '../../../src/graph/tensor.ts';
import { bool, f32, i32, numbersOf, run } from '../ort-run.ts';

const counting = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const filled = (...dims: number[]): ort.Tensor =>
  f32(dims, counting(dims.reduce((a, b) => a * b, 1)));

/** How often each operator occurs in the bytes; names are stored as they are. */
function count(outputs: Record<string, Tensor>, operator: string): number {
  const text = Buffer.from(encodeOnnx(outputs).bytes).toString('latin1');
  // field 4 of a node (0x22), its length, the operator, and field 5 or the end of the node
  return text.split(`\x22${String.fromCharCode(operator.length)}${operator}`).length - 1;
}

describe('symbolic reshapes', () => {
  const x = op.input('x', 'f32', ['batch', 'length', 4]);
  const reshapes: Record<string, readonly (number | string)[]> = {
    'splits its last axis': ['batch', 'length', 2, 2],
    'flattens its rows': [product('batch', 'length'), 4],
    'flattens everything': [product('batch', 'length', 4)],
    'gets a leading one': [1, 'batch', 'length', 4],
    'moves a factor between symbols': [product('batch', 2), 'length', 2],
    'exchanges two symbols': ['length', 'batch', 4],
  };
  const cases = Object.entries(reshapes).flatMap(([what, shape]) =>
    [
      [2, 3],
      [1, 1],
      [0, 3],
      [2, 0],
    ].map(([batch, length]) => ({ what, shape, batch, length })),
  );

  it.each(cases)('$what for batch $batch and length $length', async (each) => {
    const { shape, batch = 0, length = 0 } = each;
    const feed = filled(batch, length, 4);
    const outputs = { y: op.reshape(x, shape) };
    const { y } = await run(outputs, { x: feed }, { sizes: { batch, length } });
    expect(numbersOf(y)).toEqual(counting(batch * length * 4));
    const literal = y?.dims.reduce((a, b) => a * b, 1);
    expect([y?.dims.length, literal]).toEqual([shape.length, batch * length * 4]);
  });

  it('need no computed shape where copying or inferring a size is provably right', () => {
    const derived = (shape: readonly (number | string)[]): number =>
      encodeOnnx({ y: op.reshape(x, shape) }).derived.length;
    expect(derived(['batch', 'length', 2, 2])).toBe(0);
    expect(derived([product('batch', 'length'), 4])).toBe(0);
    expect(derived(['length', 'batch', 4])).toBe(1);
  });
});

describe('symbolic cuts', () => {
  const joined = indexing.concat(
    [op.input('past', 'f32', ['past', 2]), op.input('x', 'f32', ['length', 2])],
    0,
  );

  it.each([
    [3, 2],
    [0, 2],
    [3, 0],
  ])('take past %i and length %i apart again', async (past, length) => {
    const outputs = {
      own: indexing.slice(joined, 0, 'past', 'length'),
      padded: indexing.pad(indexing.slice(joined, 0, 'past', 'length'), 0, 1, sum('length', 2)),
      grown: indexing.broadcast(op.input('one', 'f32', [1]), ['length', 'past']),
      positions: op.add(indexing.range('length'), indexing.sizeOf('past')),
    };
    const feeds = { past: filled(past, 2), x: filled(length, 2), one: f32([1], [7]) };
    const results = await run(outputs, feeds, { sizes: { past, length } });
    expect(results.own?.dims).toEqual([length, 2]);
    expect(numbersOf(results.own)).toEqual(counting(length * 2));
    expect(numbersOf(results.padded)).toEqual([0, 0, ...counting(length * 2), 0, 0]);
    expect(results.grown?.dims).toEqual([length, past]);
    expect(numbersOf(results.grown)).toEqual(new Array(length * past).fill(7));
    expect(numbersOf(results.positions)).toEqual(counting(length).map((i) => i + past));
  });

  it('attend to an empty past', async () => {
    const key = indexing.concat(
      [op.input('past', 'f32', [1, 'past', 2]), op.input('x', 'f32', [1, 'length', 2])],
      1,
    );
    const query = op.input('q', 'f32', [1, 'length', 2]);
    const weights = op.softmax(op.matMul(query, key, { transposeB: true }));
    const feeds = { past: filled(1, 0, 2), x: f32([1, 1, 2], [1, 2]), q: f32([1, 1, 2], [3, 4]) };
    const results = await run({ y: op.matMul(weights, key) }, feeds, {
      sizes: { past: 0, length: 1 },
    });
    expect(numbersOf(results.y)).toEqual([1, 2]);
  });
});

describe('products with a shared matrix', () => {
  const w = op.input('w', 'f32', [3, 2]);
  const rows = op.input('rows', 'f32', ['batch', 'length', 2]);
  const sizes = { batch: 2, length: 2 };
  const feeds = { w: filled(3, 2), rows: filled(2, 2, 2) };
  const wanted = [1, 3, 5, 3, 13, 23, 5, 23, 41, 7, 33, 59];

  it.each(['f32', 'f64'] as const)('have the same result in %s', async (floats) => {
    const y = op.matMul(rows, w, { transposeB: true });
    const wide = Object.fromEntries(
      Object.entries(feeds).map(([name, { data, dims }]) => [
        name,
        new ort.Tensor('float64', Float64Array.from(data as Float32Array), dims),
      ]),
    );
    const results = await run({ y }, floats === 'f64' ? wide : feeds, { sizes, floats });
    expect(results.y?.type).toBe(floats === 'f64' ? 'float64' : 'float32');
    expect(numbersOf(results.y)).toEqual(wanted);
  });

  it('have the same form for WebGPU, by a Gemm over flattened rows', () => {
    const y = op.matMul(rows, w, { transposeB: true });
    const text = Buffer.from(encodeOnnx({ y }, { target: 'webgpu' }).bytes).toString('latin1');
    expect(text).toContain('Gemm');
    expect(text).not.toContain('com.microsoft');
  });
});

describe('names', () => {
  const x = op.input('x', 'f32', [2]);

  it('of two inputs must differ', () => {
    const twice = op.add(x, op.input('x', 'f32', [2]));
    expect(() => encodeOnnx({ twice })).toThrow(
      expect.objectContaining({ code: 'graph-shape', message: expect.stringContaining('input x') }),
    );
  });

  it('of an input and an output must differ', () => {
    expect(() => encodeOnnx({ x: op.exp(x) })).toThrow(
      expect.objectContaining({
        code: 'graph-shape',
        message: expect.stringContaining('output x'),
      }),
    );
  });

  it('of nodes show where they were built', () => {
    const y = scope('layers.3', () => op.exp(x));
    expect(Buffer.from(encodeOnnx({ y }).bytes).toString('latin1')).toContain('layers.3/Exp');
  });

  it('of constants may repeat', async () => {
    const named = (value: number): Tensor =>
      op.constant('c', { from: 'inline', data: Float32Array.of(value, value) }, 'f32', [2]);
    const { y } = await run({ y: op.subtract(named(5), named(3)) }, {});
    expect(numbersOf(y)).toEqual([2, 2]);
  });

  it('may be several for one value', async () => {
    const twice = op.add(x, x);
    const { a, b } = await run({ a: twice, b: twice }, { x: f32([2], [1, 2]) });
    expect([numbersOf(a), numbersOf(b)]).toEqual([
      [2, 4],
      [2, 4],
    ]);
  });
});

describe('what is encoded', () => {
  const x = op.input('x', 'f32', ['n', 4]);

  it('is each equal node once', () => {
    const mask = (): Tensor =>
      op.lessOrEqual(indexing.range('n'), op.reshape(op.cast(indexing.range('n'), 'i32'), ['n']));
    const both = op.and(mask(), mask());
    expect(count({ both }, 'LessOrEqual')).toBe(1);
    expect(encodeOnnx({ both }).derived).toHaveLength(1);
  });

  it('is only what the outputs need', () => {
    op.exp(x);
    expect(count({ y: op.sin(x) }, 'Exp')).toBe(0);
  });

  it('copies no value to give it its name as an output', () => {
    const y = op.exp(x);
    expect(count({ y, z: op.sin(y) }, 'Identity')).toBe(0);
    expect(count({ y, same: y }, 'Identity')).toBe(1);
  });

  it('is the same bytes for the same graph', () => {
    const build = (): Tensor => op.softmax(op.matMul(x, op.transpose(x, [1, 0])));
    expect(encodeOnnx({ y: build() }).bytes).toEqual(encodeOnnx({ y: build() }).bytes);
  });

  it('moves bools and integers as well as floats', async () => {
    const c = op.input('c', 'bool', ['n', 2]);
    const i = op.input('i', 'i32', ['n', 2]);
    const outputs = {
      turned: op.transpose(indexing.concat([c, op.not(c)], 1), [1, 0]),
      cut: indexing.slice(i, 1, 1, 1),
      chosen: op.select(c, c, op.not(c)),
    };
    const feeds = { c: bool([2, 2], [1, 0, 0, 1]), i: i32([2, 2], [1, 2, 3, 4]) };
    const { turned, cut, chosen } = await run(outputs, feeds, { sizes: { n: 2 } });
    expect(numbersOf(turned)).toEqual([1, 0, 0, 1, 0, 1, 1, 0]);
    expect(numbersOf(cut)).toEqual([2, 4]);
    expect(numbersOf(chosen)).toEqual([1, 1, 1, 1]);
  });
});

describe('constants in files', () => {
  const root = process.cwd();
  const at = (...parts: string[]): Tensor => {
    const source = { from: 'file', path: join(root, ...parts), offset: 4, length: 8 } as const;
    return op.constant('w', { ...source, storedAs: 'f32' }, 'f32', [2]);
  };
  const folderOf = (...tensors: Tensor[]): string | undefined =>
    encodeOnnx({ y: tensors.reduce(op.add, op.scalar(0)) }).folder;

  it('are looked for below the folder of the file', () => {
    expect(folderOf(at('a', 'w.bin'))).toBe(join(root, 'a'));
    expect(folderOf()).toBeUndefined();
  });

  it('are looked for below the deepest folder that holds all files', () => {
    expect(folderOf(at('a', 'b', 'w.bin'), at('a', 'c', 'w.bin'))).toBe(join(root, 'a'));
    expect(folderOf(at('a', 'b', 'w.bin'), at('a', 'w.bin'))).toBe(join(root, 'a'));
    expect(folderOf(at('ab', 'w.bin'), at('a', 'w.bin'))).toBe(root);
  });

  it('are named from that folder downwards, with slashes', () => {
    const { bytes } = encodeOnnx({ y: op.add(at('a', 'b', 'w.bin'), at('a', 'c.bin')) });
    const text = Buffer.from(bytes).toString('latin1');
    expect(text).toContain('b/w.bin');
    expect(text).not.toContain('..');
    expect(text).not.toContain(root);
  });
});
