import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { perplexityRatios } from '../../src/measure/retention.ts';
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

describe('the perplexity of everyday turns', () => {
  const short = wordScenario(1);
  const examples = [
    example(short),
    example({ ...wordScenario(2), chosen: Array(9).fill(short.chosen).join(' ') }),
  ];

  it('rises by what a token loses, so that long replies count for more', async () => {
    const other = nudged(tiny.base, 'other');
    const rises: number[] = [];
    for (const { contextIds, chosen } of examples) {
      const read = async (weights: typeof other) => {
        const cache = await tiny.reader.prefill(contextIds, weights);
        const [values] = await tiny.reader.logProbabilities(cache, [chosen], weights);
        cache.release();
        return [...(values ?? [])];
      };
      const [before, after] = [await read(tiny.base), await read(other)];
      rises.push(...before.map((was, i) => was - (after[i] ?? 0)));
    }
    const [ratio] = await perplexityRatios(tiny.reader, examples, other, [tiny.base]);
    const mean = rises.reduce((total, rise) => total + rise, 0) / rises.length;
    expect(rises.length).toBeGreaterThan(examples.length * 3);
    expect(Math.abs(mean)).toBeGreaterThan(1e-4);
    expect(ratio?.ratio).toBeCloseTo(Math.exp(mean), 6);
  });

  it('is the same under the same weights, and unknown without turns', async () => {
    const [same] = await perplexityRatios(tiny.reader, examples, tiny.base, [tiny.base]);
    expect(same).toEqual({ ratio: 1, high: 1 });
    const [none] = await perplexityRatios(tiny.reader, [], tiny.base, [tiny.base]);
    expect(none?.ratio).toBe(Number.MAX_VALUE);
  });
});
