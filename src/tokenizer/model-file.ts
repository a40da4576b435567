// Reads a small file of a model folder, bounded and checked; what is wrong is named with its place.
import { realpath, stat } from 'node:fs/promises';
import type { z } from 'zod';
import { parsedJson, readTextBounded } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { isLfsPointer, LFS_POINTER } from '../base/lfs-pointer.ts';

export const CONFIG_BYTES_MAX = 16 * 2 ** 20;

export function invalid(dir: string, message: string, cause?: unknown): AttuneError {
  return new AttuneError('tokenizer-invalid', `${dir}: ${message}`, { dir }, { cause });
}

/** @returns undefined where there is no such file @throws tokenizer-invalid */
export async function readJson<T>(
  path: string,
  schema: z.ZodType<T>,
  bytesMax = CONFIG_BYTES_MAX,
): Promise<T | undefined> {
  const text = await readText(path, bytesMax);
  if (text === undefined) return undefined;
  if (isLfsPointer(text)) throw invalid(path, `${LFS_POINTER}.`);
  const value = parsedJson(text);
  if (value === undefined) throw invalid(path, 'is not JSON.');
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw invalid(path, `${issue?.path.map(String).join('.') || '(root)'}: ${issue?.message}.`);
}

/** @returns undefined where there is no such file @throws tokenizer-invalid */
export async function readText(path: string, bytesMax: number): Promise<string | undefined> {
  try {
    return await readTextBounded(path, { bytesMax });
  } catch (cause) {
    throw invalid(path, cause instanceof Error ? cause.message : 'cannot be read.', cause);
  }
}

/** The real path of a GGUF file; undefined for anything else, which is read as a folder. */
export async function ggufPath(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() === true ? realpath(path) : undefined;
}
