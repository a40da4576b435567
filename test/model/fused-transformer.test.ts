import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fusedGraph } from '../../src/model/fused-transformer.ts';
import type { Executor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import * as run from './runner.ts';
import { Runner } from './runner.ts';

let executor: Executor;
beforeAll(async () => {
  executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
});
afterAll(() => executor.close());

/** Rows `[from, to)` of (1, rows, width). */
const rowsOf = (values: Float32Array, from: number, to: number, width: number) =>
  values.slice(from * width, to * width);

describe.each(run.FIXTURE_NAMES)('attention of %s by the fused kernel', (name) => {
  test('is that of the primitive graph, in prefill, chunk and decode', async () => {
    const { model, expected } = await run.readFixture(name);
    const { ids } = expected;
    const { vocabSize } = model.config;
    const primitive = await Runner.primitive(executor, model, {
      past: 'none',
      outputs: { logits: true, present: true },
    });
    const whole = await primitive.run(run.sequence(ids));
    const wanted = (row: number) => rowsOf(run.valuesOf(whole, 'logits'), row, row + 1, vocabSize);
    const fused = await Runner.of(executor, model, fusedGraph(model, { keep: 'present' }));
    let past = run.emptyPast(model);
    let seen = 0;
    for (const size of [7, 5, 1, 1]) {
      const results = await fused.run({
        ...fusedFeeds([ids.slice(seen, seen + size)], [seen]),
        ...past,
      });
      seen += size;
      const difference = run.distance(run.valuesOf(results, 'logits'), wanted(seen - 1));
      expect(difference).toBeLessThan(2e-5);
      past = run.pastFrom(results);
    }
    const prefix = await primitive.run(run.sequence(ids.slice(0, seen)));
    for (const [key, { data }] of Object.entries(run.pastFrom(prefix))) {
      const kept = past[key]?.data as Float32Array;
      expect(run.distance(kept, data as Float32Array)).toBeLessThan(2e-5);
    }
  });

  test('serves rows of different lengths, and its own keys are the new ones', async () => {
    const { model, expected } = await run.readFixture(name);
    const sequences = [expected.ids.slice(0, 9), expected.ids.slice(4, 8)];
    const { vocabSize, numKeyValueHeads: kvHeads, headDim } = model.config;
    const layers = model.config.numHiddenLayers;
    const primitive = await Runner.primitive(executor, model, {
      past: 'none',
      outputs: { logits: true, own: true },
    });
    const fused = await Runner.of(executor, model, fusedGraph(model));
    const prefill = await fused.run({
      ...fusedFeeds(sequences, [0, 0]),
      ...run.emptyPast(model, 2),
    });
    const after: Float32Array[] = [];
    const pasts: run.Feeds[] = [];
    for (const [row, ids] of sequences.entries()) {
      const alone = await primitive.run(run.sequence(ids));
      const logits = rowsOf(run.valuesOf(prefill, 'logits'), row, row + 1, vocabSize);
      const last = rowsOf(run.valuesOf(alone, 'logits'), ids.length - 1, ids.length, vocabSize);
      expect(run.distance(logits, last)).toBeLessThan(2e-5);
      const logSum = Math.log(last.reduce((sum, logit) => sum + Math.exp(logit), 0));
      expect(run.valuesOf(prefill, 'logSums')[row]).toBeCloseTo(logSum, 5);
      const [next] = expected.ids.slice(9 + row);
      const longer = await primitive.run(run.sequence([...ids, next as number]));
      after.push(rowsOf(run.valuesOf(longer, 'logits'), ids.length, ids.length + 1, vocabSize));
      pasts.push(run.pastFrom(alone, 'own'));
      // Fused: (batch, length, layers * 2 * kvHeads * headDim), keys before values.
      // Primitive: (1, kvHeads, length, headDim).
      const own = run.valuesOf(prefill, 'own');
      const width = kvHeads * headDim;
      for (let part = 0; part < 2 * layers; part++) {
        const name = `own.${part >> 1}.${part % 2 === 0 ? 'key' : 'value'}`;
        const alike = run.valuesOf(alone, name);
        for (let at = 0; at < ids.length; at++) {
          for (let i = 0; i < width; i++) {
            const [head, d] = [Math.floor(i / headDim), i % headDim];
            const other = alike[(head * ids.length + at) * headDim + d] as number;
            const from = (row * 9 + at) * layers * 2 * width + part * width;
            expect(own[from + i]).toBeCloseTo(other, 4);
          }
        }
      }
    }
    const decode = await fused.run({
      ...fusedFeeds([expected.ids.slice(9, 10), expected.ids.slice(10, 11)], [9, 4]),
      ...stacked(pasts, 9),
    });
    for (const [row, wanted] of after.entries()) {
      const logits = rowsOf(run.valuesOf(decode, 'logits'), row, row + 1, vocabSize);
      expect(run.distance(logits, wanted)).toBeLessThan(2e-5);
    }
  });
});

/** Pasts of single rows as one batch, each filled up with zeros at its end to `capacity` keys. */
function stacked(pasts: readonly run.Feeds[], capacity: number): run.Feeds {
  const names = Object.keys(pasts[0] as run.Feeds);
  const entries = names.map((name) => {
    const rows = pasts.map((past) => past[name] as run.Feeds[string]);
    const [first] = rows as [run.Feeds[string]];
    const [, kvHeads, , headDim] = first.shape as [number, number, number, number];
    const data = rows.flatMap(({ shape, data }) => {
      const width = (shape[2] as number) * headDim;
      return Array.from({ length: kvHeads }, (_, head) => {
        const filled = new Float32Array(capacity * headDim);
        filled.set(data.subarray(head * width, (head + 1) * width));
        return [...filled];
      }).flat();
    });
    return [name, run.f32([rows.length, kvHeads, capacity, headDim], data)];
  });
  return Object.fromEntries(entries);
}

/** Feeds of the fused graph: right-padded rows upon `pastTokens` each. */
function fusedFeeds(sequences: readonly number[][], pastTokens: readonly number[]): run.Feeds {
  const batch = sequences.length;
  const length = Math.max(...sequences.map((ids) => ids.length));
  const rows = sequences.map((ids) => [...ids, ...new Array<number>(length - ids.length).fill(0)]);
  const totals = sequences.map((ids, row) => ids.length + (pastTokens[row] as number));
  return {
    ids: run.i32([batch, length], rows.flat()),
    positions: run.i32(
      [batch, length],
      rows.flatMap((ids, row) => ids.map((_, at) => at + (pastTokens[row] as number))),
    ),
    lengths: run.i32(
      [batch],
      totals.map((total) => total - 1),
    ),
    total: run.i32([], [Math.max(...totals)]),
    last: run.i32(
      [batch],
      sequences.map((ids, row) => row * length + ids.length - 1),
    ),
  };
}
