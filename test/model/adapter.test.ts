import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { readGgufFile } from '../../src/gguf/gguf-file.ts';
import { encodeGguf } from '../../src/gguf/gguf-writer.ts';
import { adapterOf } from '../../src/model/adapter/adapter.ts';
import { readGgufLora, writeGgufLora } from '../../src/model/adapter/gguf-lora.ts';
import { exportMergedGguf } from '../../src/model/adapter/merged-gguf.ts';
import { readPeft, writePeft } from '../../src/model/adapter/peft.ts';
import { readSafetensors } from '../../src/model/checkpoint/safetensors.ts';
import { type DeltaTensor, type LowRankDelta, rankOf, writeDelta } from '../../src/model/delta.ts';
import { exportModel } from '../../src/model/export.ts';
import { type Model, readModel, readWeight, type Weight } from '../../src/model/model.ts';
import { loadVersion } from '../../src/model/versions.ts';
import { denseOf } from './dense.ts';
import { FIXTURES, temporaryFolder } from './runner.ts';

// Models are read.
vi.setConfig({ testTimeout: 60_000 });

const GGUF = new URL('../fixtures/gguf/', import.meta.url).pathname;
let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

const open = (path: string): Promise<Model> => readModel(path, { cacheDir: join(folder, 'cache') });

const wave = (length: number, seed: number, size = 0.3): Float32Array =>
  Float32Array.from({ length }, (_, i) => Math.sin(seed * 37 + i * 1.7) * size);

/** Two nights: factors of rank 2 in both layers, then of rank 3 in the second alone. */
async function nightsOf(model: Model): Promise<string[]> {
  const factors = (name: string, rank: number, seed: number): LowRankDelta => {
    const { shape } = model.weights.get(name) as Weight;
    const [out, width] = shape as [number, number];
    return {
      shape: [out, width],
      loraA: wave(rank * width, seed),
      loraB: wave(out * rank, seed + 1),
    };
  };
  const nights: Record<string, DeltaTensor>[] = [
    {
      'layers.0.qProj': factors('layers.0.qProj', 2, 1),
      'layers.1.qProj': factors('layers.1.qProj', 2, 3),
    },
    { 'layers.1.qProj': factors('layers.1.qProj', 3, 5) },
  ];
  const paths = nights.map((_, i) => join(folder, `night-${i}`));
  for (const [i, tensors] of nights.entries()) {
    await writeDelta(paths[i] as string, { baseHash: model.baseHash, tensors });
  }
  return paths;
}

/** What the deltas add to the base. */
async function moved(model: Model, paths: readonly string[]): Promise<Map<string, Float64Array>> {
  const { weights } = await loadVersion(model, paths);
  const result = new Map<string, Float64Array>();
  for (const [name, { data }] of Object.entries(weights)) {
    const base = await readWeight(model.weights.get(name) as Weight);
    result.set(
      name,
      Float64Array.from(data, (value, i) => value - (base[i] as number)),
    );
  }
  return result;
}

const farthest = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] as number))));

describe('an adapter', () => {
  it('holds the factors of its nights side by side, of one rank in every layer', async () => {
    const model = await open(join(FIXTURES, 'llama'));
    const paths = await nightsOf(model);
    const { rank, layers, energyShare } = await adapterOf(model, paths);
    expect([rank, energyShare]).toEqual([5, 1]);
    const wanted = await moved(model, paths);
    for (const [name, tensor] of layers) {
      expect(rankOf(tensor)).toBe(5);
      expect(farthest(await denseOf(tensor), wanted.get(name) ?? [])).toBeLessThan(1e-6);
    }
  });

  it('of a dense night is exact at full rank, and cut where a rank is asked for', async () => {
    const model = await open(join(FIXTURES, 'llama'));
    const path = join(folder, 'dense');
    const data = wave(1024, 2);
    const tensors = { 'layers.0.qProj': { shape: [32, 32], data } };
    await writeDelta(path, { baseHash: model.baseHash, tensors });
    const whole = await adapterOf(model, [path]);
    expect(whole.rank).toBe(32);
    expect(await denseOf(whole.layers.get('layers.0.qProj'))).toEqual(Float64Array.from(data));
    expect((await denseOf(whole.layers.get('layers.1.qProj'))).every((v) => v === 0)).toBe(true);
    // A sine over a matrix of equal rows' lengths has rank 2.
    const cut = await adapterOf(model, [path], 2);
    expect(cut.rank).toBe(2);
    expect(cut.energyShare).toBeCloseTo(1, 6);
    expect((await adapterOf(model, [path], 1)).energyShare).toBeLessThan(0.9);
  });
});

