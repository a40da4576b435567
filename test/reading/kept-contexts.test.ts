import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { keepContexts } from '../../src/reading/kept-contexts.ts';
import { createReader } from '../../src/reading/reader.ts';
import { scoreExamples } from '../../src/reading/scenario-margin.ts';
import {
  example,
  nudged,
  openTinyReading,
  type TinyReading,
  wordScenario,
} from './tiny-reading.ts';

// A model reads many examples.
vi.setConfig({ testTimeout: 60_000 });

let tiny: TinyReading;
beforeAll(async () => {
  tiny = await openTinyReading();
});
afterAll(() => tiny.close());

const examples = () => [0, 1, 2, 3].map((i) => example(wordScenario(i)));

/** A reader that keeps so much, and how many bytes one context takes. */
async function open(contexts: number) {
  const { model, executor } = tiny;
  const probe = await tiny.reader.prefill(examples()[0]?.contextIds ?? [], tiny.base);
  probe.release();
  return keepContexts(createReader({ model, executor }), contexts * probe.bytes);
}

describe('a reader that keeps contexts', () => {
  it('gives the same numbers as one that does not, asked twice and out of order', async () => {
    const other = nudged(tiny.base, 'night');
    for (const contexts of [0, 2, 100]) {
      const reader = await open(contexts);
      for (const list of [examples(), examples().reverse()]) {
        for (const [weights, cacheWeights] of [
          [tiny.base, tiny.base],
          [other, tiny.base],
          [other, other],
        ] as const) {
          const margins = async (by: typeof reader | typeof tiny.reader) =>
            (await scoreExamples(by, list, weights, cacheWeights)).map(({ margin }) => margin);
          expect(await margins(reader)).toEqual(await margins(tiny.reader));
        }
      }
      await reader.close();
    }
  });

  it('runs a context once under one set of weights, and again under another', async () => {
    const reader = await open(100);
    const ids = examples()[0]?.contextIds ?? [];
    const [one, two] = [await reader.prefill(ids, tiny.base), await reader.prefill(ids, tiny.base)];
    expect(two.values).toEqual(one.values);
    const [name] = Object.keys(one.values);
    expect(two.values[name ?? '']).toBe(one.values[name ?? '']);
    const other = await reader.prefill(ids, nudged(tiny.base, 'night'));
    expect(other.values[name ?? '']).not.toBe(one.values[name ?? '']);
    await reader.close();
  });

  it('never takes a context away from who is using it, however little it may keep', async () => {
    const reader = await open(0);
    const [first, second] = examples();
    const mine = await reader.prefill(first?.contextIds ?? [], tiny.base);
    const theirs = await reader.prefill(second?.contextIds ?? [], tiny.base);
    theirs.release();
    theirs.release();
    const [name = ''] = Object.keys(mine.values);
    expect((await mine.values[name]?.read())?.data.length).toBeGreaterThan(0);
    mine.release();
    await reader.close();
  });
});
