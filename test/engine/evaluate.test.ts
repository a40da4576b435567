import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { Engine } from '../../src/engine/engine.ts';
import { generate, openEngine, request, someIds, tinyModel } from './tiny-engine.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let modelDir: string;
let engine: Engine;
beforeAll(async () => {
  modelDir = await tinyModel();
  engine = await openEngine(modelDir);
});

describe('score', () => {
  it('gives the same whether the context is long or the scored part', async () => {
    const ids = someIds(120);
    const [all, tail] = await engine.score({
      sequences: [
        { ids, from: 1 },
        { ids, from: 100 },
      ],
    });
    expect(all).toHaveLength(119);
    expect(tail).toHaveLength(20);
    tail?.forEach((score, i) => {
      expect(score).toBeCloseTo(all?.[99 + i] as number, 4);
    });
  });

  it('gives log-probabilities: the exponentials over all next tokens sum to one', async () => {
    const context = someIds(10);
    const sequences = Array.from({ length: 97 }, (_, id) => ({ ids: [...context, id], from: 10 }));
    const scores = await engine.score({ sequences });
    const total = scores.reduce((sum, score) => sum + Math.exp(score[0] as number), 0);
    expect(total).toBeCloseTo(1, 4);
  });

  it('does not depend on the sequences beside it', async () => {
    const a = { ids: someIds(60, 1), from: 50 };
    const b = { ids: [...someIds(30, 1), ...someIds(30, 2)], from: 40 };
    const [together] = [await engine.score({ sequences: [a, b] })];
    const [alone] = await engine.score({ sequences: [b] });
    together[1]?.forEach((score, i) => {
      expect(score).toBeCloseTo(alone?.[i] as number, 4);
    });
  });

  it('gives the same in small units', async () => {
    const sequences = [{ ids: someIds(90), from: 40 }];
    const [whole] = await engine.score({ sequences });
    const [small] = await engine.score({ sequences, unitTokensMax: 7 });
    expect(small).toHaveLength(50);
    small?.forEach((score, i) => {
      expect(score).toBeCloseTo(whole?.[i] as number, 4);
    });
    await expect(engine.score({ sequences, unitTokensMax: 0 })).rejects.toThrow('unitTokensMax');
  });

  it('gives nothing for a sequence without scored tokens', async () => {
    expect(await engine.score({ sequences: [{ ids: [1, 2], from: 2 }] })).toEqual([
      new Float32Array(0),
    ]);
    expect(await engine.score({ sequences: [] })).toEqual([]);
  });

  it('refuses what exceeds the window, and takes a wrong start for a mistake', async () => {
    await expect(
      engine.score({ sequences: [{ ids: someIds(257), from: 1 }] }),
    ).rejects.toMatchObject({ code: 'window-overflow' });
    for (const from of [0, 3, 0.5]) {
      const asked = engine.score({ sequences: [{ ids: [1, 2], from }] });
      await expect(asked).rejects.toBeInstanceOf(RangeError);
    }
  });

  it('rejects with aborted, and frees what it held', async () => {
    const sequences = [{ ids: someIds(100), from: 50 }];
    const asked = engine.score({ sequences }, AbortSignal.abort());
    await expect(asked).rejects.toMatchObject({ code: 'aborted' });
  });

  it('runs between the decode steps of a reply', async () => {
    const slow = await openEngine(modelDir, { prefillChunkTokens: 4 });
    let seen = 0;
    const reply = slow.generate(request(someIds(4), { replyTokensMax: 100 }), () => seen++);
    await slow.score({ sequences: [{ ids: someIds(120), from: 110 }] });
    // One for each chunk; of two quick ones there may be one only.
    expect(seen, 'the reply went on while 28 chunks were run').toBeGreaterThan(13);
    expect((await reply).ids).toHaveLength(100);
  });
});

describe('capture', () => {
  const ids = someIds(150);
  const rows = [0, 3, 70, 71, 140];

  it('gives softmax rows: they sum to one and no row sees a later key', async () => {
    const { weights, layers, heads, keys } = await engine.capture({ ids, rows });
    expect([layers, heads, keys]).toEqual([3, 4, 141]);
    expect(weights).toHaveLength(3 * 4 * rows.length * keys);
    for (let line = 0; line < 3 * 4 * rows.length; line++) {
      const visible = (rows[line % rows.length] as number) + 1;
      const row = weights.subarray(line * keys, (line + 1) * keys);
      const mass = row.reduce((sum, weight) => sum + weight, 0);
      expect(mass).toBeCloseTo(1, 4);
      expect(Math.max(...row.subarray(visible), 0)).toBe(0);
    }
  });

  it('gives a row the same weights among other rows and alone', async () => {
    const all = await engine.capture({ ids, rows });
    const alone = await engine.capture({ ids, rows: [71] });
    for (let line = 0; line < 3 * 4; line++) {
      const from = (line * rows.length + 3) * all.keys;
      const inAll = all.weights.subarray(from, from + 72);
      alone.weights.subarray(line * 72, (line + 1) * 72).forEach((weight, key) => {
        expect(weight).toBeCloseTo(inAll[key] as number, 5);
      });
    }
  });

  it('gives nothing for no rows and takes wrong rows for a mistake', async () => {
    expect((await engine.capture({ ids, rows: [] })).weights).toHaveLength(0);
    for (const wrong of [[3, 3], [4, 2], [-1], [150]]) {
      await expect(engine.capture({ ids, rows: wrong })).rejects.toBeInstanceOf(RangeError);
    }
  });

  it('refuses an unknown version and an aborted request', async () => {
    await expect(engine.capture({ ids, rows, version: 'v-none' })).rejects.toMatchObject({
      code: 'version-unknown',
    });
    await expect(engine.capture({ ids, rows }, AbortSignal.abort())).rejects.toMatchObject({
      code: 'aborted',
    });
  });

  it('leaves the engine as it was', async () => {
    const before = await generate(engine, request(someIds(20)));
    await engine.capture({ ids, rows });
    expect((await generate(engine, request(someIds(20)))).ids).toEqual(before.ids);
  });
});
