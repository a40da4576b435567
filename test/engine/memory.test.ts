import { describe, expect, it } from 'vitest';
import { generate, openEngine, request, someIds, tinyModel } from './tiny-engine.ts';

/** Bytes outside the JavaScript heap, after garbage that nobody holds has had time to go. */
async function residentBytes(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { rss, arrayBuffers } = process.memoryUsage();
  return globalThis.gc === undefined ? rss : arrayBuffers;
}

describe('memory', () => {
  it('does not grow over 200 prompts', async () => {
    const engine = await openEngine(await tinyModel(), { cacheBytesMax: 2 ** 20, batchMax: 4 });
    const talk = async (first: number, count: number): Promise<void> => {
      for (let i = first; i < first + count; i += 4) {
        const turns = [0, 1, 2, 3].map((k) =>
          generate(engine, request(someIds(60, i + k), { cacheKey: `talk ${i + k}` })),
        );
        await Promise.all(turns);
      }
    };
    await talk(0, 100); // until every buffer has its size
    const before = await residentBytes();
    await talk(100, 200);
    const grown = (await residentBytes()) - before;
    // 200 caches of 72 tokens would take 11 MB beyond the budget.
    expect(grown).toBeLessThan(6e6);
  }, 120_000);
});
