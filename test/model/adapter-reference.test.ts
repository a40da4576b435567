// Adapters against PEFT and llama.cpp: what they computed with them is in test/fixtures/adapter.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { readGgufFile } from '../../src/gguf/gguf-file.ts';
import { adapterOf } from '../../src/model/adapter/adapter.ts';
import { readGgufLora, writeGgufLora } from '../../src/model/adapter/gguf-lora.ts';
import { readPeft } from '../../src/model/adapter/peft.ts';
import { readTensor } from '../../src/model/checkpoint/safetensors.ts';
import { type LowRankDelta, rankOf, writeDelta } from '../../src/model/delta.ts';
import { type Model, readModel } from '../../src/model/model.ts';
import { loadVersion } from '../../src/model/versions.ts';
import { logSoftmaxRow } from '../../src/reading/logits.ts';
import type { Executor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { denseOf } from './dense.ts';
import * as run from './runner.ts';
import { FIXTURES, Runner, temporaryFolder } from './runner.ts';

// Models are compiled.
vi.setConfig({ testTimeout: 60_000 });

const ADAPTERS = new URL('../fixtures/adapter/', import.meta.url).pathname;
const GGUF = new URL('../fixtures/gguf/', import.meta.url).pathname;
const PROMPT = 8;

interface Expected {
  readonly ids: readonly number[];
  readonly logits: readonly number[];
  readonly greedy: readonly number[];
}
type ByLlamaCpp = Pick<Expected, 'greedy'> & { readonly logprobs: readonly number[] };
const json = async (name: string) => JSON.parse(await readFile(join(ADAPTERS, name), 'utf8'));

let executor: Executor;
let peft: Record<string, Expected>;
let llamaCpp: Record<string, ByLlamaCpp>;
let folder: string;
beforeAll(async () => {
  executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
  [peft, llamaCpp] = [await json('peft.json'), await json('llama-cpp.json')];
});
afterAll(() => executor.close());
beforeEach(async () => {
  folder = await temporaryFolder();
});

const open = (path: string): Promise<Model> => readModel(path, { cacheDir: join(folder, 'cache') });

/** Of every position, (length, vocabulary). */
async function logitsOf(model: Model, tensors: Record<string, LowRankDelta>) {
  const path = join(folder, 'delta');
  await writeDelta(path, { baseHash: model.baseHash, tensors });
  const { weights } = await loadVersion(model, [path]);
  const runner = await Runner.primitive(executor, model, {
    past: 'none',
    outputs: { logits: true },
  });
  const { vocabSize } = model.config;
  return async (ids: readonly number[]): Promise<Float32Array[]> => {
    const feeds = { ...run.sequence([...ids]), ...weights };
    const values = run.valuesOf(await runner.run(feeds), 'logits');
    return ids.map((_, row) => values.slice(row * vocabSize, (row + 1) * vocabSize));
  };
}

async function greedy(
  logits: Awaited<ReturnType<typeof logitsOf>>,
  { ids, greedy: { length } }: Expected,
): Promise<number[]> {
  const reply = ids.slice(0, PROMPT);
  while (reply.length < PROMPT + length) {
    const last = (await logits(reply)).at(-1) ?? new Float32Array();
    reply.push(last.indexOf(Math.max(...last)));
  }
  return reply.slice(PROMPT);
}

describe.each(['llama', 'qwen2', 'qwen3'])('an adapter of PEFT for a %s model', (name) => {
  const expected = () => peft[name] as Expected;
  const gguf = join(GGUF, name === 'qwen2' ? 'qwen2-00001-of-00002.gguf' : `${name}.gguf`);

  it('gives the logits and the reply that it gives in PEFT', async () => {
    const model = await open(join(FIXTURES, name));
    const logits = await logitsOf(model, await readPeft(join(ADAPTERS, name)));
    const last = (await logits(expected().ids)).at(-1) ?? [];
    for (const [i, value] of expected().logits.entries()) expect(last[i]).toBeCloseTo(value, 4);
    expect(await greedy(logits, expected())).toEqual(expected().greedy);
  });

  it('gives what it gives in llama.cpp, read from its own file', async () => {
    const model = await open(gguf);
    const logits = await logitsOf(model, await readGgufLora(join(ADAPTERS, `${name}.gguf`), model));
    const rows = await logits(expected().ids);
    for (const [i, wanted] of (llamaCpp[name]?.logprobs ?? []).entries()) {
      const logProbabilities = logSoftmaxRow(rows[i] ?? []);
      expect(logProbabilities[expected().ids[i + 1] as number]).toBeCloseTo(wanted, 4);
    }
    expect(await greedy(logits, expected())).toEqual(llamaCpp[name]?.greedy);
  });

  it("is written for llama.cpp as llama.cpp's converter writes it", async () => {
    const model = await open(join(FIXTURES, name));
    const tensors = await readPeft(join(ADAPTERS, name));
    const path = join(folder, 'delta');
    await writeDelta(path, { baseHash: model.baseHash, tensors });
    const adapter = await adapterOf(model, [path]);
    const written = join(folder, 'lora.gguf');
    await writeGgufLora(written, adapter, model);
    const [ours, theirs] = [
      await readGgufFile(written),
      await readGgufFile(join(ADAPTERS, `${name}.gguf`)),
    ];
    expect([...ours.tensors.keys()].sort()).toEqual([...theirs.tensors.keys()].sort());
    for (const key of ['general.architecture', 'general.type', 'adapter.type']) {
      expect(ours.metadata.get(key)).toBe(theirs.metadata.get(key));
    }
    for (const [tensor, own] of ours.tensors) {
      const valuesOf = async (one = own) => readTensor({ ...one, dtype: one.type.name });
      const other = await valuesOf(theirs.tensors.get(tensor));
      // Theirs says alpha 6 of rank 3; ours has the scale in its second factor.
      const scale = tensor.endsWith('lora_b') ? 2 : 1;
      expect(await valuesOf()).toEqual(other.map((value) => value * scale));
    }
  });
});

it('an adapter that moves keys as well is refused by their names', async () => {
  await expect(readPeft(join(ADAPTERS, 'other'))).rejects.toThrow(/self_attn\.k_proj/);
});

it('several adapters in one give what they give together', async () => {
  const model = await open(join(FIXTURES, 'llama'));
  const tensors = await readPeft(join(ADAPTERS, 'llama'));
  const paths = [join(folder, 'a'), join(folder, 'b')];
  for (const path of paths) await writeDelta(path, { baseHash: model.baseHash, tensors });
  const { rank, layers } = await adapterOf(model, paths);
  expect(rank).toBe(6);
  for (const [name, one] of Object.entries(tensors)) {
    const twice = (await denseOf(one)).map((value) => 2 * value);
    expect(rankOf(layers.get(name) as LowRankDelta)).toBe(6);
    const both = await denseOf(layers.get(name));
    for (const [i, value] of twice.entries()) expect(both[i]).toBeCloseTo(value, 12);
  }
});