describe.each(['llama', 'qwen2', 'qwen3'])('the adapter of a %s model', (name) => {
  it('goes to PEFT and back', async () => {
    const model = await open(join(FIXTURES, name));
    const adapter = await adapterOf(model, await nightsOf(model));
    await writePeft(join(folder, 'peft'), adapter, model.dir);
    const config = JSON.parse(await readFile(join(folder, 'peft', 'adapter_config.json'), 'utf8'));
    expect(config).toMatchObject({
      peft_type: 'LORA',
      r: 5,
      lora_alpha: 5,
      target_modules: ['q_proj'],
    });
    expect(await readPeft(join(folder, 'peft'))).toEqual(Object.fromEntries(adapter.layers));
    const { tensors } = await readSafetensors(join(folder, 'peft', 'adapter_model.safetensors'));
    expect([...tensors.keys()].sort()[0]).toBe(
      'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight',
    );
  });

  it('goes to llama.cpp and back', async () => {
    const model = await open(join(FIXTURES, name));
    const adapter = await adapterOf(model, await nightsOf(model));
    const path = join(folder, 'lora.gguf');
    await writeGgufLora(path, adapter, model);
    const file = await readGgufFile(path);
    expect(Object.fromEntries(file.metadata)).toMatchObject({
      ...{ 'general.type': 'adapter', 'general.architecture': name },
      ...{ 'adapter.type': 'lora', 'adapter.lora.alpha': 5 },
    });
    expect([...file.tensors.values()].map((one) => [one.name, one.shape])[0]).toEqual([
      'blk.0.attn_q.weight.lora_a',
      [5, 32],
    ]);
    expect(await readGgufLora(path, model)).toEqual(Object.fromEntries(adapter.layers));
  });
});

describe('a model with nights merged into it', () => {
  it.each(['llama', 'llama-quantized', 'mistral', 'qwen3'])(
    'is the GGUF file of %s, byte for byte but for W_q',
    async (name) => {
      const model = await open(join(GGUF, `${name}.gguf`));
      const version = await loadVersion(model, await nightsOf(model));
      const to = join(folder, 'out', 'merged.gguf');
      await exportMergedGguf(model, version, { to, type: 'F32' });
      const merged = await open(to);
      for (const [weight, { data }] of Object.entries(version.weights)) {
        expect(await readWeight(merged.weights.get(weight) as Weight)).toEqual(data);
      }
      const [before, after] = [
        await readGgufFile(join(GGUF, `${name}.gguf`)),
        await readGgufFile(to),
      ];
      expect(after.metadata).toEqual(before.metadata);
      expect([...after.tensors.keys()]).toEqual([...before.tensors.keys()]);
      const bytesOf = async (
        path: string,
        { offset, length }: { offset: number; length: number },
      ) => (await readFile(path)).subarray(offset, offset + length);
      for (const [tensor, own] of after.tensors) {
        const old = before.tensors.get(tensor);
        if (old === undefined || tensor.includes('attn_q.weight')) continue;
        expect(own.type).toBe(old.type);
        expect(await bytesOf(to, own)).toEqual(await bytesOf(before.path, old));
      }
    },
  );

  it('is as many files as the base is, under their names', async () => {
    const model = await open(join(GGUF, 'qwen2-00001-of-00002.gguf'));
    const version = await loadVersion(model, await nightsOf(model));
    const to = join(folder, 'parts', 'qwen2-00001-of-00002.gguf');
    await exportMergedGguf(model, version, { to, type: 'F32' });
    const merged = await open(to);
    const weight = merged.weights.get('layers.1.qProj') as Weight;
    expect(await readWeight(weight)).toEqual(version.weights['layers.1.qProj']?.data);
  });

  it('in F16 takes half the bytes, rounded to the nearest', async () => {
    const model = await open(join(GGUF, 'qwen3.gguf'));
    const version = await loadVersion(model, await nightsOf(model));
    const to = join(folder, 'half.gguf');
    await exportMergedGguf(model, version, { to, type: 'F16' });
    const merged = await open(to);
    const own = await readWeight(merged.weights.get('layers.0.qProj') as Weight);
    const data = version.weights['layers.0.qProj']?.data as Float32Array;
    expect(farthest(own, data)).toBeLessThan(2 ** -11 * Math.max(...data.map(Math.abs)));
  });

  it('of the other kind of base is refused, with what to do', async () => {
    const gguf = await open(join(GGUF, 'llama.gguf'));
    const exporting = exportModel(gguf, await loadVersion(gguf, []), join(folder, 'x'));
    await expect(exporting).rejects.toThrow(/merged-gguf/);
    const dir = await open(join(FIXTURES, 'llama'));
    const target = { to: join(folder, 'x.gguf'), type: 'F32' as const };
    await expect(exportMergedGguf(dir, await loadVersion(dir, []), target)).rejects.toThrow(
      /--as merged/,
    );
  });
});

