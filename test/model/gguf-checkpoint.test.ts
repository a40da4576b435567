// A GGUF file computes what its Hugging Face folder computes, and what llama.cpp computes.
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createEngine } from '../../src/engine/in-process-engine.ts';
import { readModel } from '../../src/model/model.ts';
import type { Executor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { type GgufBytes, ggufBytes } from '../gguf/gguf-bytes.ts';
import { temporaryFolder } from './runner.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const FOLDERS = new URL('../fixtures/transformers/', import.meta.url).pathname;
const FILES = new URL('../fixtures/gguf/', import.meta.url).pathname;
const FAMILIES = {
  llama: 'llama.gguf',
  llama3: 'llama3.gguf',
  mistral: 'mistral.gguf',
  qwen2: 'qwen2-00001-of-00002.gguf',
  qwen3: 'qwen3.gguf',
  'qwen2-yarn': 'qwen2-yarn.gguf',
  smollm3: 'smollm3.gguf',
  granite: 'granite.gguf',
};

let executor: Executor;
let cacheDir: string;
beforeAll(async () => {
  executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
  cacheDir = await temporaryFolder();
});
afterAll(() => executor?.close());

/** Log-probability of each id but the first, nats. */
async function logprobs(modelDir: string, ids: readonly number[]): Promise<number[]> {
  const engine = await createEngine({ modelDir, cacheDir, executor });
  try {
    const [scored] = await engine.score({ sequences: [{ ids: [...ids], from: 1 }] });
    return [...(scored ?? [])];
  } finally {
    await engine.close();
  }
}

type Expected = { ids: number[]; promptTokens: number; greedy: number[] };
const expectedOf = async (name: string): Promise<Expected> =>
  JSON.parse(await readFile(join(FOLDERS, name, 'expected.json'), 'utf8'));
const idsOf = async (name: string): Promise<number[]> => (await expectedOf(name)).ids;
const llamaCpp = async (): Promise<Record<string, number[]>> =>
  JSON.parse(await readFile(join(FILES, 'llama-cpp.json'), 'utf8'));

const worst = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] as number))), 0);

describe.each(Object.entries(FAMILIES))('%s as GGUF', (name, file) => {
  it('gives the log-probabilities of its Hugging Face folder', async () => {
    const ids = await idsOf(name);
    const fromFolder = await logprobs(join(FOLDERS, name), ids);
    const fromFile = await logprobs(join(FILES, file), ids);
    expect(fromFile).toHaveLength(ids.length - 1);
    expect(worst(fromFile, fromFolder)).toBeLessThan(1e-5);
  });

  it('gives the log-probabilities of llama.cpp', async () => {
    const fromFile = await logprobs(join(FILES, file), await idsOf(name));
    // With F16 weights llama.cpp rounds activations to f16 as well.
    const tolerance = name === 'mistral' ? 4e-3 : 1e-4;
    expect(worst(fromFile, (await llamaCpp())[name] as number[])).toBeLessThan(tolerance);
  });

  it('says greedily what transformers says', async () => {
    const { ids, promptTokens, greedy } = await expectedOf(name);
    const engine = await createEngine({ modelDir: join(FILES, file), cacheDir, executor });
    const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
    const prompt = ids.slice(0, promptTokens);
    const asked = { ids: prompt, replyTokensMax: greedy.length, sampling, stopIds: [] };
    const { ids: said } = await engine.generate(asked, () => undefined);
    await engine.close();
    expect(said).toEqual(greedy);
  });

  it('has the same configuration', async () => {
    const read = (dir: string) => readModel(dir, { cacheDir });
    const [folder, gguf] = [await read(join(FOLDERS, name)), await read(join(FILES, file))];
    const { rope: _, rmsNormEps: eps, ...rest } = folder.config;
    const known = ['family', 'architectures'];
    for (const [key, value] of Object.entries(rest)) {
      if (!known.includes(key)) expect([key, gguf.config[key as never]]).toEqual([key, value]);
    }
    expect(gguf.config.rmsNormEps).toBeCloseTo(eps, 9);
    expect(gguf.parameters).toBe(folder.parameters);
    expect(gguf.id).toBe(file.replace('.gguf', ''));
  });
});

it('gives the log-probabilities of llama.cpp where its matrices are quantised', async () => {
  const fromFile = await logprobs(join(FILES, 'llama-quantized.gguf'), await idsOf('llama'));
  // llama.cpp quantises activations too: a tenth of a nat on so small a model.
  expect(worst(fromFile, (await llamaCpp())['llama-quantized'] as number[])).toBeLessThan(0.2);
});

describe('a GGUF file is refused by name', () => {
  const sizes = {
    'general.architecture': 'llama',
    'llama.context_length': 64,
    'llama.embedding_length': 32,
    'llama.block_count': 1,
    'llama.feed_forward_length': 48,
    'llama.attention.head_count': 4,
    'llama.attention.layer_norm_rms_epsilon': 1e-5,
  };
  const refuse = async (given: GgufBytes): Promise<unknown> => {
    const path = join(await temporaryFolder(), 'model.gguf');
    await writeFile(path, ggufBytes(given));
    return readModel(path, { cacheDir }).catch((error: unknown) => error);
  };
  const tensor = (type: number, bytes: number) => ({
    sizes: [256, 1],
    type,
    bytes: new Uint8Array(bytes),
  });

  it.each([
    ['another architecture', { 'general.architecture': 'gemma3' }, 'architecture "gemma3"'],
    ['a mixture of experts', { 'llama.expert_count': 8 }, '8 experts'],
    ['an adapter', { 'general.type': 'adapter' }, 'adapter'],
    ['a part of a rotation', { 'llama.rope.dimension_count': 4 }, 'rotation of 4'],
    ['another scaling', { 'llama.rope.scaling.type': 'longrope' }, 'longrope'],
    [
      'a scaling with an unusual factor',
      { 'llama.rope.scaling.type': 'yarn', 'llama.rope.scaling.attn_factor': 2 },
      'attn_factor',
    ],
    ['layers of different widths', { 'llama.feed_forward_length': [48, 64] }, 'different'],
  ])('%s', async (_, more, reason) => {
    const error = await refuse({ metadata: { ...sizes, ...more } });
    expect(error).toMatchObject({ code: 'model-unsupported' });
    expect(String(error)).toContain(reason);
  });

  it('a tensor that such a model does not have', async () => {
    const tensors = { 'token_embd.weight': tensor(0, 1024), 'blk.0.ssm_a.weight': tensor(0, 1024) };
    const error = await refuse({ metadata: sizes, tensors });
    expect(error).toMatchObject({ code: 'model-unsupported' });
    expect(String(error)).toContain('blk.0.ssm_a.weight');
  });

  it('a block type that is not read, naming what is', async () => {
    const metadata = { ...sizes, 'llama.embedding_length': 256 };
    const error = await refuse({ metadata, tensors: { 'token_embd.weight': tensor(23, 136) } });
    expect(error).toMatchObject({ code: 'model-unsupported' });
    expect(String(error)).toMatch(/IQ4_XS.*Q4_K/);
  });

  it('a part of a split file without the others', async () => {
    const dir = await temporaryFolder();
    const name = 'qwen2-00001-of-00002.gguf';
    await copyFile(join(FILES, name), join(dir, name));
    await expect(readModel(join(dir, name), { cacheDir })).rejects.toMatchObject({
      code: 'model-not-found',
    });
    await copyFile(join(FILES, name), join(dir, 'renamed.gguf'));
    await expect(readModel(join(dir, 'renamed.gguf'), { cacheDir })).rejects.toMatchObject({
      code: 'model-damaged',
    });
  });
});
