import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KeptContexts } from '../../src/reading/kept-contexts.ts';
import { differences, plus } from '../../src/train/difference.ts';
import {
  example,
  nudged,
  openTinyReading,
  type TinyReading,
  wordScenario,
} from '../reading/tiny-reading.ts';

let tiny: TinyReading;
beforeAll(async () => {
  tiny = await openTinyReading();
});
afterAll(() => tiny.close());

describe('a difference', () => {
  it('leads from the weights before to those after', async () => {
    const after = nudged(tiny.base, 'move');
    const delta = differences(after, tiny.base, Object.keys(tiny.base));
    const back = await plus(tiny.base, delta);
    const name = 'layers.0.qProj';
    for (const [i, value] of (after[name]?.data ?? []).entries()) {
      expect(back[name]?.data[i]).toBeCloseTo(value, 5);
    }
  });
});

describe('kept contexts', () => {
  it('stay within the budget, least recently used first, and run again to the same bits', async () => {
    const examples = [0, 1, 2, 3, 4, 5].map((i) => example(wordScenario(i)));
    const contexts = new KeptContexts(tiny.reader, 1_000_000);
    const read = async (index: number): Promise<unknown> => {
      const cache = await contexts.get(examples[index]?.contextIds ?? [], tiny.base);
      const key = (await cache.values['past.0.key']?.read())?.data.slice();
      cache.release();
      return key;
    };
    const first = await read(0);
    const { bytes } = contexts;
    expect(bytes).toBeGreaterThan(0);
    for (const index of examples.keys()) await read(index);
    expect(contexts.bytes).toBeGreaterThan(bytes);
    contexts.release();
    expect(contexts.bytes).toBe(0);
    expect(await read(0)).toEqual(first);
    contexts.release();
    const small = new KeptContexts(tiny.reader, bytes * 2);
    for (const { contextIds } of examples) (await small.get(contextIds, tiny.base)).release();
    expect(small.bytes).toBeLessThanOrEqual(bytes * 2);
    small.release();
  });
});
