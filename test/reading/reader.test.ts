import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createReader } from '../../src/reading/reader.ts';
import {
  example,
  nudged,
  openTinyReading,
  type TinyReading,
  wordScenario,
} from './tiny-reading.ts';

let tiny: TinyReading;
beforeAll(async () => {
  tiny = await openTinyReading();
});
afterAll(() => tiny.close());

describe('a reader', () => {
  const { contextIds, chosen } = example(wordScenario(1));
  const { chosen: other } = example(wordScenario(2));

  it('reads the same whether a context is prefilled whole or in chunks', async () => {
    const chunked = createReader({ ...tiny, prefillChunkTokens: 3 });
    const [whole, parts] = [
      await tiny.reader.prefill(contextIds, tiny.base),
      await chunked.prefill(contextIds, tiny.base),
    ];
    expect([parts.tokens, parts.bytes]).toEqual([whole.tokens, whole.bytes]);
    const [a] = await tiny.reader.logProbabilities(whole, [chosen], tiny.base);
    const [b] = await chunked.logProbabilities(parts, [chosen], tiny.base);
    for (const [i, value] of (a ?? []).entries()) expect(b?.[i]).toBeCloseTo(value, 5);
    await chunked.close();
  });

  it('scores a candidate the same alone and in a batch that shares the context', async () => {
    const cache = await tiny.reader.prefill(contextIds, tiny.base);
    const both = [chosen, other];
    const together = await tiny.reader.logProbabilities(cache, both, tiny.base);
    for (const [i, candidate] of both.entries()) {
      const [alone] = await tiny.reader.logProbabilities(cache, [candidate], tiny.base);
      expect(together[i]).toHaveLength(candidate.ids.length);
      for (const [t, value] of (alone ?? []).entries()) {
        expect(together[i]?.[t]).toBeCloseTo(value, 5);
      }
    }
    cache.release();
  });

  it('captures attention whose visible weights add up to one in every head', async () => {
    const cache = await tiny.reader.prefill(contextIds, tiny.base);
    const capture = await tiny.reader.capture(cache, chosen, tiny.base, [0, 2]);
    expect(capture.rows).toEqual([contextIds.length, contextIds.length + 2]);
    for (let row = 0; row < capture.layers * capture.heads * 2; row++) {
      const weights = capture.weights.subarray(row * capture.keys, (row + 1) * capture.keys);
      expect(weights.reduce((total, w) => total + w, 0)).toBeCloseTo(1, 5);
    }
    cache.release();
  });

  it('gives other keys under other weights from the second layer on', async () => {
    const other = await tiny.reader.prefill(contextIds, nudged(tiny.base, 'other'));
    const base = await tiny.reader.prefill(contextIds, tiny.base);
    const key = async (cache: typeof base, layer: number) =>
      (await cache.values[`past.${layer}.key`]?.read())?.data;
    expect(await key(other, 0)).toEqual(await key(base, 0));
    expect(await key(other, 1)).not.toEqual(await key(base, 1));
  });
});