describe('an adapter of somebody else', () => {
  const write = async (config: object, names: readonly string[]): Promise<string> => {
    const dir = join(folder, 'foreign');
    const model = await open(join(FIXTURES, 'llama'));
    await writePeft(dir, await adapterOf(model, await nightsOf(model)), 'x');
    const where = join(dir, 'adapter_config.json');
    const own = JSON.parse(await readFile(where, 'utf8'));
    await writeFile(where, JSON.stringify({ ...own, ...config }));
    const weights = join(dir, 'adapter_model.safetensors');
    let text = (await readFile(weights)).toString('latin1');
    for (const name of names) text = text.replaceAll('q_proj', name);
    await writeFile(weights, Buffer.from(text, 'latin1'));
    return dir;
  };

  it('has the scale of its configuration', async () => {
    const plain = (await readPeft(await write({}, [])))['layers.0.qProj'];
    const scaled = (await readPeft(await write({ lora_alpha: 10 }, [])))['layers.0.qProj'];
    expect(scaled?.loraB).toEqual(plain?.loraB.map((value) => value * 2));
    const stable = await readPeft(await write({ lora_alpha: 10, use_rslora: true }, []));
    const root = 10 / Math.sqrt(5);
    expect(stable['layers.0.qProj']?.loraB[3]).toBeCloseTo((plain?.loraB[3] ?? 0) * root, 5);
  });

  it.each([
    ['that moves keys', {}, ['k_proj'], /layers\.0\.self_attn\.k_proj.*query projections only/],
    ['of another kind', { peft_type: 'IA3' }, [], /IA3/],
    ['that is DoRA', { use_dora: true }, [], /DoRA/],
    ['with a rank for each layer', { rank_pattern: { q_proj: 4 } }, [], /rank_pattern/],
    ['without a rank', { r: 0 }, [], /r:/],
  ])('%s is refused', async (_, config, names, message) => {
    await expect(write(config, names).then(readPeft)).rejects.toThrow(message);
  });

  it('for another architecture, or no adapter at all, is refused', async () => {
    const model = await open(join(FIXTURES, 'llama'));
    const qwen = await open(join(FIXTURES, 'qwen2'));
    const path = join(folder, 'lora.gguf');
    await writeGgufLora(path, await adapterOf(model, await nightsOf(model)), model);
    await expect(readGgufLora(path, qwen)).rejects.toThrow(/adapter for llama; the model is qwen2/);
    await expect(readGgufLora(join(GGUF, 'llama.gguf'), model)).rejects.toThrow(/no LoRA adapter/);
    const pairs = {
      'general.type': 'adapter',
      'adapter.type': 'lora',
      'general.architecture': 'llama',
    };
    const data = wave(64, 1);
    const keys = [{ name: 'blk.0.attn_k.weight.lora_a', shape: [2, 32], data }];
    await writeFile(path, encodeGguf(pairs, keys));
    await expect(readGgufLora(path, model)).rejects.toThrow(/blk\.0\.attn_k/);
    const half = [{ name: 'blk.0.attn_q.weight.lora_a', shape: [2, 32], data }];
    await writeFile(path, encodeGguf(pairs, half));
    await expect(readGgufLora(path, model)).rejects.toThrow(/its factors are/);
  });
});
