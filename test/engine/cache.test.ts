import { beforeAll, describe, expect, it } from 'vitest';
import { assertVersion, cutRuns, reusableTokens, withRun } from '../../src/engine/prefix-cache.ts';
import { generate, openEngine, request, someIds, tinyModel } from './tiny-engine.ts';

let modelDir: string;
beforeAll(async () => {
  modelDir = await tinyModel();
});

/** Of the tiny model: 3 layers, 2 key-value heads of 16, keys and values, f32. */
const BYTES_PER_TOKEN = 2 * 3 * 2 * 16 * 4;

describe('the cache of a talk', () => {
  it('lets a second turn prefill only its new tokens, to the same reply', async () => {
    const engine = await openEngine(modelDir);
    const first = await generate(engine, request(someIds(40), { cacheKey: 'talk' }));
    expect(first.reusedTokens).toBe(0);
    const second = [...someIds(40), ...first.ids, ...someIds(10, 3)];
    const cached = await generate(engine, request(second, { cacheKey: 'talk' }));
    // The last token of a reply has not been run yet.
    expect(cached.reusedTokens).toBe(40 + first.ids.length - 1);
    const fresh = await generate(engine, request(second));
    expect(cached.ids).toEqual(fresh.ids);
  });

  it('keeps the common part when the talk branches', async () => {
    const engine = await openEngine(modelDir);
    await generate(engine, request(someIds(40), { cacheKey: 'talk' }));
    const branch = [...someIds(25), ...someIds(20, 5)];
    const reply = await generate(engine, request(branch, { cacheKey: 'talk' }));
    const common = branch.findIndex((id, i) => id !== [...someIds(40)][i]);
    expect(reply.reusedTokens).toBe(common);
    expect(reply.ids).toEqual((await generate(engine, request(branch))).ids);
  });

  it('runs the last prompt token again when the prompt is wholly cached', async () => {
    const engine = await openEngine(modelDir);
    const once = await generate(engine, request(someIds(30), { cacheKey: 'talk' }));
    const again = await generate(engine, request(someIds(30), { cacheKey: 'talk' }));
    expect(again.reusedTokens).toBe(29);
    expect(again.ids).toEqual(once.ids);
  });

  it('is not shared between talks, nor kept without a key', async () => {
    const engine = await openEngine(modelDir);
    await generate(engine, request(someIds(30), { cacheKey: 'a' }));
    await generate(engine, request(someIds(30)));
    const other = await generate(engine, request(someIds(30), { cacheKey: 'b' }));
    expect(other.reusedTokens).toBe(0);
  });

  it('is there for the next turn after an abort', async () => {
    const engine = await openEngine(modelDir);
    const controller = new AbortController();
    const stop = () => controller.abort();
    const asked = request(someIds(30), { cacheKey: 'talk' });
    await engine.generate(asked, stop, controller.signal);
    const again = await generate(engine, asked);
    expect(again.reusedTokens).toBe(29);
  });

  it('is gone once the talk is forgotten, also when a reply was running', async () => {
    const engine = await openEngine(modelDir);
    const asked = request(someIds(30), { cacheKey: 'talk' });
    await generate(engine, asked);
    await engine.forget('talk');
    expect((await generate(engine, asked)).reusedTokens).toBe(0);
    await engine.generate(asked, () => void engine.forget('talk'));
    expect((await generate(engine, asked)).reusedTokens).toBe(0);
  });

  it('goes, least recently used first, when the budget is full', async () => {
    // Two talks of about 110 tokens fit beside a reply that may come to take 110.
    const engine = await openEngine(modelDir, { cacheBytesMax: 300 * BYTES_PER_TOKEN });
    const ask = (key: string) =>
      generate(
        engine,
        request(someIds(100, key.charCodeAt(0)), { cacheKey: key, replyTokensMax: 10 }),
      );
    await ask('a');
    await ask('b');
    await ask('c');
    expect((await ask('c')).reusedTokens, 'c is the newest').toBe(99);
    expect((await ask('b')).reusedTokens, 'b is still there').toBe(99);
    expect((await ask('a')).reusedTokens, 'a had to go').toBe(0);
  });

  it('takes replies in turn when the budget cannot hold them together', async () => {
    const engine = await openEngine(modelDir, { cacheBytesMax: 256 * BYTES_PER_TOKEN });
    const asked = [1, 2, 3].map((salt) => request(someIds(120, salt), { replyTokensMax: 20 }));
    const replies = await Promise.all(asked.map((each) => generate(engine, each)));
    expect(replies.map((reply) => reply.ids.length)).toEqual([20, 20, 20]);
  });
});

describe('who wrote which position', () => {
  const row = { tokens: 6 };

  it('is recorded run by run, neighbours joined', () => {
    let runs = withRun([], 0, 4, 'a');
    runs = withRun(runs, 4, 6, 'a');
    runs = withRun(runs, 6, 7, 'b');
    expect(runs).toEqual([
      [0, 6, 'a'],
      [6, 7, 'b'],
    ]);
    expect(cutRuns(runs, 5)).toEqual([[0, 5, 'a']]);
    expect(withRun(runs, 5, 9, 'c')).toEqual([
      [0, 5, 'a'],
      [5, 9, 'c'],
    ]);
  });

  it('decides what of a cache serves another turn', () => {
    const ids = [1, 2, 3, 4, 5, 6];
    const cached = { row, ids, runs: [[0, 4, 'a'] as const, [4, 6, 'b'] as const] };
    const prompt = [...ids, 7];
    const reusable = (version: string, keepCache = false) =>
      reusableTokens(cached, prompt, { version, keepCache });
    expect(reusable('a')).toBe(4);
    expect(reusable('b'), 'what b wrote stands upon what a wrote').toBe(0);
    expect(reusable('b', true)).toBe(6);
  });

  it('throws when a cache is to run under another version and nobody asked to keep it', () => {
    const runs = [[0, 4, 'a'] as const];
    expect(() => assertVersion(runs, 'a', { keepCache: false })).not.toThrow();
    expect(() => assertVersion(runs, 'b', { keepCache: true })).not.toThrow();
    expect(() => assertVersion(runs, 'b', { keepCache: false })).toThrow(
      expect.objectContaining({ code: 'version-mismatch' }),
    );
  });
});
