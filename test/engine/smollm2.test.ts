// The golden file of a real instruct model as people have it: a quantised GGUF.
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Engine } from '../../src/engine/engine.ts';
import { createEngine } from '../../src/engine/in-process-engine.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';

// A model of 135 million parameters replies.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const FOLDER = resolve(import.meta.dirname, '../../../shared/data/weights/smollm2-135m-instruct');
const FILE = join(FOLDER, 'SmolLM2-135M-Instruct.Q4_1.gguf');
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };

interface Golden {
  readonly messages: { role: 'user' | 'assistant' | 'system'; content: string }[];
  readonly ids: number[];
  readonly logProbs: number[];
  readonly greedyIds: number[];
}

const isMissing = !existsSync(FILE);

describe.skipIf(isMissing)('SmolLM2-135M-Instruct (needs ../shared/data/weights)', () => {
  let cacheDir: string;
  let engine: Engine;
  let serving: Engine;
  let tokenizer: Tokenizer;
  let golden: Golden[];
  beforeAll(async () => {
    cacheDir = await mkdtemp(join(tmpdir(), 'attune-smollm2-'));
    golden = JSON.parse(await readFile(join(FOLDER, 'golden.json'), 'utf8')).prompts;
    tokenizer = await loadTokenizer(FILE);
    const open = async (isWidened: boolean): Promise<Engine> => {
      const executor = await createOnnxExecutor({ device: 'cpu', threads: 2 });
      return createEngine({ modelDir: FILE, cacheDir, executor, isWidened });
    };
    engine = await open(true);
    serving = await open(false);
  });
  afterAll(async () => {
    await engine?.close();
    await serving?.close();
    await rm(cacheDir, { recursive: true, force: true });
  });

  it('renders the ids that transformers renders', () => {
    for (const { messages, ids } of golden) {
      expect(tokenizer.renderChat(messages, { addGenerationPrompt: true }).ids).toEqual(ids);
    }
  });

  it('gives every prompt token the log-probability that transformers gives it', async () => {
    const sequences = golden.map(({ ids }) => ({ ids, from: 1 }));
    const scored = await engine.score({ sequences });
    for (const [i, { logProbs }] of golden.entries()) {
      const found = [...(scored[i] ?? [])];
      expect(found).toHaveLength(logProbs.length);
      for (const [at, value] of found.entries()) {
        expect(Math.abs(value - (logProbs[at] as number))).toBeLessThan(2e-4);
      }
    }
  });

  it('serves its blocks as they are: likely tokens stay likely', async () => {
    expect(await serving.describe()).toMatchObject({ isQuantised: true });
    expect(await engine.describe()).toMatchObject({ isQuantised: false });
    const scored = await serving.score({ sequences: golden.map(({ ids }) => ({ ids, from: 1 })) });
    const differences = golden.flatMap(({ logProbs }, i) =>
      logProbs.map((value, at) => Math.abs((scored[i]?.[at] as number) - value)),
    );
    const mean = differences.reduce((a, b) => a + b, 0) / differences.length;
    // llama.cpp, which rounds activations as well, is 0.06 away on the same file.
    expect(mean).toBeGreaterThan(0);
    expect(mean).toBeLessThan(0.15);
  });

  it('says greedily what transformers says', async () => {
    for (const { ids, greedyIds } of golden.slice(0, 3)) {
      const { ids: said } = await engine.generate(
        { ids, replyTokensMax: 48, sampling: GREEDY, stopIds: tokenizer.stopIds },
        () => undefined,
      );
      const end = greedyIds.findIndex((id) => tokenizer.stopIds.includes(id));
      expect(said).toEqual(end < 0 ? greedyIds : greedyIds.slice(0, end));
    }
  });
});
