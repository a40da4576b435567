// Gives every weight a place where it lies as f32: its own file, or a widened copy made once.
import { createHash } from 'node:crypto';
import { readdir, realpath, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { makeFolder, readJsonBounded, writeJsonAtomic } from '../../base/atomic-file.ts';
import { systemClock } from '../../base/clock.ts';
import { isAttuneError } from '../../base/errors.ts';
import { sha256Json } from '../../base/hash.ts';
import { hashTensor, hashTensors } from './base-hash.ts';
import { damaged } from './refusal.ts';
import { readPieces, readSafetensors, type StoredTensor, widen } from './safetensors.ts';
import { writeSafetensors } from './safetensors-writer.ts';

export interface PlacedWeights {
  readonly baseHash: string;
  /** By the name in the checkpoint: F32, 4-byte aligned, real paths, all in one folder. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/**
 * Weights that are F32 already, aligned and in one real folder are used where they are. Otherwise
 * all are widened, exactly, into one file of the cache that every session and process maps.
 * @throws model-damaged, disk-full, store-failed
 */
export async function placeWeights(
  stored: readonly StoredTensor[],
  cacheDir: string,
): Promise<PlacedWeights> {
  await makeFolder(cacheDir);
  const cache = await realpath(cacheDir);
  const baseHash = await knownHash(stored, cache);
  if (canUseInPlace(stored)) {
    return { baseHash, tensors: new Map(stored.map((tensor) => [tensor.name, tensor])) };
  }
  const path = join(cache, `weights-${baseHash}.safetensors`);
  const made = await readWidened(path, stored);
  return { baseHash, tensors: made ?? (await buildWidened(path, stored)) };
}

/** ONNX Runtime reads the external data of a session from one folder. */
function canUseInPlace(stored: readonly StoredTensor[]): boolean {
  const folders = new Set(stored.map(({ path }) => dirname(path)));
  const isMappable = stored.every(({ dtype, offset }) => dtype === 'F32' && offset % 4 === 0);
  return isMappable && folders.size === 1;
}

const recordSchema = z.strictObject({
  schemaVersion: z.literal(1),
  baseHash: z.string().regex(/^[0-9a-f]{64}$/),
});

/** The hash of the tensors, remembered for as long as none of their files changes. */
async function knownHash(stored: readonly StoredTensor[], cache: string): Promise<string> {
  const files = [...new Set(stored.map(({ path }) => path))].sort();
  const identity = { files: await Promise.all(files.map(fileIdentity)), stored };
  const path = join(cache, `base-${sha256Json(identity)}.json`);
  const known = await readJsonBounded(path, recordSchema).catch(() => undefined);
  if (known !== undefined) return known.baseHash;
  const baseHash = await hashTensors(stored);
  await writeJsonAtomic(path, { schemaVersion: 1, baseHash });
  return baseHash;
}

async function fileIdentity(path: string): Promise<readonly string[]> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  return [path, ...[dev, ino, size, mtimeNs, ctimeNs].map(String)];
}

/** The widened file if it is there and whole; one that is not is made again. */
async function readWidened(
  path: string,
  stored: readonly StoredTensor[],
): Promise<ReadonlyMap<string, StoredTensor> | undefined> {
  try {
    const { tensors } = await readSafetensors(path);
    const isWhole = stored.every(({ name, shape }) => {
      const found = tensors.get(name);
      return found?.dtype === 'F32' && found.shape.join() === shape.join();
    });
    return isWhole ? tensors : undefined;
  } catch (error) {
    if (isAttuneError(error, 'model-not-found') || isAttuneError(error, 'model-damaged')) return;
    throw error;
  }
}

async function buildWidened(
  path: string,
  stored: readonly StoredTensor[],
): Promise<ReadonlyMap<string, StoredTensor>> {
  await sweepAbandoned(dirname(path));
  const hashes = new Map<string, string>();
  const tensors = stored.map((tensor) => ({
    name: tensor.name,
    dtype: 'F32' as const,
    shape: tensor.shape,
    pieces: widenedPieces(tensor, hashes),
  }));
  const verify = async (temporary: string): Promise<void> => {
    for (const tensor of (await readSafetensors(temporary)).tensors.values()) {
      if ((await hashTensor(tensor)) !== hashes.get(tensor.name)) {
        throw damaged(path, tensor.name, 'what was written reads back otherwise; check the disk');
      }
    }
  };
  await writeSafetensors(path, tensors, { verify });
  return (await readSafetensors(path)).tensors;
}

/** Another process may be writing one of these now; none takes as long as this. */
const ABANDONED_MS = 6 * 3_600_000;

/** Removes what builds that were killed left behind: such files are as large as a model. */
async function sweepAbandoned(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (!/^\.weights-.*\.tmp$/.test(name)) continue;
    const path = join(cache, name);
    const made = await stat(path).catch(() => undefined); // it may have been renamed just now
    if (made === undefined) continue;
    if (systemClock.now() - made.mtimeMs > ABANDONED_MS) await rm(path, { force: true });
  }
}

/** f32 pieces of a stored tensor; leaves the hash of their bytes in `hashes`. */
async function* widenedPieces(
  tensor: StoredTensor,
  hashes: Map<string, string>,
): AsyncGenerator<Float32Array<ArrayBuffer>> {
  const hash = createHash('sha256');
  for await (const piece of readPieces(tensor)) {
    const values = widen(tensor, piece);
    hash.update(values);
    yield values;
  }
  hashes.set(tensor.name, hash.digest('hex'));
}
