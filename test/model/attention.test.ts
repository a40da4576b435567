import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Model } from '../../src/model/model.ts';
import { primitiveGraph } from '../../src/model/transformer.ts';
import type { Executor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import * as run from './runner.ts';
import { Runner } from './runner.ts';

let executor: Executor;
beforeAll(async () => {
  executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
});
afterAll(() => executor.close());

/** One fixture of each kind of attention: plain, with biases, scaled, one key-value head, q/k norm. */
const NAMES = ['llama', 'llama-biased-sharded', 'llama3', 'llama3-words-of-4', 'qwen2', 'qwen3'];

/** Rows `[from, to)` of (1, rows, width). */
const rowsOf = (values: Float32Array, from: number, to: number, width: number) =>
  values.slice(from * width, to * width);

/** Pads sequences on one side to a batch; the mask hides the padding. */
function padded(sequences: readonly number[][], side: 'left' | 'right'): run.Feeds {
  const batch = sequences.length;
  const length = Math.max(...sequences.map((ids) => ids.length));
  const rows = sequences.map((ids) => {
    const padding = new Array<number>(length - ids.length).fill(0);
    const place = (values: number[]) =>
      side === 'left' ? [...padding, ...values] : [...values, ...padding];
    return { ids: place(ids), positions: place([...ids.keys()]), mask: place(ids.map(() => 1)) };
  });
  return {
    ids: run.i32(
      [batch, length],
      rows.flatMap((row) => row.ids),
    ),
    positions: run.i32(
      [batch, length],
      rows.flatMap((row) => row.positions),
    ),
    keyMask: run.bool(
      [batch, length],
      rows.flatMap((row) => row.mask),
    ),
  };
}

describe.each(NAMES)('attention of %s', (name) => {
  test('is the same whether the keys come from the cache or from this run', async () => {
    const { model, expected } = await run.readFixture(name);
    const { ids } = expected;
    const { vocabSize } = model.config;
    const whole = await Runner.primitive(executor, model, {
      past: 'none',
      outputs: { logits: true, present: true },
    });
    const cached = await Runner.primitive(executor, model, {
      outputs: { logits: true, present: true },
    });
    const all = await whole.run(run.sequence(ids));
    let past = run.emptyPast(model);
    let seen = 0;
    for (const size of [1, 6, 5, 1, 1]) {
      const chunk = ids.slice(seen, seen + size);
      const results = await cached.run({ ...run.sequence(chunk, seen), ...past });
      const wanted = rowsOf(run.valuesOf(all, 'logits'), seen, seen + size, vocabSize);
      expect(run.distance(run.valuesOf(results, 'logits'), wanted)).toBeLessThan(1e-5);
      past = run.pastFrom(results);
      seen += size;
    }
  });

  test.each(['left', 'right'] as const)(
    'of a batch padded on the %s is that of its members alone',
    async (side) => {
      const { model, expected } = await run.readFixture(name);
      const { vocabSize } = model.config;
      const sequences = [expected.ids, expected.ids.slice(3, 10), expected.ids.slice(5, 6)];
      const length = expected.ids.length;
      const runner = await Runner.primitive(executor, model, {
        past: 'none',
        outputs: { logits: true, attention: true },
      });
      const together = await runner.run(padded(sequences, side));
      const logits = run.valuesOf(together, 'logits');
      expect(logits.every(Number.isFinite)).toBe(true);
      expect(run.valuesOf(together, 'attention.0').every(Number.isFinite)).toBe(true);
      for (const [row, ids] of sequences.entries()) {
        const alone = run.valuesOf(await runner.run(run.sequence(ids)), 'logits');
        const start = row * length + (side === 'left' ? length - ids.length : 0);
        const own = rowsOf(logits, start, start + ids.length, vocabSize);
        expect(run.distance(own, alone)).toBeLessThan(1e-5);
      }
    },
  );

  test('reads one shared past as a batch reads copies of it', async () => {
    const { model, expected } = await run.readFixture(name);
    const { ids } = expected;
    const context = await Runner.primitive(executor, model, {
      past: 'none',
      outputs: { own: true },
    });
    const past = run.pastFrom(await context.run(run.sequence(ids.slice(0, 9))), 'own');
    const copies = Object.fromEntries(
      Object.entries(past).map(([key, { shape, data }]) => [
        key,
        run.f32([2, ...shape.slice(1)], [...(data as Float32Array), ...(data as Float32Array)]),
      ]),
    );
    const feeds = {
      ids: run.i32([2, 4], [...ids.slice(9, 13), ...ids.slice(12, 16)]),
      positions: run.i32([2, 4], [9, 10, 11, 12, 9, 10, 11, 12]),
      keyMask: run.bool([2, 13], [...new Array(24).fill(1), 0, 1]),
    };
    const outputs = { logits: true, attention: true };
    const shared = await Runner.primitive(executor, model, { past: 'shared', outputs });
    const own = await Runner.primitive(executor, model, { outputs });
    const a = await shared.run({ ...feeds, ...past });
    const b = await own.run({ ...feeds, ...copies });
    for (const key of Object.keys(b)) {
      expect(run.distance(run.valuesOf(a, key), run.valuesOf(b, key))).toBeLessThan(1e-5);
    }
  });

  test('gives chosen rows exactly as among all rows', async () => {
    const { model, expected } = await run.readFixture(name);
    const { ids } = expected;
    const { vocabSize, numAttentionHeads: heads } = model.config;
    const outputs = { logits: true, attention: true, logProbabilities: true };
    const all = await Runner.primitive(executor, model, { past: 'none', outputs });
    const chosen = await Runner.primitive(executor, model, {
      past: 'none',
      outputs,
      rows: 'chosen',
    });
    const feeds = run.sequence(ids);
    const length = ids.length;
    const a = await all.run({ ...feeds, targets: run.i32([1, length], ids) });
    const rows = [2, 11, 19];
    const b = await chosen.run({
      ...feeds,
      rows: run.i32([1, 3], rows),
      targets: run.i32(
        [1, 3],
        rows.map((row) => ids[row] as number),
      ),
    });
    const pick = (key: string, width: number, first = 0) =>
      rows.flatMap((row) => [...rowsOf(run.valuesOf(a, key), first + row, first + row + 1, width)]);
    expect(run.distance(run.valuesOf(b, 'logits'), pick('logits', vocabSize))).toBeLessThan(1e-5);
    const scored = run.valuesOf(b, 'logProbabilities');
    expect(run.distance(scored, pick('logProbabilities', 1))).toBeLessThan(1e-5);
    const wanted = Array.from({ length: heads }, (_, h) => pick('attention.1', length, h * length));
    expect(run.valuesOf(b, 'attention.1')).toEqual(Float32Array.from(wanted.flat()));
  });
});

test('a product made repeatable changes nothing but the bits', async () => {
  const { model, expected } = await run.readFixture('llama');
  const options = { past: 'none', outputs: { logits: true } } as const;
  const plain = await Runner.primitive(executor, model, options);
  const repeatable = await Runner.primitive(executor, model, { ...options, isRepeatable: true });
  const a = run.valuesOf(await plain.run(run.sequence(expected.ids)), 'logits');
  const b = run.valuesOf(await repeatable.run(run.sequence(expected.ids)), 'logits');
  expect(run.distance(a, b)).toBeLessThan(1e-5);
});

describe('a graph lists as inputs', () => {
  const inputsOf = (model: Model, outputs: Parameters<typeof primitiveGraph>[1]['outputs']) =>
    Object.keys(primitiveGraph(model, { past: 'none', outputs }).inputs).sort();

  test('no weight that its outputs do not need', async () => {
    const { model } = await run.readFixture('llama');
    expect(inputsOf(model, { own: true })).toEqual([
      'ids',
      'keyMask',
      'layers.0.qProj',
      'positions',
    ]);
  });

  test('the weights that were asked to be trainable, and only those', async () => {
    const { model } = await run.readFixture('qwen2');
    const graph = primitiveGraph(model, {
      trainable: (name) => /\.(kProj|oProj)$/.test(name),
      outputs: { logits: true },
    });
    const wanted = ['layers.0.kProj', 'layers.0.oProj', 'layers.1.kProj', 'layers.1.oProj'];
    expect(Object.keys(graph.parameters).sort()).toEqual(wanted);
  });
});
