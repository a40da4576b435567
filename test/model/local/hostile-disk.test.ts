// Whatever else is on the disk, `attune models` lists the sound models within seconds.
import { execFileSync } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createRandom } from '../../../src/base/random.ts';
import { type ListedModel, listedModels } from '../../../src/cli/model/models.ts';
import { ggufBytes } from '../../gguf/gguf-bytes.ts';

// Folders with tens of thousands of files are read.
vi.setConfig({ testTimeout: 60_000 });

const GGUF = new URL('../../fixtures/gguf/', import.meta.url).pathname;
const FOLDER = new URL('../../fixtures/transformers/llama/', import.meta.url).pathname;
const isWindows = process.platform === 'win32';
const isRoot = process.getuid?.() === 0;

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'attune-hostile-'));
  await cp(join(GGUF, 'llama.gguf'), join(home, '.lmstudio/models/sound/one/one.gguf'));
});
afterEach(() => rm(home, { recursive: true, force: true }));

async function put(path: string, content: string | Uint8Array = ''): Promise<string> {
  const full = join(home, path);
  await mkdir(dirname(full), { recursive: true });
  await writeFile(full, content);
  return full;
}

async function putPipe(path: string): Promise<void> {
  await mkdir(dirname(join(home, path)), { recursive: true });
  execFileSync('mkfifo', [join(home, path)]);
}

/** Those that are listed beside the sound one. */
async function others(): Promise<ListedModel[]> {
  const models = await listedModels(join(home, 'store'), {}, home);
  const sound = models.find(({ name }) => name === 'sound/one');
  expect(sound?.refusal).toBe(null);
  return models.filter((model) => model !== sound);
}

const LM = '.lmstudio/models';
const HUB = '.cache/huggingface/hub/models--o--m';
const OLLAMA = '.ollama/models/manifests/registry.ollama.ai/library';

// 24,000 files are written.
describe('the sound model is listed beside', { timeout: 60_000 }, () => {
  it('folders with tens of thousands of files', async () => {
    for (const folder of [`${LM}/a/huge`, `${OLLAMA}/huge`]) {
      await mkdir(join(home, folder), { recursive: true });
      const files = Array.from({ length: 12_000 }, (_, i) => join(home, folder, `${i}`));
      while (files.length > 0) {
        await Promise.all(files.splice(0, 500).map((file) => writeFile(file, '')));
      }
    }
    expect(await others()).toEqual([]);
  });

  it('links that lead in a circle, and links to nothing', async () => {
    await mkdir(join(home, LM, 'loop/loop'), { recursive: true });
    await symlink(join(home, LM), join(home, LM, 'loop/loop/above'));
    await symlink('self.gguf', join(home, LM, 'loop/loop/self.gguf'));
    await symlink('/nowhere/x.gguf', join(home, LM, 'loop/loop/gone.gguf'));
    await symlink(join(home, LM, 'loop'), join(home, LM, 'loop/again'));
    await mkdir(join(home, '.cache/llama.cpp'), { recursive: true });
    await symlink('/nowhere/x.gguf', join(home, '.cache/llama.cpp/gone.gguf'));
    await mkdir(join(home, HUB), { recursive: true });
    await symlink(join(home, HUB), join(home, HUB, 'snapshots'));
    expect((await others()).filter(({ facts }) => facts === null)).toEqual([]);
  });

  it.skipIf(isWindows || isRoot)(
    'files and folders that may not be read (needs a user other than root)',
    async () => {
      await chmod(await put(`${LM}/a/b/x.gguf`, 'GGUF'), 0);
      await put(`${LM}/closed/b/x.gguf`, 'GGUF');
      await chmod(join(home, LM, 'closed'), 0);
      const models = await others();
      await chmod(join(home, LM, 'closed'), 0o700);
      expect(models.map(({ refusal }) => refusal)).toEqual([expect.stringContaining('EACCES')]);
    },
  );

  it('folders where files are expected, and files where folders are', async () => {
    await mkdir(join(home, LM, 'a/b/folder.gguf'), { recursive: true });
    await mkdir(join(home, HUB, 'refs/main'), { recursive: true });
    await put(`${HUB}/snapshots`, 'a file');
    await mkdir(join(home, OLLAMA, 'm/latest'), { recursive: true });
    await put('.cache/llama.cpp', 'a file');
    await put('store/models/o', 'a file');
    expect(await others()).toEqual([]);
  });

  it.skipIf(isWindows)('pipes, wherever a file is read (needs mkfifo)', async () => {
    await putPipe(`${LM}/a/b/pipe.gguf`);
    await putPipe(`${LM}/a/folder/config.json`);
    await put(`${LM}/a/folder/model.safetensors`);
    await cp(FOLDER, join(home, LM, 'a/template'), { recursive: true });
    await putPipe(`${LM}/a/template/chat_template.jinja`);
    await putPipe(`${HUB}/refs/main`);
    await put(`${HUB}/snapshots/1/x.gguf`, 'GGUF');
    await putPipe(`${OLLAMA}/m/latest`);
    await putPipe('.cache/llama.cpp/pipe.gguf');
    const names = (await others()).map(({ name }) => name);
    expect(names.sort()).toEqual(['a/folder', 'a/template', 'o/m']);
  });

  it('a manifest of a gigabyte', async () => {
    await truncate(await put(`${OLLAMA}/m/latest`, '{"layers":['), 2 ** 30);
    expect(await others()).toEqual([]);
  });

  it('GGUF files whose heads are garbage', async () => {
    const random = createRandom('garbage');
    const noise = Uint8Array.from({ length: 5000 }, () => random.int(256));
    const noisy = ggufBytes({});
    const heads: Record<string, Uint8Array> = {
      empty: new Uint8Array(),
      short: Buffer.from('GGUF'),
      noise,
      noisyAfterMagic: Buffer.concat([noisy.subarray(0, 8), noise]),
      manyPairs: ggufBytes({ pairCount: 2n ** 60n }),
      manyTensors: ggufBytes({ tensorCount: 2n ** 60n }),
      foreign: ggufBytes({ metadata: { 'general.architecture': 'mamba' } }),
    };
    for (const [name, head] of Object.entries(heads)) await put(`${LM}/a/${name}/x.gguf`, head);
    // A list of eight million empty texts, as far as its zeros say so.
    const list = Buffer.alloc(100);
    ggufBytes({ pairCount: 1n }).copy(list, 0, 0, 24);
    list.writeBigUInt64LE(1n, 24);
    list.write('k', 32);
    list.writeUInt32LE(9, 33);
    list.writeUInt32LE(8, 37);
    list.writeBigUInt64LE(8_000_000n, 41);
    await truncate(await put(`${LM}/a/zeros/x.gguf`, list), 2 ** 30);
    const models = await others();
    expect(models).toHaveLength(Object.keys(heads).length + 1);
    for (const { name, refusal } of models) expect(refusal, name).toMatch(/\w/);
  });
});
