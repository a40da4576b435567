import {
  cp,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { FileSource } from '../../src/graph/tensor.ts';
import { fileIdentity } from '../../src/model/checkpoint/folder.ts';
import {
  readSafetensors,
  readTensor,
  type StoredTensor,
} from '../../src/model/checkpoint/safetensors.ts';
import { type Model, readModel, readWeight, type Weight } from '../../src/model/model.ts';
import { encode, floats, type Part, partsOf, writeFolder } from './bytes.ts';
import { FIXTURES, temporaryFolder } from './runner.ts';

// Models are widened to f32.
vi.setConfig({ testTimeout: 60_000 });

const LLAMA = join(FIXTURES, 'llama');
let root: string;
let cacheDir: string;
beforeEach(async () => {
  root = await temporaryFolder();
  cacheDir = join(root, 'cache');
});

const read = (dir: string, windowTokens?: number): Promise<Model> =>
  readModel(dir, { cacheDir, ...(windowTokens === undefined ? {} : { windowTokens }) });
const llamaParts = (): Promise<Record<string, Part>> =>
  partsOf(join(LLAMA, 'model.safetensors'), 'F32');
const folderOf = (parts: Record<string, Part>, shards = 1): Promise<string> =>
  writeFolder(join(root, 'model'), LLAMA, { parts, shards });
const pathOf = ({ source }: Weight): string =>
  source.from === 'file' ? source.path : source.codes.path;
const weight = (model: Model, name: string) => model.weights.get(name) as Weight;
const isWidened = (model: Model): boolean => pathOf(weight(model, 'norm')).includes('weights-');

describe('a model folder', () => {
  test('is read with the names and sizes of its weights', async () => {
    const model = await read(LLAMA);
    expect(model.id).toBe('llama');
    expect(model.windowTokens).toBe(64);
    expect(model.weights.size).toBe(3 + 2 * 9);
    expect(model.parameters).toBe(
      128 * 32 * 2 + 32 + 2 * (2 * 32 + 2 * 32 * 32 + 2 * 16 * 32 + 3 * 48 * 32),
    );
    expect(weight(model, 'layers.1.kProj').shape).toEqual([16, 32]);
    expect(model.unusedTensors).toEqual([]);
  });

  test.each(['qwen2', 'qwen3', 'mistral', 'llama-biased-sharded'])(
    'of half precision (%s) is widened once, exactly, into one file',
    async (name) => {
      const model = await read(join(FIXTURES, name));
      expect(isWidened(model)).toBe(true);
      for (const each of model.weights.values()) {
        expect(await readWeight(each)).toEqual(await readTensor(each.stored));
        expect((each.source as FileSource).offset % 4).toBe(0);
      }
      const made = await readdir(cacheDir);
      const again = await read(join(FIXTURES, name));
      expect(again).toEqual(model);
      expect(await readdir(cacheDir)).toEqual(made);
    },
  );

  test('of F32 in one real folder is used in place, also through links', async () => {
    await mkdir(join(root, 'blobs'));
    await mkdir(join(root, 'snapshot'));
    for (const [i, name] of ['config.json', 'model.safetensors'].entries()) {
      await cp(join(LLAMA, name), join(root, 'blobs', `${i}`));
      await symlink(`../blobs/${i}`, join(root, 'snapshot', name));
    }
    const model = await read(join(root, 'snapshot'));
    expect(pathOf(weight(model, 'norm'))).toBe(join(root, 'blobs', '1'));
  });

  test('of F32 whose shards lie in several folders, or at odd offsets, is gathered into one file', async () => {
    const parts = await llamaParts();
    const plain = await read(LLAMA);
    const dir = await folderOf(parts, 2);
    await mkdir(join(root, 'elsewhere'));
    const shard = 'model-00002-of-00002.safetensors';
    await cp(join(dir, shard), join(root, 'elsewhere', shard));
    await rm(join(dir, shard));
    await symlink(join(root, 'elsewhere', shard), join(dir, shard));
    const spread = await read(dir);
    const odd = join(root, 'odd');
    await cp(LLAMA, odd, { recursive: true });
    await writeFile(join(odd, 'model.safetensors'), encode(parts, 1));
    for (const model of [spread, await read(odd)]) {
      expect(isWidened(model)).toBe(true);
      expect(model.baseHash).toBe(plain.baseHash);
      expect(await readWeight(weight(model, 'lmHead'))).toEqual(
        await readWeight(weight(plain, 'lmHead')),
      );
    }
  });

  test('has another base hash when one bit, type, name or shape differs, and only then', async () => {
    const parts = await llamaParts();
    const hashOf = async (changed: Record<string, Part>) =>
      (await read(await folderOf(changed))).baseHash;
    const name = 'model.norm.weight';
    const plain = parts[name] as Part;
    const bytes = Uint8Array.from(plain.bytes, (byte, i) => (i === 0 ? byte ^ 1 : byte));
    const hash = await hashOf(parts);
    expect(hash).toBe((await read(LLAMA)).baseHash);
    expect(await hashOf({ ...parts, [name]: { ...plain, bytes } })).not.toBe(hash);
    const half = await partsOf(join(LLAMA, 'model.safetensors'), 'BF16');
    expect(await hashOf({ ...parts, [name]: half[name] as Part })).not.toBe(hash);
    const extra = { dtype: 'F32', shape: [1], bytes: floats(1) };
    expect(await hashOf({ 'rotary.inv_freq': extra, ...parts })).toBe(hash);
  });

  test('names the tensors that it does not use', async () => {
    const extra = { dtype: 'F32', shape: [1], bytes: floats(1) };
    const model = await read(await folderOf({ ...(await llamaParts()), extra }));
    expect(model.unusedTensors).toEqual(['extra']);
  });

  test('that was changed in place is hashed anew', async () => {
    const parts = await llamaParts();
    const dir = await folderOf(parts);
    const before = await read(dir);
    const name = 'model.norm.weight';
    const norm = parts[name] as Part;
    await folderOf({ ...parts, [name]: { ...norm, bytes: norm.bytes.toReversed() } });
    expect((await read(dir)).baseHash).not.toBe(before.baseHash);
  });

  test('may be given a smaller window, never a larger one', async () => {
    expect((await read(LLAMA, 16)).windowTokens).toBe(16);
    expect((await read(LLAMA, 0)).windowTokens).toBe(64);
    expect((await read(LLAMA, 1000)).windowTokens).toBe(64);
  });

  test('made for a huge window has a smaller one until more is asked for', async () => {
    const dir = join(root, 'huge');
    await cp(LLAMA, dir, { recursive: true });
    const json = JSON.parse(await readFile(join(dir, 'config.json'), 'utf8'));
    const huge = { ...json, max_position_embeddings: 1_048_576 };
    await writeFile(join(dir, 'config.json'), JSON.stringify(huge));
    expect((await read(dir)).windowTokens).toBe(32_768);
    expect((await read(dir, 500_000)).windowTokens).toBe(500_000);
  });

  test('with a sliding window has no more than that, and says so', async () => {
    const dir = join(root, 'mistral');
    await cp(join(FIXTURES, 'mistral'), dir, { recursive: true });
    const json = JSON.parse(await readFile(join(dir, 'config.json'), 'utf8'));
    await writeFile(join(dir, 'config.json'), JSON.stringify({ ...json, sliding_window: 32 }));
    for (const asked of [undefined, 33]) {
      const model = await read(dir, asked);
      expect(model.windowTokens).toBe(32);
      expect(model.notices.join()).toMatch(/32 tokens.*engine\.windowTokens/);
    }
    expect(await read(dir, 16)).toMatchObject({ windowTokens: 16, notices: [] });
  });

  test('with tied embeddings and a head of its own uses that head', async () => {
    const parts = await llamaParts();
    const dir = await folderOf(parts);
    const where = join(dir, 'config.json');
    const json = JSON.parse(await readFile(where, 'utf8'));
    await writeFile(where, JSON.stringify({ ...json, tie_word_embeddings: true }));
    const model = await read(dir);
    expect(model.config.tieWordEmbeddings).toBe(false);
    expect(await readWeight(weight(model, 'lmHead'))).not.toEqual(
      await readWeight(weight(model, 'embedTokens')),
    );
    const embedding = parts['model.embed_tokens.weight'] as Part;
    await folderOf({ ...parts, 'lm_head.weight': embedding });
    await writeFile(where, JSON.stringify({ ...json, tie_word_embeddings: true }));
    expect(await read(dir)).toMatchObject({
      config: { tieWordEmbeddings: true },
      unusedTensors: ['lm_head.weight'],
    });
  });
});

describe('a widened file', () => {
  test('that was cut is made again', async () => {
    const model = await read(join(FIXTURES, 'qwen2'));
    const { path } = weight(model, 'norm').source as FileSource;
    const whole = await readFile(path);
    await writeFile(path, whole.subarray(0, whole.length - 4));
    await read(join(FIXTURES, 'qwen2'));
    expect(await readFile(path)).toEqual(whole);
  });

  test('that a killed build left half-written is swept away, a young one is left alone', async () => {
    await mkdir(cacheDir);
    const [old, young] = [join(cacheDir, '.weights-a.1.tmp'), join(cacheDir, '.weights-b.2.tmp')];
    await writeFile(old, 'half');
    await writeFile(young, 'half');
    await utimes(old, new Date(0), new Date(0));
    await read(join(FIXTURES, 'qwen2'));
    const left = (await readdir(cacheDir)).filter((name) => name.endsWith('.tmp'));
    expect(left).toEqual(['.weights-b.2.tmp']);
  });

  test.each([false, true])(
    'that were overwritten in the cache are made again (a silent flip when all is read: %s)',
    async (readsCache) => {
      const model = await read(join(FIXTURES, 'qwen2'));
      const { path } = weight(model, 'norm').source as FileSource;
      const whole = await readFile(path);
      const bytes = Buffer.from(whole);
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
      await writeFile(path, bytes);
      if (readsCache) {
        // As when the disk, not a program, changed it: nothing tells but the bytes.
        const record = JSON.parse(await readFile(`${path}.json`, 'utf8'));
        const identity = await fileIdentity(path);
        await writeFile(`${path}.json`, JSON.stringify({ ...record, identity }));
        await read(join(FIXTURES, 'qwen2'));
        expect(await readFile(path)).toEqual(bytes);
      }
      expect(await readModel(join(FIXTURES, 'qwen2'), { cacheDir, readsCache })).toEqual(model);
      expect(await readFile(path)).toEqual(whole);
    },
  );

  test('that were only touched are read once, and kept', async () => {
    const { path } = weight(await read(join(FIXTURES, 'qwen2')), 'norm').source as FileSource;
    await utimes(path, new Date(0), new Date(0));
    const { ino } = await stat(path);
    await read(join(FIXTURES, 'qwen2'));
    expect((await stat(path)).ino).toBe(ino);
    const { identity } = JSON.parse(await readFile(`${path}.json`, 'utf8'));
    expect(identity).toEqual(await fileIdentity(path));
  });

  test('keep their name when the record of their hash is edited', async () => {
    const { baseHash } = await read(join(FIXTURES, 'qwen2'));
    const record = (await readdir(cacheDir)).find((name) => name.startsWith('base-')) ?? '';
    const text = await readFile(join(cacheDir, record), 'utf8');
    await writeFile(join(cacheDir, record), text.replace(baseHash, 'f'.repeat(64)));
    expect((await read(join(FIXTURES, 'qwen2'))).baseHash).toBe(baseHash);
  });

  test('and the record of the hash survive no damage to the record', async () => {
    const model = await read(join(FIXTURES, 'qwen2'));
    for (const name of await readdir(cacheDir)) {
      if (name.startsWith('base-')) await writeFile(join(cacheDir, name), '{"schemaVersion":1');
    }
    expect((await read(join(FIXTURES, 'qwen2'))).baseHash).toBe(model.baseHash);
  });
});

test('a checkpoint of transformers is the same tensors by our names', async () => {
  const model = await read(join(FIXTURES, 'qwen3'));
  const { tensors } = await readSafetensors(join(FIXTURES, 'qwen3', 'model.safetensors'));
  const stored = tensors.get('model.layers.0.self_attn.q_norm.weight') as StoredTensor;
  expect(await readWeight(weight(model, 'layers.0.qNorm'))).toEqual(await readTensor(stored));
});
