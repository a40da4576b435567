import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import type { DecodedToken, Engine } from '../../src/engine/engine.ts';
import { type DeltaTensor, writeDelta } from '../../src/model/delta.ts';

import {
  generate,
  openEngine,
  openModel,
  request,
  someIds,
  temporaryFolder,
  tinyModel,
} from './tiny-engine.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let modelDir: string;
/** Two different movements of W_q, large enough to change what is said. */
let deltas: [string, string];
beforeAll(async () => {
  modelDir = await tinyModel();
  const model = await openModel(modelDir);
  const folder = await temporaryFolder();
  const write = async (name: string): Promise<string> => {
    const random = createRandom(name);
    const tensors: Record<string, DeltaTensor> = {};
    for (const [key, { shape }] of model.weights) {
      if (!key.endsWith('.qProj')) continue;
      const data = random.fillGaussian(new Float32Array((shape[0] ?? 0) * (shape[1] ?? 0)), 0.3);
      tensors[key] = { shape, data };
    }
    const path = join(folder, `${name}.safetensors`);
    await writeDelta(path, { baseHash: model.baseHash, tensors });
    return path;
  };
  deltas = [await write('one'), await write('two')];
});

const one = () => ({ id: 'v-one', deltas: [deltas[0]] });
const two = () => ({ id: 'v-two', deltas: [deltas[1]] });
const prompt = someIds(40);

/** The reply of an engine that was started under this version. */
async function replyUnder(version: { id: string; deltas: string[] }): Promise<readonly number[]> {
  const engine = await openEngine(modelDir, { version });
  return (await generate(engine, request(prompt))).ids;
}

async function baseOf(engine: Engine): Promise<string> {
  return (await engine.describe()).version;
}

describe('weights versions', () => {
  it('serve side by side, each giving what an engine of its own gives', async () => {
    const engine = await openEngine(modelDir);
    const base = await baseOf(engine);
    await engine.loadVersion(one());
    const [a, b] = await Promise.all([
      generate(engine, request(prompt)),
      generate(engine, request(prompt, { version: 'v-one' })),
    ]);
    expect(a.ids).not.toEqual(b.ids);
    expect(b.ids).toEqual(await replyUnder(one()));
    expect(a.versionRuns).toEqual([[0, 12, base]]);
    expect(b.versionRuns).toEqual([[0, 12, 'v-one']]);
  });

  it('switch between two steps: replies in flight go on, on their kept cache', async () => {
    const engine = await openEngine(modelDir);
    const base = await baseOf(engine);
    await engine.loadVersion(one());
    const tokens: DecodedToken[] = [];
    let switched: ReturnType<Engine['switchVersion']> | undefined;
    const asked = request(prompt, { cacheKey: 'talk' });
    const result = await engine.generate(asked, (token) => {
      tokens.push(token);
      if (tokens.length === 5) switched = engine.switchVersion('v-one');
    });
    expect(await switched).toMatchObject({ from: base, to: 'v-one', repliesInFlight: 1 });
    expect(result.ids).toHaveLength(12);
    expect(result.versionRuns).toEqual([
      [0, 5, base],
      [5, 12, 'v-one'],
    ]);
    expect(tokens.map((token) => token.version)).toEqual([
      ...Array(5).fill(base),
      ...Array(7).fill('v-one'),
    ]);
  });

  it('prefill a talk again after a switch, unless its cache is to be kept', async () => {
    const engine = await openEngine(modelDir);
    await generate(engine, request(prompt, { cacheKey: 'talk' }));
    await engine.loadVersion(one());
    await engine.switchVersion('v-one');
    const fresh = await generate(engine, request(prompt, { cacheKey: 'talk' }));
    expect(fresh.reusedTokens).toBe(0);
    expect(fresh.ids).toEqual(await replyUnder(one()));
    await engine.loadVersion(two());
    await engine.switchVersion('v-two');
    const kept = await generate(engine, request(prompt, { cacheKey: 'talk', keepCache: true }));
    expect(kept.reusedTokens).toBe(39);
    expect(kept.versionRuns[0]?.[2]).toBe('v-two');
  });

  it('are as many as their bytes allow: the oldest goes, and never the current one', async () => {
    const engine = await openEngine(modelDir);
    const base = await baseOf(engine);
    await engine.loadVersion(one());
    await engine.loadVersion(two());
    await engine.switchVersion('v-two');
    await engine.switchVersion(base);
  });

  it('are two where there are bytes for none: a third retires the one not current', async () => {
    const engine = await openEngine(modelDir, { versionBytesMax: 0 });
    const base = await baseOf(engine);
    await engine.loadVersion(one());
    await engine.switchVersion('v-one');
    await engine.loadVersion(two());
    await expect(engine.switchVersion(base)).rejects.toMatchObject({ code: 'version-unknown' });
    await engine.switchVersion('v-two');
    expect(await baseOf(engine)).toBe('v-two');
  });

  it('are not retired under a request that is bound to one', async () => {
    const engine = await openEngine(modelDir, { versionBytesMax: 0 });
    await engine.loadVersion(one());
    const bound = generate(engine, request(prompt, { version: 'v-one', replyTokensMax: 100 }));
    await expect(engine.loadVersion(two())).rejects.toMatchObject({ code: 'version-mismatch' });
    expect((await bound).ids).toHaveLength(100);
    await engine.loadVersion(two());
  });

  it('lose and repeat no token when they switch under many replies, again and again', async () => {
    const engine = await openEngine(modelDir, { batchMax: 8 });
    await engine.loadVersion(one());
    const ids = [await baseOf(engine), 'v-one'] as const;
    let switches = 0;
    const replies = Array.from({ length: 8 }, async (_, i) => {
      const seen: number[] = [];
      const asked = request(someIds(10 + i, i), { replyTokensMax: 60 });
      const result = await engine.generate(asked, ({ id }) => {
        seen.push(id);
        if (i === 0) void engine.switchVersion(ids[++switches % 2] as string);
      });
      return { result, seen };
    });
    for (const { result, seen } of await Promise.all(replies)) {
      expect(result.ids).toHaveLength(60);
      expect(result.ids).toEqual(seen);
      expect(result.versionRuns.at(-1)?.[1]).toBe(60);
      result.versionRuns.forEach(([from], i) => {
        expect(from, 'runs leave no gap').toBe(i === 0 ? 0 : result.versionRuns[i - 1]?.[1]);
      });
    }
    expect(switches).toBe(60);
  });

  it('refuse to switch to what is not loaded, and to load what is no delta', async () => {
    const engine = await openEngine(modelDir);
    await expect(engine.switchVersion('v-none')).rejects.toMatchObject({ code: 'version-unknown' });
    const broken = { id: 'v', deltas: [join(modelDir, 'config.json')] };
    await expect(engine.loadVersion(broken)).rejects.toMatchObject({ code: 'delta-damaged' });
    const missing = { id: 'v', deltas: [join(modelDir, 'none')] };
    await expect(engine.loadVersion(missing)).rejects.toMatchObject({ code: 'model-not-found' });
  });
});
