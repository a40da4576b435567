// The models that this machine has already: where other programs keep theirs, and our own store.
// It looks at names and sizes only; what a file holds is `inspectModel`'s affair.
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { isModelName, plainName, quantizationIn } from '../../gguf/file-name.ts';
import { FolderReader } from './folder-reader.ts';

export type ModelSource = 'Attune' | 'Hugging Face' | 'Ollama' | 'LM Studio' | 'llama.cpp';

export interface LocalModel {
  /** What to write into `model.path`. */
  readonly name: string;
  /** Further names under which it is found. */
  readonly aliases: readonly string[];
  /** Of its folder, or of its GGUF file (the first part of a split one). */
  readonly path: string;
  readonly source: ModelSource;
}

/** Where to look; a folder that is not there has no models. */
export interface ModelFolders {
  /** `models` in our store. */
  readonly store: string;
  readonly huggingFace: string;
  readonly ollama: readonly string[];
  readonly lmStudio: readonly string[];
  readonly llamaCpp: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

const cacheFolder = (home: string, environment: Environment): string =>
  environment.XDG_CACHE_HOME || join(home, '.cache');

/** Where Hugging Face's programs keep their cache and the token of a login. */
export const huggingFaceHome = (home: string, environment: Environment): string =>
  environment.HF_HOME || join(cacheFolder(home, environment), 'huggingface');

/**
 * The folders as the programs choose them.
 * Source: huggingface_hub, constants.py; ollama, envconfig; llama.cpp, common.cpp
 * (fs_get_cache_directory); lmstudio.ai/docs.
 */
export function modelFolders(
  storeFolder: string,
  home: string,
  environment: Environment,
): ModelFolders {
  const cache = cacheFolder(home, environment);
  const given = (name: string): string[] => (environment[name] ? [environment[name]] : []);
  return {
    store: join(storeFolder, 'models'),
    huggingFace: environment.HF_HUB_CACHE || join(huggingFaceHome(home, environment), 'hub'),
    ollama: [
      ...given('OLLAMA_MODELS'),
      join(home, '.ollama', 'models'),
      join('/usr', 'share', 'ollama', '.ollama', 'models'),
    ],
    lmStudio: [join(home, '.lmstudio', 'models'), join(cache, 'lm-studio', 'models')],
    llamaCpp: [
      ...given('LLAMA_CACHE'),
      join(cache, 'llama.cpp'),
      join(home, 'Library', 'Caches', 'llama.cpp'),
    ],
  };
}

/** By source and name; the same file is listed once. */
export async function listLocalModels(folders: ModelFolders): Promise<LocalModel[]> {
  const found = await Promise.all([
    inRepositories(folders.store, 'Attune'),
    inHuggingFaceCache(folders.huggingFace),
    ...folders.ollama.map(inOllama),
    ...folders.lmStudio.map((folder) => inRepositories(folder, 'LM Studio')),
    ...folders.llamaCpp.map(inLlamaCppCache),
  ]);
  const byPath = new Map<string, LocalModel>();
  for (const model of found.flat()) {
    const real = await realpath(model.path).catch(() => model.path);
    if (!byPath.has(real)) byPath.set(real, model);
  }
  return [...byPath.values()];
}

/** `OWNER/NAME` folders, as `attune pull` and LM Studio make them. */
async function inRepositories(folder: string, source: ModelSource): Promise<LocalModel[]> {
  const reader = new FolderReader();
  const models: LocalModel[] = [];
  for (const owner of await reader.folders(folder)) {
    for (const name of await reader.folders(join(folder, owner))) {
      const place = { folder: join(folder, owner, name), name: `${owner}/${name}`, source };
      models.push(...(await inRepository(place, reader)));
    }
  }
  return models;
}

/** Source: huggingface_hub, file_download.py: models--OWNER--NAME, refs/main → snapshots/REVISION. */
async function inHuggingFaceCache(root: string): Promise<LocalModel[]> {
  const reader = new FolderReader();
  const models: LocalModel[] = [];
  for (const entry of await reader.folders(root)) {
    const name = /^models--(.+)$/.exec(entry)?.[1]?.replace('--', '/');
    const folder = await huggingFaceSnapshot(join(root, entry), reader);
    if (name === undefined || folder === undefined) continue;
    models.push(...(await inRepository({ folder, name, source: 'Hugging Face' }, reader)));
  }
  return models;
}

/** The folder of the revision that `main` names, or of the only one. */
export async function huggingFaceSnapshot(
  folder: string,
  reader = new FolderReader(),
): Promise<string | undefined> {
  const named = await reader.text(join(folder, 'refs', 'main'));
  const revisions = await reader.folders(join(folder, 'snapshots'));
  const revision = revisions.find((one) => one === named?.trim()) ?? revisions[0];
  return revision === undefined ? undefined : join(folder, 'snapshots', revision);
}

interface Repository {
  readonly folder: string;
  readonly name: string;
  readonly source: ModelSource;
}

/** A folder of safetensors is one model; each GGUF file in it, or one folder below, is one. */
async function inRepository(
  { folder, name, source }: Repository,
  reader: FolderReader,
): Promise<LocalModel[]> {
  const names = await reader.names(folder);
  // What is hidden is not meant to be found: `attune pull` looks at heads in such a folder.
  for (const below of (await reader.folders(folder)).filter((one) => !one.startsWith('.'))) {
    const files = await reader.names(join(folder, below));
    names.push(...files.map((file) => `${below}/${file}`));
  }
  const files = names.filter(isModelName);
  const models: LocalModel[] = [];
  if (names.includes('config.json') && names.some((one) => /^[^/]*\.safetensors$/.test(one))) {
    models.push({ name, aliases: [], path: folder, source });
  }
  for (const file of files) {
    const path = await reader.file(join(folder, file));
    if (path === undefined) continue;
    const quantization = quantizationIn(file);
    const short = quantization === undefined ? [] : [`${name}:${quantization}`];
    const only = files.length === 1 && models.length === 0 ? [name] : [];
    const plain = plainName(basename(file));
    const [first = `${name}/${file}`, ...aliases] = [...only, ...short, `${name}/${file}`, plain];
    models.push({ name: first, aliases, path, source });
  }
  return models;
}

const manifestSchema = z.looseObject({
  layers: z.array(z.looseObject({ mediaType: z.string(), digest: z.string() })),
});

/**
 * Manifests name blobs by their hash.
 * Source: ollama, server/modelpath.go: manifests/HOST/NAMESPACE/MODEL/TAG, blobs/sha256-HASH.
 */
async function inOllama(folder: string): Promise<LocalModel[]> {
  const reader = new FolderReader();
  const models: LocalModel[] = [];
  const root = join(folder, 'manifests');
  for (const host of await reader.folders(root)) {
    for (const namespace of await reader.folders(join(root, host))) {
      for (const model of await reader.folders(join(root, host, namespace))) {
        const place = join(root, host, namespace, model);
        for (const tag of await reader.names(place)) {
          const path = await ollamaBlob(folder, await reader.text(join(place, tag)), reader);
          if (path === undefined) continue;
          const isUsual = host === 'registry.ollama.ai';
          const plain = namespace === 'library' ? model : `${namespace}/${model}`;
          const name = `ollama:${isUsual ? plain : `${host}/${plain}`}`;
          const aliases = tag === 'latest' ? [name] : [];
          models.push({ name: `${name}:${tag}`, aliases, path, source: 'Ollama' });
        }
      }
    }
  }
  return models;
}

/** `ollama:NAME:TAG` of a blob that Ollama keeps. */
export async function ollamaName(path: string): Promise<string | undefined> {
  if (!/^sha256-[0-9a-f]{64}$/.test(basename(path))) return undefined;
  const models = await inOllama(dirname(dirname(path)));
  return models.find((model) => model.path === path)?.name;
}

async function ollamaBlob(
  folder: string,
  manifestText = '',
  reader: FolderReader,
): Promise<string | undefined> {
  const manifest = manifestSchema.safeParse(parsed(manifestText)).data;
  const layer = manifest?.layers.find(({ mediaType }) => mediaType.endsWith('.image.model'));
  const hash = /^sha256:([0-9a-f]{64})$/.exec(layer?.digest ?? '')?.[1];
  return hash === undefined ? undefined : reader.file(join(folder, 'blobs', `sha256-${hash}`));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function inLlamaCppCache(folder: string): Promise<LocalModel[]> {
  const reader = new FolderReader();
  const models: LocalModel[] = [];
  for (const file of (await reader.names(folder)).filter(isModelName)) {
    const path = await reader.file(join(folder, file));
    if (path === undefined) continue;
    models.push({ name: path, aliases: [plainName(file), file], path, source: 'llama.cpp' });
  }
  return models;
}
