// From what a person writes into `model.path` to a model folder or a GGUF file.
import { readdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { AttuneError } from '../../base/errors.ts';
import { installationFolder } from '../../config/load.ts';
import { firstPartName, isModelName } from '../../gguf/file-name.ts';
import {
  huggingFaceSnapshot,
  type LocalModel,
  listLocalModels,
  type ModelFolders,
  modelFolders,
} from './local-model.ts';

const NAMES_SHOWN_MAX = 8;

/**
 * A model as a person names it: a path from the working directory or the installation, or a name.
 * @throws model-not-found
 */
export function namedModel(name: string, storePath: string): Promise<string> {
  return resolveModel(name, {
    bases: [process.cwd(), installationFolder],
    folders: modelFolders(resolve(storePath), homedir(), process.env),
  });
}

/**
 * @param name a folder, a `.gguf` file, `ollama:NAME[:TAG]`, `OWNER/NAME[:QUANT]` of the hub or of
 *   our store, or the name of a file that another program keeps
 * @param bases folders against which a relative path is tried, in order
 * @throws model-not-found, saying what was looked for and what there is
 */
export async function resolveModel(
  name: string,
  { bases, folders }: { bases: readonly string[]; folders: ModelFolders },
): Promise<string> {
  for (const base of bases) {
    const path = await modelAt(name.startsWith('/') ? name : join(base, name));
    if (path !== undefined) return path;
  }
  const models = await listLocalModels(folders);
  const matching = models.filter((model) => isCalled(model, name));
  const [only, ...others] = matching;
  // Two programs may have it under one name; ours is the first.
  if (only !== undefined && others.every((other) => other.name === only.name)) return only.path;
  if (only !== undefined) {
    const names = matching.map((model) => model.name).join(', ');
    throw notFound(name, `"${name}" is the name of several models; use one of ${names}`);
  }
  throw notFound(name, whatToDo(name, models));
}

function isCalled({ name, aliases }: LocalModel, asked: string): boolean {
  const wanted = asked.toLowerCase();
  return [name, ...aliases].some((one) => one.toLowerCase() === wanted);
}

/** What is at a path: a file, a model folder, or a folder that holds just one of them. */
async function modelAt(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  if (!found.isDirectory()) return join(dirname(path), firstPartName(basename(path)));
  const names = await readdir(path);
  if (names.includes('config.json')) return path;
  if (names.includes('snapshots')) {
    const snapshot = await huggingFaceSnapshot(path);
    if (snapshot !== undefined) return modelAt(snapshot);
  }
  const first = names.filter(isModelName).sort();
  if (first.length > 1) {
    const list = first.slice(0, NAMES_SHOWN_MAX).join(', ');
    throw notFound(path, `${path} holds several GGUF files; name one of them: ${list}`);
  }
  const [file] = first;
  return file === undefined ? path : join(path, file);
}

function whatToDo(name: string, models: readonly LocalModel[]): string {
  const words = basename(name.replace(/^ollama:|:[^:]*$/g, '')).toLowerCase();
  const near = models.filter(
    (model) => words.length > 2 && model.name.toLowerCase().includes(words),
  );
  const list = near.slice(0, NAMES_SHOWN_MAX).map((model) => model.name);
  if (list.length > 0) return `No model is called "${name}" here; did you mean ${list.join(', ')}?`;
  if (name.startsWith('ollama:')) {
    return `Ollama has no ${name.slice('ollama:'.length)}; \`ollama pull\` fetches it`;
  }
  if (/^[a-z0-9][\w.-]*\/[a-z0-9][\w.-]*(:\w+)?$/i.test(name)) {
    return `"${name}" is not on this machine; \`attune pull ${name}\` fetches it`;
  }
  return `There is no model at "${name}"; \`attune models\` lists what this machine has`;
}

function notFound(name: string, message: string): AttuneError {
  const end = /[?.]$/.test(message) ? '' : '.';
  return new AttuneError('model-not-found', `${message}${end}`, { path: name });
}
