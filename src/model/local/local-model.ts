// The models that this machine has already: where other programs keep theirs, and our own store.
// It looks at names and sizes only; what a file holds is `inspectModel`'s affair.
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';

export type ModelSource = 'Attune' | 'Hugging Face' | 'Ollama' | 'LM Studio' | 'llama.cpp';

export interface LocalModel {
  /** What to write into `model.path`. */
  readonly name: string;
  /** Further names under which it is found. */
  readonly aliases: readonly string[];
  /** Real path of its folder, or of its GGUF file (the first part of a split one). */
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
  const cache = environment.XDG_CACHE_HOME || join(home, '.cache');
  const huggingFace = environment.HF_HOME || join(cache, 'huggingface');
  const given = (name: string): string[] => (environment[name] ? [environment[name]] : []);
  return {
    store: join(storeFolder, 'models'),
    huggingFace: environment.HF_HUB_CACHE || join(huggingFace, 'hub'),
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

/** Entries of one folder that are looked at; a model folder has a few dozen. */
const ENTRIES_MAX = 10_000;

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
  for (const model of found.flat()) if (!byPath.has(model.path)) byPath.set(model.path, model);
  return [...byPath.values()];
}

/** Names in a folder, sorted; none where it cannot be read. */
async function entriesOf(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.sort().slice(0, ENTRIES_MAX);
}

async function foldersIn(folder: string): Promise<string[]> {
  const names = await entriesOf(folder);
  const isFolder = await Promise.all(
    names.map(async (name) => (await stat(join(folder, name)).catch(() => null))?.isDirectory()),
  );
  return names.filter((_, i) => isFolder[i] === true);
}

/** `OWNER/NAME` folders, as `attune pull` and LM Studio make them. */
async function inRepositories(folder: string, source: ModelSource): Promise<LocalModel[]> {
  const models: LocalModel[] = [];
  for (const owner of await foldersIn(folder)) {
    for (const name of await foldersIn(join(folder, owner))) {
      models.push(...(await inRepository(join(folder, owner, name), `${owner}/${name}`, source)));
    }
  }
  return models;
}

/** Source: huggingface_hub, file_download.py: models--OWNER--NAME, refs/main → snapshots/REVISION. */
async function inHuggingFaceCache(folder: string): Promise<LocalModel[]> {
  const models: LocalModel[] = [];
  for (const entry of await foldersIn(folder)) {
    const repository = /^models--(.+)$/.exec(entry)?.[1]?.replace('--', '/');
    const snapshot = await huggingFaceSnapshot(join(folder, entry));
    if (repository === undefined || snapshot === undefined) continue;
    models.push(...(await inRepository(snapshot, repository, 'Hugging Face')));
  }
  return models;
}

/** The folder of the revision that `main` names, or of the only one. */
export async function huggingFaceSnapshot(folder: string): Promise<string | undefined> {
  const named = await readFile(join(folder, 'refs', 'main'), 'utf8').catch(() => undefined);
  const revisions = await foldersIn(join(folder, 'snapshots'));
  const revision = revisions.find((one) => one === named?.trim()) ?? revisions[0];
  return revision === undefined ? undefined : join(folder, 'snapshots', revision);
}

/** A folder of safetensors is one model; each of its GGUF files is one. */
async function inRepository(
  folder: string,
  name: string,
  source: ModelSource,
): Promise<LocalModel[]> {
  const names = await entriesOf(folder);
  const files = firstParts(names);
  const models: LocalModel[] = [];
  if (names.includes('config.json') && names.some((one) => one.endsWith('.safetensors'))) {
    models.push({ name, aliases: [], path: await realpath(folder), source });
  }
  for (const file of files) {
    const path = await realpath(join(folder, file)).catch(() => undefined);
    if (path === undefined) continue;
    const plain = file.replace(/-\d{5}-of-\d{5}(?=\.gguf$)/, '').replace(/\.gguf$/, '');
    const quantization = quantizationIn(plain);
    const short = quantization === undefined ? [] : [`${name}:${quantization}`];
    const only = files.length === 1 && models.length === 0 ? [name] : [];
    const [first = `${name}/${file}`, ...aliases] = [...only, ...short, `${name}/${file}`, plain];
    models.push({ name: first, aliases, path, source });
  }
  return models;
}

/** `Q4_K_M` of `Llama-3.2-1B-Instruct-Q4_K_M`. */
export function quantizationIn(name: string): string | undefined {
  return /(?:^|[-._])((?:I?Q\d\w*|BF16|F16|F32|MXFP4))$/i.exec(name)?.[1]?.toUpperCase();
}

/** GGUF files; of split ones the first part. Projectors of vision models are none. */
function firstParts(names: readonly string[]): string[] {
  return names.filter(
    (name) =>
      name.endsWith('.gguf') &&
      !/^mmproj/i.test(name) &&
      !/-(?!00001)\d{5}-of-\d{5}\.gguf$/.test(name),
  );
}

const manifestSchema = z.looseObject({
  layers: z.array(z.looseObject({ mediaType: z.string(), digest: z.string() })),
});

/**
 * Manifests name blobs by their hash.
 * Source: ollama, server/modelpath.go: manifests/HOST/NAMESPACE/MODEL/TAG, blobs/sha256-HASH.
 */
async function inOllama(folder: string): Promise<LocalModel[]> {
  const models: LocalModel[] = [];
  const root = join(folder, 'manifests');
  for (const host of await foldersIn(root)) {
    for (const namespace of await foldersIn(join(root, host))) {
      for (const model of await foldersIn(join(root, host, namespace))) {
        const place = join(root, host, namespace, model);
        for (const tag of await entriesOf(place)) {
          const path = await ollamaBlob(folder, join(place, tag));
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

async function ollamaBlob(folder: string, manifestPath: string): Promise<string | undefined> {
  const text = await readFile(manifestPath, 'utf8').catch(() => '');
  const manifest = manifestSchema.safeParse(parsed(text)).data;
  const layer = manifest?.layers.find(({ mediaType }) => mediaType.endsWith('.image.model'));
  const hash = /^sha256:([0-9a-f]{64})$/.exec(layer?.digest ?? '')?.[1];
  if (hash === undefined) return undefined;
  return realpath(join(folder, 'blobs', `sha256-${hash}`)).catch(() => undefined);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function inLlamaCppCache(folder: string): Promise<LocalModel[]> {
  const files = firstParts(await entriesOf(folder));
  return Promise.all(
    files.map(async (file) => {
      const path = await realpath(join(folder, file));
      return { name: path, aliases: [basename(file, '.gguf'), file], path, source: 'llama.cpp' };
    }),
  );
}
