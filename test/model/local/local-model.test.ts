// Models that other programs keep are found under the names that people give them.
import { cp, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { installationFolder } from '../../../src/config/load.ts';
import { quantizationIn } from '../../../src/gguf/file-name.ts';
import { inspectModel } from '../../../src/model/local/inspect-model.ts';
import {
  listLocalModels,
  type ModelFolders,
  modelFolders,
} from '../../../src/model/local/local-model.ts';
import { namedModel, resolveModel } from '../../../src/model/local/resolve-model.ts';
import { readModel } from '../../../src/model/model.ts';

const GGUF = new URL('../../fixtures/gguf/', import.meta.url).pathname;
const HASH = 'a'.repeat(64);

let home: string;
let folders: ModelFolders;
beforeEach(async () => {
  home = await realpath(await mkdtemp(join(tmpdir(), 'attune-home-')));
  folders = modelFolders(join(home, 'store'), home, {});
});
afterEach(() => rm(home, { recursive: true, force: true }));

async function put(path: string, content: string | { copyOf: string } = ''): Promise<string> {
  const full = join(home, path);
  await mkdir(dirname(full), { recursive: true });
  if (typeof content === 'string') await writeFile(full, content);
  else await cp(join(GGUF, content.copyOf), full);
  return full;
}

const putOllama = async (name: string): Promise<string> => {
  const layers = [
    { mediaType: 'application/vnd.ollama.image.template', digest: `sha256:${'b'.repeat(64)}` },
    { mediaType: 'application/vnd.ollama.image.model', digest: `sha256:${HASH}` },
  ];
  await put(`.ollama/models/manifests/registry.ollama.ai/${name}`, JSON.stringify({ layers }));
  return put(`.ollama/models/blobs/sha256-${HASH}`, { copyOf: 'llama.gguf' });
};

const putSnapshot = async (repository: string, revision: string, files: readonly string[]) => {
  const root = `.cache/huggingface/hub/models--${repository.replace('/', '--')}`;
  await put(`${root}/refs/main`, revision);
  for (const file of files) {
    const content = file.endsWith('.gguf') ? { copyOf: file } : '';
    const blob = await put(`${root}/blobs/${HASH}-of-${files.indexOf(file)}`, content);
    await mkdir(join(home, root, 'snapshots', revision), { recursive: true });
    await symlink(blob, join(home, root, 'snapshots', revision, file));
  }
  return join(home, root);
};

const resolve = (name: string): Promise<string> => resolveModel(name, { bases: [home], folders });

describe('the models of this machine', () => {
  it('are those of Ollama, Hugging Face, LM Studio, llama.cpp and our store', async () => {
    await putOllama('library/llama3.2/1b');
    await putSnapshot('Qwen/Qwen3-0.6B', 'abc', ['config.json', 'model.safetensors']);
    await put('.lmstudio/models/bartowski/Phi-GGUF/Phi-Q4_K_M.gguf');
    await put('.cache/llama.cpp/ggml-org_gemma.gguf');
    await put('store/models/HuggingFaceTB/SmolLM2/config.json');
    await put('store/models/HuggingFaceTB/SmolLM2/model.safetensors');
    const found = await listLocalModels(folders);
    expect(found.map(({ source, name }) => [source, name])).toEqual([
      ['Attune', 'HuggingFaceTB/SmolLM2'],
      ['Hugging Face', 'Qwen/Qwen3-0.6B'],
      ['Ollama', 'ollama:llama3.2:1b'],
      ['LM Studio', 'bartowski/Phi-GGUF'],
      ['llama.cpp', join(home, '.cache/llama.cpp/ggml-org_gemma.gguf')],
    ]);
  });

  it('are each quantisation of a repository, but no further parts and no projectors', async () => {
    const repository = 'store/models/unsloth/Qwen3-GGUF';
    const names = ['Qwen3-Q4_K_M.gguf', 'Qwen3-Q8_0.gguf', 'mmproj-F16.gguf'];
    const parts = ['Qwen3-BF16-00001-of-00002.gguf', 'Qwen3-BF16-00002-of-00002.gguf'];
    for (const name of [...names, ...parts]) await put(`${repository}/${name}`);
    expect((await listLocalModels(folders)).map(({ name }) => name)).toEqual([
      'unsloth/Qwen3-GGUF:BF16',
      'unsloth/Qwen3-GGUF:Q4_K_M',
      'unsloth/Qwen3-GGUF:Q8_0',
    ]);
  });

  it('are none where nothing is installed, and damaged manifests hide nothing else', async () => {
    expect(await listLocalModels(folders)).toEqual([]);
    await putOllama('library/llama3.2/1b');
    for (const [tag, text] of Object.entries({ cut: '{"lay', other: '[]', up: '{"layers":[]}' })) {
      await put(`.ollama/models/manifests/registry.ollama.ai/library/bad/${tag}`, text);
    }
    expect(await listLocalModels(folders)).toHaveLength(1);
  });
});

describe('a model is named by', () => {
  it('its place, from where the person is or from the installation', async () => {
    const file = await put('here/x.gguf');
    expect(await resolve(file)).toBe(file);
    expect(await resolve('here/x.gguf')).toBe(file);
    const found = await resolveModel('x.gguf', { bases: [home, join(home, 'here')], folders });
    expect(found).toBe(file);
  });

  it('a path of the installation, from any working directory', async () => {
    const path = await namedModel('models/companion', join(home, 'store'));
    expect(path).toBe(join(installationFolder, 'models', 'companion'));
  });

  it('a folder that holds one GGUF file, or the first part of one', async () => {
    const first = await put('one/x-00001-of-00002.gguf');
    await put('one/x-00002-of-00002.gguf');
    expect(await resolve('one')).toBe(first);
    await put('one/y.gguf');
    await expect(resolve('one')).rejects.toThrow('name one of them: x-00001-of-00002.gguf, y.gguf');
  });

  it('an entry of the Hugging Face cache: its root, or the name on the hub', async () => {
    const root = await putSnapshot('Qwen/Qwen3-0.6B', 'abc', ['config.json', 'model.safetensors']);
    const snapshot = join(root, 'snapshots', 'abc');
    expect(await resolve(root)).toBe(snapshot);
    expect(await resolve('qwen/qwen3-0.6b')).toBe(snapshot);
  });

  it('the file of a hub repository in the cache, whose parts are links to blobs', async () => {
    const parts = ['qwen2-00001-of-00002.gguf', 'qwen2-00002-of-00002.gguf'];
    const root = await putSnapshot('Qwen/Qwen2-GGUF', 'abc', parts);
    const first = join(root, 'snapshots', 'abc', parts[0] as string);
    expect(await resolve('Qwen/Qwen2-GGUF')).toBe(first);
    const cacheDir = join(home, 'cache');
    expect(await readModel(first, { cacheDir })).toMatchObject({ id: 'qwen2-00001-of-00002' });
    const further = first.replace('00001', '00002');
    expect(await resolve(further)).toBe(first);
  });

  it('its name in Ollama, with and without a tag', async () => {
    const blob = await putOllama('library/llama3.2/latest');
    expect(await resolve('ollama:llama3.2')).toBe(blob);
    expect(await resolve('ollama:llama3.2:latest')).toBe(blob);
    expect((await inspectModel(blob)).parameters).toBeGreaterThan(10_000);
    const { id } = await readModel(blob, { cacheDir: join(home, 'cache') });
    expect(id).toBe('ollama:llama3.2:latest');
  });

  it('its name and quantisation in our store', async () => {
    const file = await put('store/models/unsloth/Qwen3-GGUF/Qwen3-Q4_K_M.gguf');
    for (const name of ['unsloth/Qwen3-GGUF', 'unsloth/Qwen3-GGUF:Q4_K_M', 'Qwen3-Q4_K_M']) {
      expect(await resolve(name)).toBe(file);
    }
  });
});

describe('a model that is not here is answered with', () => {
  it.each([
    ['Qwen/Qwen2.5-0.5B-Instruct', 'attune pull Qwen/Qwen2.5-0.5B-Instruct'],
    ['ollama:mistral', 'ollama pull'],
    ['./nothing', 'attune models'],
  ])('what to do about %s', async (name, advice) => {
    await putOllama('library/llama3.2/1b');
    const error = await resolve(name).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'model-not-found' });
    expect(String(error)).toContain(advice);
    expect(String(error)).not.toMatch(/[?.]\.$/);
  });

  it('the names that are near', async () => {
    await put('store/models/unsloth/Qwen3-GGUF/Qwen3-Q4_K_M.gguf');
    await put('store/models/unsloth/Qwen3-GGUF/Qwen3-Q8_0.gguf');
    await expect(resolve('qwen3')).rejects.toThrow('did you mean unsloth/Qwen3-GGUF:Q4_K_M');
    await expect(resolve('unsloth/Qwen3-GGUF')).rejects.toThrow('Qwen3-GGUF:Q8_0');
  });
});

it('reads the quantisation off a name', () => {
  expect(['a-Q4_K_M', 'a.q8_0', 'a-IQ4_XS', 'BF16', 'Qwen3-4B'].map(quantizationIn)).toEqual([
    'Q4_K_M',
    'Q8_0',
    'IQ4_XS',
    'BF16',
    undefined,
  ]);
});

it('says what a file holds from its head', async () => {
  const described = await inspectModel(join(GGUF, 'llama-quantized.gguf'));
  expect(described).toMatchObject({ quantization: 'F32', config: { family: 'llama' } });
  // Its blocks stay packed; what is F32 or BF16 is there as f32.
  expect(described.memoryBytes).toBeLessThan(described.parameters * 4);
  expect(described.storedBytes).toBeLessThan(described.memoryBytes);
});
