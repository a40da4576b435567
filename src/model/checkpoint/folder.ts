// The files of a model folder: found, followed through links, and parsed; not what they mean.
import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { readFileBounded } from '../../base/atomic-file.ts';
import { AttuneError, isAttuneError } from '../../base/errors.ts';
import { type FileOps, systemFileOps } from '../../base/file-ops.ts';
import { damaged } from './refusal.ts';

/**
 * The real path of a regular file; a pipe would block its reader for ever.
 * @throws model-not-found, model-damaged
 */
export async function realFile(path: string, ops: FileOps = systemFileOps): Promise<string> {
  const real = await realPath(path, ops);
  if ((await ops.stat(real))?.isFile === true) return real;
  throw damaged(path, 'file', 'not a regular file');
}

export function notFound(message: string, path: string, cause?: unknown): AttuneError {
  const end = message.endsWith('?') ? '' : '.';
  return new AttuneError('model-not-found', `${message}${end}`, { path }, { cause });
}

/** @throws model-not-found */
export async function realPath(path: string, ops: FileOps = systemFileOps): Promise<string> {
  try {
    return await ops.realPath(path);
  } catch (cause) {
    const code = isAttuneError(cause) ? cause.facts.systemCode : undefined;
    const why = code === undefined ? 'it is not there' : `it failed with ${code}`;
    throw notFound(`${path} cannot be read: ${why}`, path, cause);
  }
}

/** Equal as long as nobody changes or exchanges the file. */
export async function fileIdentity(path: string): Promise<readonly string[]> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  return [path, ...[dev, ino, size, mtimeNs, ctimeNs].map(String)];
}

/**
 * A parsed JSON file, or undefined when there is none.
 * @throws model-damaged when it is too large, not UTF-8 or not JSON
 */
export async function readJson(path: string, bytesMax: number): Promise<unknown> {
  try {
    const bytes = await readFileBounded(await realFile(path), { bytesMax });
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    if (cause instanceof AttuneError && cause.code === 'model-damaged') throw cause;
    if (cause instanceof AttuneError && cause.code === 'model-not-found') return undefined;
    const isCoded = cause instanceof AttuneError;
    throw damaged(path, 'file', isCoded ? cause.message : 'not JSON in UTF-8', cause);
  }
}

/** `owner/name` for a snapshot in a Hugging Face cache, else the name of the folder or file. */
export function modelId(dir: string): string {
  // …/models--owner--name/snapshots/<revision>
  const repository = basename(dirname(dirname(dir)));
  const isSnapshot = basename(dirname(dir)) === 'snapshots' && repository.startsWith('models--');
  return isSnapshot
    ? repository.slice('models--'.length).replace('--', '/')
    : basename(dir, '.gguf');
}
