// Small files that are either the old or the new one, never a part of each; and bounded reads.
import { randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import type { z } from 'zod';
import { AttuneError } from './errors.ts';
import { type FileOps, type OpenFile, systemCode, systemFileOps } from './file-ops.ts';

/** State files are small; something larger is not what we wrote, as it is not written either. */
const FILE_BYTES_MAX = 64 * 2 ** 20;

/**
 * Replaces a file: write beside it, fsync, rename, fsync the folder. When this resolves the new
 * content survives a power cut; when it rejects the old content is still there.
 * @throws file-too-large when it could not be read again, disk-full, store-failed
 */
export async function writeFileAtomic(
  path: string,
  content: Uint8Array | string,
  ops: FileOps = systemFileOps,
  bytesMax = FILE_BYTES_MAX,
): Promise<void> {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'utf8') : content;
  if (bytes.length > bytesMax) throw tooLarge(path, bytes.length, bytesMax);
  await replaceFile(path, (file) => file.write(bytes), { ops });
}

/**
 * Replaces a file by what `write` writes.
 * @param verify may read the file that is about to be renamed; when it throws, the old one stays
 */
export async function replaceFile(
  path: string,
  write: (file: OpenFile) => Promise<void>,
  { ops, verify }: { ops: FileOps; verify?: ((temporary: string) => Promise<void>) | undefined },
): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = await ops.open(temporary, 'create');
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await verify?.(temporary);
    await ops.rename(temporary, path);
  } catch (error) {
    // The first error is the one to tell; a temporary file that stays is swept later.
    await ops.remove(temporary).catch(() => undefined);
    throw error;
  }
  await ops.syncFolder(folder);
}

/** Removes what crashes in the middle of `writeFileAtomic` left in a folder and below it. */
export async function sweepTemporary(
  folder: string,
  { except = [], ops = systemFileOps }: SweepOptions = {},
): Promise<void> {
  for (const { name, isFile, isFolder } of await ops.list(folder)) {
    const path = join(folder, name);
    if (isFile && TEMPORARY.test(name)) await ops.remove(path);
    if (isFolder && !except.includes(name)) await sweepTemporary(path, { ops });
  }
}

const TEMPORARY = /^\..+\.[0-9a-f]{12}\.tmp$/;

export interface SweepOptions {
  /** Names of folders in it that others write into meanwhile. */
  readonly except?: readonly string[];
  readonly ops?: FileOps;
}

/** Two spaces and a final newline: people read these files. */
export async function writeJsonAtomic(path: string, value: unknown, ops?: FileOps): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`, ops);
}

export interface ReadLimits {
  readonly bytesMax?: number;
  readonly ops?: FileOps;
}

/**
 * The whole file, or undefined when there is none.
 * @throws file-too-large before reading more than the limit
 */
export async function readFileBounded(
  path: string,
  { bytesMax = FILE_BYTES_MAX, ops = systemFileOps }: ReadLimits = {},
): Promise<Uint8Array | undefined> {
  let file: Awaited<ReturnType<FileOps['open']>>;
  try {
    file = await ops.open(path, 'read');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const size = await file.size();
    if (size > bytesMax) throw tooLarge(path, size, bytesMax);
    return await file.read(0, size);
  } finally {
    await file.close();
  }
}

function tooLarge(path: string, bytes: number, bytesMax: number): AttuneError {
  const message = `${path} has ${bytes} bytes; it may have ${bytesMax} at most.`;
  return new AttuneError('file-too-large', message, { path, bytes, bytesMax });
}

/** UTF-8 text, or undefined when there is no such file. @throws store-damaged when not UTF-8 */
export async function readTextBounded(
  path: string,
  limits: ReadLimits = {},
): Promise<string | undefined> {
  const bytes = await readFileBounded(path, limits);
  if (bytes === undefined) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new AttuneError('store-damaged', `${path} is not UTF-8 text.`, { path }, { cause });
  }
}

/** What a text holds, or undefined when it is not JSON. */
export function parsedJson(text = ''): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Parsed and checked JSON, or undefined when there is no such file.
 * @throws store-damaged with the place when the file is not JSON or does not fit the schema
 */
export async function readJsonBounded<T>(
  path: string,
  schema: z.ZodType<T>,
  limits: ReadLimits = {},
): Promise<T | undefined> {
  const text = await readTextBounded(path, limits);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AttuneError('store-damaged', `${path} is not JSON.`, { path }, { cause });
  }
  return checkStored(path, schema, value);
}

/** @throws store-damaged with the place that does not fit the schema */
export function checkStored<T>(path: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const place = issue?.path.map(String).join('.') || '(root)';
  throw new AttuneError(
    'store-damaged',
    `${path}: ${place}: ${issue?.message ?? 'unexpected content'}. Restore it from a backup.`,
    { path, place },
    { cause: parsed.error },
  );
}
