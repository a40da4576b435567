import { appendFile, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { type Model, readModel } from '../../src/model/model.ts';
import { type Part, partsOf, writeFolder } from './bytes.ts';
import { FIXTURES, temporaryFolder } from './runner.ts';

const LLAMA = join(FIXTURES, 'llama');
let root: string;
beforeEach(async () => {
  root = await temporaryFolder();
});

const read = (dir: string): Promise<Model> => readModel(dir, { cacheDir: join(root, 'cache') });
const llamaParts = (): Promise<Record<string, Part>> =>
  partsOf(join(LLAMA, 'model.safetensors'), 'F32');
const folderOf = (parts: Record<string, Part>, shards = 1): Promise<string> =>
  writeFolder(join(root, 'model'), LLAMA, { parts, shards });

describe('a folder is refused', () => {
  const without = async (name: string): Promise<Record<string, Part>> => {
    const { [name]: _, ...rest } = await llamaParts();
    return rest;
  };

  test('that is not there, or holds no model', async () => {
    await mkdir(join(root, 'empty'));
    for (const dir of [join(root, 'none'), join(root, 'empty')]) {
      await expect(read(dir)).rejects.toMatchObject({ code: 'model-not-found' });
    }
  });

  test('that is a file of another kind', async () => {
    const reading = read(join(LLAMA, 'config.json'));
    await expect(reading).rejects.toThrow('name a model folder or a GGUF file');
  });

  test.each([
    ['pytorch_model.bin', 'safe_serialization'],
    ['adapter_config.json', 'LoRA adapter'],
    ['model.Q8_0.gguf', 'name the GGUF file in it.'],
    ['consolidated.safetensors', 'Hugging Face format'],
    ['readme.txt', 'was it fetched whole?'],
  ])('that holds %s instead of a model, saying what to do', async (name, advice) => {
    const dir = join(root, 'model');
    await mkdir(dir);
    await writeFile(join(dir, name), '');
    const message = async (): Promise<string> => (await read(dir).catch(String)) as string;
    expect(await message()).toContain(advice);
    await cp(join(LLAMA, 'config.json'), join(dir, 'config.json'));
    expect(await message()).toContain(advice);
    expect(await message()).not.toMatch(/[?]\./);
  });

  test('whose weights are packed under another name, as quantized ones', async () => {
    const { 'model.layers.0.mlp.up_proj.weight': packed, ...rest } = await llamaParts();
    const name = 'model.layers.0.mlp.up_proj.qweight';
    const dir = await folderOf({ ...rest, [name]: packed as Part });
    await expect(read(dir)).rejects.toThrow(/quantized/);
  });

  test('whose weights were left at the server by Git LFS', async () => {
    const dir = await folderOf(await llamaParts());
    const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 269060552\n';
    for (const path of [join(dir, 'model.safetensors'), join(root, 'model.gguf')]) {
      await writeFile(path, pointer);
      await expect(read(path.endsWith('.gguf') ? path : dir)).rejects.toThrow(/git lfs pull/);
    }
  });

  test('whose config.json is no JSON, no UTF-8 or huge', async () => {
    const dir = await folderOf(await llamaParts());
    for (const content of ['{', Buffer.of(0x22, 0xff, 0x22), ' '.repeat(5e6)]) {
      await writeFile(join(dir, 'config.json'), content);
      await expect(read(dir)).rejects.toMatchObject({ code: 'model-damaged' });
    }
  });

  test('that lacks a tensor, naming it', async () => {
    const dir = await folderOf(await without('model.layers.1.mlp.up_proj.weight'));
    await expect(read(dir)).rejects.toMatchObject({
      code: 'model-damaged',
      facts: { field: 'model.layers.1.mlp.up_proj.weight' },
    });
  });

  test('that lacks the head it is said to have', async () => {
    const dir = await folderOf(await without('lm_head.weight'));
    await expect(read(dir)).rejects.toThrow(/lm_head\.weight/);
  });

  test('whose tensor has another shape than the config says', async () => {
    const parts = await llamaParts();
    const name = 'model.layers.0.self_attn.q_proj.weight';
    const dir = await folderOf({ ...parts, [name]: { ...(parts[name] as Part), shape: [1024] } });
    await expect(read(dir)).rejects.toThrow(/\(1024\); config\.json asks for \(32, 32\)/);
  });

  test('whose weights are integers', async () => {
    const parts = await llamaParts();
    const name = 'model.norm.weight';
    const dir = await folderOf({ ...parts, [name]: { ...(parts[name] as Part), dtype: 'I32' } });
    await expect(read(dir)).rejects.toMatchObject({ code: 'model-unsupported' });
  });
});

describe('an index of shards is refused', () => {
  let dir: string;
  let index: string;
  const first = 'model-00001-of-00002.safetensors';
  const change = async (edit: (map: Record<string, unknown>) => void): Promise<void> => {
    const json = JSON.parse(await readFile(index, 'utf8'));
    edit(json.weight_map);
    await writeFile(index, JSON.stringify(json));
  };
  beforeEach(async () => {
    dir = await folderOf(await llamaParts(), 2);
    index = join(dir, 'model.safetensors.index.json');
  });

  test.each(['../model-00001-of-00002.safetensors', '/etc/passwd', '.safetensors', 'a.bin', ''])(
    'that names %j as a shard',
    async (shard) => {
      await change((map) => {
        map['model.norm.weight'] = shard;
      });
      await expect(read(dir)).rejects.toMatchObject({ code: 'model-damaged' });
    },
  );

  test('that promises a tensor its shards do not hold', async () => {
    await change((map) => {
      map.more = first;
    });
    await expect(read(dir)).rejects.toThrow(/more: .* does not hold it/);
  });

  test('when a shard is missing', async () => {
    await rm(join(dir, first));
    await expect(read(dir)).rejects.toMatchObject({ code: 'model-not-found' });
  });

  test('when a tensor is in two shards', async () => {
    await cp(join(dir, first), join(dir, 'model-00002-of-00002.safetensors'));
    await expect(read(dir)).rejects.toThrow(/it is in two shards/);
  });

  test('when it is not one', async () => {
    await writeFile(index, '{"weight_map": []}');
    await expect(read(dir)).rejects.toMatchObject({ code: 'model-damaged' });
    await appendFile(index, '}');
    await expect(read(dir)).rejects.toMatchObject({ code: 'model-damaged' });
  });
});
