import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { Engine } from '../../src/engine/engine.ts';
import { generate, openEngine, request, someIds, tinyModel } from './tiny-engine.ts';

// A model replies.
vi.setConfig({ testTimeout: 60_000 });

let modelDir: string;
let engine: Engine;
beforeAll(async () => {
  modelDir = await tinyModel();
  engine = await openEngine(modelDir);
});

const warm = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1.1, seed: 7 };

describe('generate', () => {
  it('decodes with the cache what a full forward would decode', async () => {
    const prompt = someIds(20);
    const { ids } = await generate(engine, request(prompt));
    const all = [...prompt];
    for (const id of ids) {
      const { ids: next } = await generate(engine, request(all, { replyTokensMax: 1 }));
      expect(next).toEqual([id]);
      all.push(id);
    }
    expect(ids).toHaveLength(12);
  });

  it('gives each token the log-probability that scoring gives it', async () => {
    const prompt = someIds(15);
    const { ids, tokens } = await generate(engine, request(prompt, { sampling: warm }));
    const [scores] = await engine.score({
      sequences: [{ ids: [...prompt, ...ids], from: prompt.length }],
    });
    tokens.forEach((token, i) => {
      expect(token.logprob).toBeCloseTo(scores?.[i] as number, 4);
    });
  });

  it('prefills in chunks to the same reply', async () => {
    const prompt = someIds(150);
    const small = await openEngine(modelDir, { prefillChunkTokens: 16 });
    const [whole, chunked] = [
      await generate(engine, request(prompt)),
      await generate(small, request(prompt)),
    ];
    expect(chunked.ids).toEqual(whole.ids);
    chunked.tokens.forEach((token, i) => {
      expect(token.logprob).toBeCloseTo(whole.tokens[i]?.logprob as number, 4);
    });
  });

  it.each([1, 2, 3, 8])(
    'gives a sequence the same bits alone and among %i others',
    async (others) => {
      const wide = await openEngine(modelDir, { batchMax: 16 });
      const prompts = Array.from({ length: others + 1 }, (_, i) => someIds(5 + i * 17, i + 1));
      const asked = prompts.map((ids, i) =>
        request(ids, { replyTokensMax: 10 + i * 3, sampling: { ...warm, seed: i } }),
      );
      const alone = [];
      for (const each of asked) alone.push(await generate(wide, each));
      const together = await Promise.all(asked.map((each) => generate(wide, each)));
      expect(together).toEqual(alone);
    },
  );

  it('repeats a reply for its seed and gives another for another', async () => {
    const ask = (seed: number) =>
      generate(engine, request(someIds(9), { sampling: { ...warm, seed } }));
    expect(await ask(3)).toEqual(await ask(3));
    expect((await ask(3)).ids).not.toEqual((await ask(4)).ids);
  });

  it('stops before a stop id, which is no part of the reply', async () => {
    const prompt = someIds(8);
    const { ids } = await generate(engine, request(prompt, { sampling: warm }));
    const stop = ids[5] as number;
    const reply = await generate(engine, request(prompt, { sampling: warm, stopIds: [stop] }));
    expect(reply.stopReason).toBe('stop');
    expect(reply.ids).toEqual(ids.slice(0, ids.indexOf(stop)));
    expect(reply.tokens).toHaveLength(reply.ids.length);
  });

  it('ends with length at the most tokens asked for, and at the end of the window', async () => {
    const short = await generate(engine, request(someIds(8), { replyTokensMax: 3 }));
    expect([short.stopReason, short.ids.length]).toEqual(['length', 3]);
    const full = await generate(engine, request(someIds(250), { replyTokensMax: 99 }));
    expect([full.stopReason, full.ids.length]).toEqual(['length', 6]);
    const none = await generate(engine, request(someIds(8), { replyTokensMax: 0 }));
    expect([none.stopReason, none.ids.length]).toEqual(['length', 0]);
  });

  it('reports the likeliest tokens when asked', async () => {
    const { tokens } = await generate(engine, request(someIds(8), { topLogprobs: 4 }));
    for (const token of tokens) {
      expect(token.top).toHaveLength(4);
      expect(token.top?.[0]?.id, 'greedy takes the first').toBe(token.id);
    }
  });

  it('says which version decoded which tokens', async () => {
    const { version } = await engine.describe();
    const { versionRuns, ids } = await generate(engine, request(someIds(8)));
    expect(versionRuns).toEqual([[0, ids.length, version]]);
  });

  it('refuses a prompt that leaves no room in the window', async () => {
    await expect(generate(engine, request(someIds(256)))).rejects.toMatchObject({
      code: 'window-overflow',
      facts: { tokens: 256, windowTokens: 256 },
    });
  });

  it('refuses an unknown version', async () => {
    await expect(generate(engine, request([1], { version: 'v-none' }))).rejects.toMatchObject({
      code: 'version-unknown',
    });
  });

  it.each([[[]], [[97]], [[-1]], [[0.5]]])('takes the ids %j for a mistake', async (ids) => {
    await expect(generate(engine, request(ids))).rejects.toBeInstanceOf(RangeError);
  });

  it('resolves with what was decoded when it is aborted, and goes on with others', async () => {
    const controller = new AbortController();
    const other = generate(engine, request(someIds(6), { replyTokensMax: 60 }));
    const seen: number[] = [];
    const aborted = await engine.generate(
      request(someIds(8), { replyTokensMax: 200 }),
      (token) => {
        seen.push(token.id);
        if (seen.length === 4) controller.abort();
      },
      controller.signal,
    );
    expect(aborted.stopReason).toBe('aborted');
    expect(aborted.ids).toEqual(seen);
    expect(seen.length).toBeLessThan(8);
    expect((await other).ids).toHaveLength(60);
  });

  it('decodes nothing for a request that is aborted before it begins', async () => {
    const reply = await generate(engine, request(someIds(8)), AbortSignal.abort());
    expect([reply.stopReason, reply.ids]).toEqual(['aborted', []]);
  });

  it('fails only the reply whose listener throws', async () => {
    const good = generate(engine, request(someIds(6)));
    const bad = engine.generate(request(someIds(6)), () => {
      throw new Error('listener');
    });
    await expect(bad).rejects.toThrow('listener');
    expect((await good).ids).toHaveLength(12);
  });

  it('serves more requests than fit a batch, all of them', async () => {
    const small = await openEngine(modelDir, { batchMax: 3 });
    const asked = Array.from({ length: 11 }, (_, i) => request(someIds(4 + i, i)));
    const alone = [];
    for (const each of asked) alone.push((await generate(engine, each)).ids);
    const replies = await Promise.all(asked.map((each) => generate(small, each)));
    expect(replies.map((reply) => reply.ids)).toEqual(alone);
  });

  it('starts a short prompt before a long one that came first has been prefilled', async () => {
    const slow = await openEngine(modelDir, { prefillChunkTokens: 8 });
    const order: string[] = [];
    const listen = (name: string) => () => {
      if (!order.includes(name)) order.push(name);
    };
    await Promise.all([
      slow.generate(request(someIds(200)), listen('long')),
      slow.generate(request(someIds(8)), listen('short')),
    ]);
    expect(order).toEqual(['short', 'long']);
  });

  it('rejects what is left when it is closed, and everything after', async () => {
    const closing = await openEngine(modelDir);
    const left = generate(closing, request(someIds(8), { replyTokensMax: 200 }));
    const expectation = expect(left).rejects.toMatchObject({ code: 'engine-failed' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await closing.close();
    await expectation;
    await expect(generate(closing, request([1]))).rejects.toMatchObject({ code: 'engine-failed' });
  });

  it('refuses a cache budget that cannot hold one window', async () => {
    await expect(openEngine(modelDir, { cacheBytesMax: 1000 })).rejects.toMatchObject({
      code: 'config-invalid',
    });
  });
});
