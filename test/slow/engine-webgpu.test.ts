import { beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../src/engine/engine.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { generate, openEngine, request, someIds, tinyModel } from '../engine/tiny-engine.ts';
import { whyNoWebGpu } from '../runtime/swiftshader.ts';

const whyNot = await whyNoWebGpu();

describe.skipIf(whyNot !== undefined)(
  `the engine on WebGPU${whyNot ? ` (${whyNot.slice(0, 80)})` : ''}`,
  () => {
    let device: Engine;
    let cpu: Engine;
    beforeAll(async () => {
      const executor = await createOnnxExecutor({ device: 'webgpu' });
      const modelDir = await tinyModel({ layers: 2 });
      device = await openEngine(modelDir, {
        executor,
        prefillChunkTokens: 16,
      });
      cpu = await openEngine(modelDir);
    }, 600_000);

    it('says what the CPU says, in one talk and in several at once', async () => {
      const asked = [1, 2].map((salt) => request(someIds(20 + salt, salt), { replyTokensMax: 4 }));
      const there = await Promise.all(asked.map((each) => generate(device, each)));
      for (const [i, each] of asked.entries()) {
        const here = await generate(cpu, each);
        expect(there[i]?.ids).toEqual(here.ids);
        there[i]?.tokens.forEach((token, t) => {
          expect(token.logprob).toBeCloseTo(here.tokens[t]?.logprob as number, 3);
        });
      }
    }, 600_000);

    it('lets a second turn prefill only its new tokens, and a branch all', async () => {
      const first = await generate(
        device,
        request(someIds(20), { cacheKey: 'a', replyTokensMax: 4 }),
      );
      const longer = [...someIds(20), ...first.ids, ...someIds(5, 3)];
      const second = await generate(device, request(longer, { cacheKey: 'a', replyTokensMax: 4 }));
      expect(second.reusedTokens).toBe(23);
      expect(second.ids).toEqual((await generate(cpu, request(longer, { replyTokensMax: 4 }))).ids);
      const branch = [...someIds(10), ...someIds(8, 4)];
      const other = await generate(device, request(branch, { cacheKey: 'a', replyTokensMax: 4 }));
      expect(other.ids).toEqual((await generate(cpu, request(branch, { replyTokensMax: 4 }))).ids);
    }, 600_000);

    it('decodes as the CPU does at every length of a cache that grows to 600 tokens', async () => {
      const modelDir = await tinyModel({ layers: 1, windowTokens: 640 });
      const executor = await createOnnxExecutor({ device: 'webgpu' });
      const asked = request(someIds(1), { replyTokensMax: 600 });
      const there = await generate(await openEngine(modelDir, { executor }), asked);
      const here = await generate(await openEngine(modelDir), asked);
      expect(here.tokens).toHaveLength(600);
      expect(there.ids).toEqual(here.ids);
      const apart = here.tokens.map(({ logprob }, i) =>
        Math.abs(logprob - (there.tokens[i]?.logprob ?? Number.NaN)),
      );
      expect(Math.max(...apart)).toBeLessThan(1e-3);
    });

    it('scores and shows attention as the CPU does', async () => {
      const sequences = [
        { ids: someIds(24), from: 18 },
        { ids: someIds(12), from: 1 },
      ];
      const [there, here] = [await device.score({ sequences }), await cpu.score({ sequences })];
      there.forEach((scores, i) => {
        scores.forEach((score, t) => {
          expect(score).toBeCloseTo(here[i]?.[t] as number, 3);
        });
      });
      const asked = { ids: someIds(24), rows: [0, 20] };
      const [a, b] = [await device.capture(asked), await cpu.capture(asked)];
      a.weights.forEach((weight, i) => {
        expect(weight).toBeCloseTo(b.weights[i] as number, 4);
      });
    }, 600_000);
  },
);
