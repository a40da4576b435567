// Gives every weight a place where it lies as f32: its own file, or a widened copy made once.
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { readJsonBounded, writeJsonAtomic } from '../../base/atomic-file.ts';
import { systemClock } from '../../base/clock.ts';
import { isAttuneError } from '../../base/errors.ts';
import { type FileOps, type Folder, systemFileOps } from '../../base/file-ops.ts';
import { sha256File, sha256Json } from '../../base/hash.ts';
import { hashTensor, hashTensors } from './base-hash.ts';
import { fileIdentity } from './folder.ts';
import { damaged } from './refusal.ts';
import {
  readPieces,
  readSafetensors,
  readTensor,
  type StoredTensor,
  widen,
} from './safetensors.ts';
import { writeSafetensors } from './safetensors-writer.ts';

export interface PlacedWeights {
  readonly baseHash: string;
  /** By the name in the checkpoint: F32, 4-byte aligned, real paths, all in one folder. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/**
 * Weights that are F32 already, aligned and in one real folder are used where they are. Otherwise
 * all are widened, exactly, into one file of the cache that every session and process maps. A file
 * there that is not what was written is made again.
 * @throws model-damaged, disk-full, store-failed
 */
export async function placeWeights(
  stored: readonly StoredTensor[],
  cacheDir: string,
  { readsAll = false, ops = systemFileOps }: PlaceOptions = {},
): Promise<PlacedWeights> {
  await ops.makeFolder(cacheDir);
  const cache = { path: await ops.realPath(cacheDir), ops };
  const baseHash = await knownHash(stored, cache);
  if (canUseInPlace(stored)) {
    return { baseHash, tensors: new Map(stored.map((tensor) => [tensor.name, tensor])) };
  }
  const name = `weights-${baseHash}.safetensors`;
  const made = await readWidened(cache, name, stored);
  const isSame = made !== undefined && (await isUnchanged(cache, name, readsAll));
  return { baseHash, tensors: isSame ? made : await buildWidened(cache, name, stored) };
}

export interface PlaceOptions {
  /** The widened file is read whole, also when nobody seems to have touched it. */
  readonly readsAll?: boolean;
  readonly ops?: FileOps;
}

/** ONNX Runtime reads the external data of a session from one folder. */
function canUseInPlace(stored: readonly StoredTensor[]): boolean {
  const folders = new Set(stored.map(({ path }) => dirname(path)));
  const isMappable = stored.every(
    ({ dtype, offset, pairedHeads }) =>
      dtype === 'F32' && offset % 4 === 0 && pairedHeads === undefined,
  );
  return isMappable && folders.size === 1;
}

const hash = z.string().regex(/^[0-9a-f]{64}$/);

/** `check` is over the rest: a hash that somebody edited would rename the model. */
const recordSchema = z.strictObject({
  schemaVersion: z.literal(2),
  baseHash: hash,
  check: hash,
});

/** The widened file as it was when it was last read whole. */
const widenedSchema = z.strictObject({
  schemaVersion: z.literal(1),
  sha256: hash,
  identity: z.array(z.string()),
});

/** The hash of the tensors, remembered for as long as none of their files changes. */
async function knownHash(stored: readonly StoredTensor[], cache: Folder): Promise<string> {
  const { ops } = cache;
  const files = [...new Set(stored.map(({ path }) => path))].sort();
  const identity = { files: await Promise.all(files.map(fileIdentity)), stored };
  const path = join(cache.path, `base-${sha256Json(identity)}.json`);
  const known = await readJsonBounded(path, recordSchema, { ops }).catch(() => undefined);
  const checkOf = (baseHash: string): string => sha256Json({ baseHash, identity });
  if (known !== undefined && known.check === checkOf(known.baseHash)) return known.baseHash;
  const baseHash = await hashTensors(stored);
  await writeJsonAtomic(path, { schemaVersion: 2, baseHash, check: checkOf(baseHash) }, ops);
  return baseHash;
}

const widenedRecord = (cache: Folder, name: string): string => join(cache.path, `${name}.json`);

/**
 * Whether the widened file is what was written: by its identity, as reading half a gigabyte takes
 * as long as the rest of a start; where that changed, by its bytes.
 */
async function isUnchanged(cache: Folder, name: string, readsAll: boolean): Promise<boolean> {
  const { path: folder, ops } = cache;
  const path = join(folder, name);
  const known = await readJsonBounded(widenedRecord(cache, name), widenedSchema, { ops }).catch(
    () => undefined,
  );
  if (known === undefined) return false;
  const isTouched = (await fileIdentity(path)).join() !== known.identity.join();
  if (!isTouched && !readsAll) return true;
  if ((await sha256File(path, ops)) !== known.sha256) return false;
  if (isTouched) await noteWidened(cache, name, known.sha256);
  return true;
}

async function noteWidened(cache: Folder, name: string, sha256: string): Promise<void> {
  const identity = await fileIdentity(join(cache.path, name));
  const record = { schemaVersion: 1, sha256, identity };
  await writeJsonAtomic(widenedRecord(cache, name), record, cache.ops);
}

/** The widened file if it is there and whole; one that is not is made again. */
async function readWidened(
  { path: folder, ops }: Folder,
  name: string,
  stored: readonly StoredTensor[],
): Promise<ReadonlyMap<string, StoredTensor> | undefined> {
  try {
    const { tensors } = await readSafetensors(join(folder, name), ops);
    const isWhole = stored.every(({ name: tensor, shape }) => {
      const found = tensors.get(tensor);
      return found?.dtype === 'F32' && found.shape.join() === shape.join();
    });
    return isWhole ? tensors : undefined;
  } catch (error) {
    if (isAttuneError(error, 'model-not-found') || isAttuneError(error, 'model-damaged')) return;
    throw error;
  }
}

async function buildWidened(
  cache: Folder,
  name: string,
  stored: readonly StoredTensor[],
): Promise<ReadonlyMap<string, StoredTensor>> {
  await sweepAbandoned(cache);
  const { ops } = cache;
  const path = join(cache.path, name);
  const hashes = new Map<string, string>();
  const tensors = stored.map((tensor) => ({
    name: tensor.name,
    dtype: 'F32' as const,
    shape: tensor.shape,
    pieces: widenedPieces(tensor, hashes),
  }));
  const verify = async (temporary: string): Promise<void> => {
    for (const tensor of (await readSafetensors(temporary, ops)).tensors.values()) {
      if ((await hashTensor(tensor, ops)) !== hashes.get(tensor.name)) {
        throw damaged(path, tensor.name, 'what was written reads back otherwise; check the disk');
      }
    }
  };
  await writeSafetensors(path, tensors, { verify, ops });
  await noteWidened(cache, name, await sha256File(path, ops));
  return (await readSafetensors(path, ops)).tensors;
}

/** Another process may be writing one of these now; none takes as long as this. */
const ABANDONED_MS = 6 * 3_600_000;

/** Removes what builds that were killed left behind: such files are as large as a model. */
async function sweepAbandoned({ path: folder, ops }: Folder): Promise<void> {
  for (const { name } of await ops.list(folder)) {
    if (!/^\.weights-.*\.tmp$/.test(name)) continue;
    const path = join(folder, name);
    const made = await ops.stat(path);
    // It may have been renamed just now.
    if (made === undefined) continue;
    if (systemClock.now() - made.modifiedAt > ABANDONED_MS) await ops.remove(path);
  }
}

/** f32 pieces of a stored tensor; leaves the hash of their bytes in `hashes`. */
async function* widenedPieces(
  tensor: StoredTensor,
  hashes: Map<string, string>,
): AsyncGenerator<Float32Array<ArrayBuffer>> {
  const hash = createHash('sha256');
  for await (const values of valuesOf(tensor)) {
    hash.update(values);
    yield values;
  }
  hashes.set(tensor.name, hash.digest('hex'));
}

async function* valuesOf(tensor: StoredTensor): AsyncGenerator<Float32Array<ArrayBuffer>> {
  if (tensor.pairedHeads === undefined) {
    for await (const piece of readPieces(tensor)) yield widen(tensor, piece);
  } else {
    const values = (await readTensor(tensor)) as Float32Array;
    yield halvesPaired(values, { rows: tensor.shape[0] as number, heads: tensor.pairedHeads });
  }
}

/**
 * Rows in the order in which halves of a head are rotated together: row `j` of the first half was
 * stored at `2j`, of the second at `2j + 1`. With `isBack`, from this order into that of the file.
 * @param values (rows, in) or (rows)
 * Source: ggml-org/llama.cpp, convert_hf_to_gguf.py, LlamaModel.permute (this is its inverse).
 */
export function halvesPaired(
  values: Float32Array,
  { rows, heads, isBack = false }: { rows: number; heads: number; isBack?: boolean },
): Float32Array<ArrayBuffer> {
  const width = values.length / rows;
  const half = rows / heads / 2;
  const ordered = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const inHead = row % (2 * half);
    const stored = row - inHead + (inHead < half ? 2 * inHead : 2 * (inHead - half) + 1);
    const [from, to] = isBack ? [row, stored] : [stored, row];
    ordered.set(values.subarray(from * width, (from + 1) * width), to * width);
  }
  return ordered;
}
