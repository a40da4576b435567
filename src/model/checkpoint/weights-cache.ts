// Gives every weight a place where a graph can read it: its own file, or a copy made once, in which
// it is widened to f32 or, where that is asked for and it is quantised, packed as it is.
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { readJsonBounded, writeJsonAtomic } from '../../base/atomic-file.ts';
import { systemClock } from '../../base/clock.ts';
import { isAttuneError } from '../../base/errors.ts';
import { type FileOps, type Folder, systemFileOps } from '../../base/file-ops.ts';
import { sha256File, sha256Json } from '../../base/hash.ts';
import { type GgufType, typeNamed } from '../../gguf/block-type.ts';
import { type Packed, type PackedForm, packBlocks, packedFormOf } from '../../gguf/packed.ts';
import type { BlocksSource, FileSource } from '../../graph/tensor.ts';
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

/**
 * `f32`: all are widened, for likelihoods and training. `quantised`: matrices of a quantised type
 * stay so, for serving.
 */
export type WeightsForm = 'f32' | 'quantised';

export type WeightSource = FileSource | BlocksSource;

export interface PlacedWeights {
  readonly baseHash: string;
  /** By the name in the checkpoint: 4-byte aligned, real paths, all in one folder. */
  readonly sources: ReadonlyMap<string, WeightSource>;
}

/**
 * Weights that are F32 already, aligned and in one real folder are used where they are. Otherwise
 * all are widened, exactly, or packed, into one file of the cache that every session and process
 * maps. A file there that is not what was written is made again.
 * @throws model-damaged, disk-full, store-failed
 */
export async function placeWeights(
  stored: readonly StoredTensor[],
  cacheDir: string,
  { form = 'f32', readsAll = false, ops = systemFileOps }: PlaceOptions = {},
): Promise<PlacedWeights> {
  await ops.makeFolder(cacheDir);
  const cache = { path: await ops.realPath(cacheDir), ops };
  const baseHash = await knownHash(stored, cache);
  const plans = stored.map((tensor): Plan => ({ tensor, packed: formOf(tensor, form) }));
  if (canUseInPlace(stored)) return { baseHash, sources: sourcesOf(plans, byName(stored)) };
  const isPacked = plans.some(({ packed }) => packed !== undefined);
  const name = `${isPacked ? 'packed' : 'weights'}-${baseHash}.safetensors`;
  const made = await readMade(cache, name, plans);
  const isSame = made !== undefined && (await isUnchanged(cache, name, readsAll));
  return { baseHash, sources: sourcesOf(plans, isSame ? made : await build(cache, name, plans)) };
}

/** What becomes of one tensor. */
interface Plan {
  readonly tensor: StoredTensor;
  /** Undefined: it is widened. */
  readonly packed: PackedForm | undefined;
}

const formOf = ({ dtype, shape }: StoredTensor, form: WeightsForm): PackedForm | undefined =>
  form === 'quantised' && shape.length === 2 ? packedFormOf(typeNamed(dtype)) : undefined;

const byName = (tensors: readonly StoredTensor[]): ReadonlyMap<string, StoredTensor> =>
  new Map(tensors.map((tensor) => [tensor.name, tensor]));

type Part = keyof Packed;
const partName = (tensor: string, part: Part): string => `${tensor}.${part}`;

/** The tensors that a plan leaves in the file. */
function partsOf({
  tensor,
  packed,
}: Plan): { name: string; dtype: 'F32' | 'U8'; shape: number[]; part?: Part }[] {
  const { name, shape } = tensor;
  if (packed === undefined) return [{ name, dtype: 'F32', shape: [...shape] }];
  const [out, inner] = shape as [number, number];
  const groups = [out, inner / packed.groupElements];
  const one = (part: Part, dtype: 'F32' | 'U8', of: number[]) => ({
    name: partName(name, part),
    dtype,
    shape: of,
    part,
  });
  return [
    one('codes', 'U8', [out, (inner * packed.bits) / 8]),
    one('scales', 'F32', groups),
    ...(packed.hasMinima ? [one('minima', 'F32', groups)] : []),
  ];
}

function sourcesOf(
  plans: readonly Plan[],
  made: ReadonlyMap<string, StoredTensor>,
): Map<string, WeightSource> {
  const range = (name: string) => {
    const { path, offset, length } = made.get(name) as StoredTensor;
    return { path, offset, length };
  };
  return new Map(
    plans.map(({ tensor: { name }, packed }): [string, WeightSource] => {
      if (packed === undefined) return [name, { from: 'file', storedAs: 'f32', ...range(name) }];
      const { bits, groupElements, hasMinima } = packed;
      const [codes, scales] = [range(partName(name, 'codes')), range(partName(name, 'scales'))];
      const minima = hasMinima ? range(partName(name, 'minima')) : undefined;
      return [name, { from: 'blocks', bits, groupElements, codes, scales, minima }];
    }),
  );
}

export interface PlaceOptions {
  /** `f32` by default. */
  readonly form?: WeightsForm;
  /** The file of the cache is read whole, also when nobody seems to have touched it. */
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

/** A file of weights as it was when it was last read whole. */
const madeSchema = z.strictObject({
  schemaVersion: z.literal(1),
  sha256: hash,
  identity: z.array(z.string()),
});

/** The hash of the tensors, remembered for as long as none of their files changes. */
export async function knownHash(stored: readonly StoredTensor[], cache: Folder): Promise<string> {
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

const recordOf = (cache: Folder, name: string): string => join(cache.path, `${name}.json`);

/**
 * Whether a file of weights is what was written: by its identity, as reading half a gigabyte takes
 * as long as the rest of a start; where that changed, by its bytes.
 */
async function isUnchanged(cache: Folder, name: string, readsAll: boolean): Promise<boolean> {
  const { path: folder, ops } = cache;
  const path = join(folder, name);
  const known = await readJsonBounded(recordOf(cache, name), madeSchema, { ops }).catch(
    () => undefined,
  );
  if (known === undefined) return false;
  const isTouched = (await fileIdentity(path)).join() !== known.identity.join();
  if (!isTouched && !readsAll) return true;
  if ((await sha256File(path, ops)) !== known.sha256) return false;
  if (isTouched) await noteMade(cache, name, known.sha256);
  return true;
}

async function noteMade(cache: Folder, name: string, sha256: string): Promise<void> {
  const identity = await fileIdentity(join(cache.path, name));
  const record = { schemaVersion: 1, sha256, identity };
  await writeJsonAtomic(recordOf(cache, name), record, cache.ops);
}

/** The tensors of a file of weights if it is there and whole; one that is not is made again. */
async function readMade(
  { path: folder, ops }: Folder,
  name: string,
  plans: readonly Plan[],
): Promise<ReadonlyMap<string, StoredTensor> | undefined> {
  try {
    const { tensors } = await readSafetensors(join(folder, name), ops);
    const isWhole = plans.flatMap(partsOf).every(({ name: part, dtype, shape }) => {
      const found = tensors.get(part);
      return found?.dtype === dtype && found.shape.join() === shape.join();
    });
    return isWhole ? tensors : undefined;
  } catch (error) {
    if (isAttuneError(error, 'model-not-found') || isAttuneError(error, 'model-damaged')) return;
    throw error;
  }
}

async function build(
  cache: Folder,
  name: string,
  plans: readonly Plan[],
): Promise<ReadonlyMap<string, StoredTensor>> {
  await sweepAbandoned(cache);
  const { ops } = cache;
  const path = join(cache.path, name);
  const hashes = new Map<string, string>();
  const tensors = plans.flatMap((plan) => {
    // Its parts are written one after the other, and then it goes.
    let packed: Promise<Packed> | undefined;
    return partsOf(plan).map(({ part, ...rest }) => {
      const pieces = async function* () {
        if (part === undefined) return yield* valuesOf(plan.tensor);
        packed ??= packTensor(plan.tensor);
        yield (await packed)[part];
        if (part === lastPart(plan)) packed = undefined;
      };
      return { ...rest, pieces: hashed(pieces(), (hash) => hashes.set(rest.name, hash)) };
    });
  });
  const verify = async (temporary: string): Promise<void> => {
    for (const tensor of (await readSafetensors(temporary, ops)).tensors.values()) {
      if ((await hashTensor(tensor, ops)) !== hashes.get(tensor.name)) {
        throw damaged(path, tensor.name, 'what was written reads back otherwise; check the disk');
      }
    }
  };
  await writeSafetensors(path, tensors, { verify, ops });
  await noteMade(cache, name, await sha256File(path, ops));
  return (await readSafetensors(path, ops)).tensors;
}

const lastPart = (plan: Plan): Part | undefined => partsOf(plan).at(-1)?.part;

/** Another process may be writing one of these now; none takes as long as this. */
const ABANDONED_MS = 6 * 3_600_000;

/** Removes what builds that were killed left behind: such files are as large as a model. */
async function sweepAbandoned({ path: folder, ops }: Folder): Promise<void> {
  for (const { name } of await ops.list(folder)) {
    if (!/^\.(weights|packed|quantized)-.*\.tmp$/.test(name)) continue;
    const path = join(folder, name);
    const made = await ops.stat(path);
    // It may have been renamed just now.
    if (made === undefined) continue;
    if (systemClock.now() - made.modifiedAt > ABANDONED_MS) await ops.remove(path);
  }
}

/** Tells the hash of all bytes once the last piece was taken. */
async function* hashed<Piece extends NodeJS.ArrayBufferView>(
  pieces: AsyncIterable<Piece>,
  tell: (hash: string) => void,
): AsyncGenerator<Piece> {
  const hash = createHash('sha256');
  for await (const piece of pieces) {
    hash.update(piece);
    yield piece;
  }
  tell(hash.digest('hex'));
}

/** f32 pieces of a stored tensor, its rows in their own order. */
export async function* valuesOf(tensor: StoredTensor): AsyncGenerator<Float32Array<ArrayBuffer>> {
  if (tensor.pairedHeads === undefined) {
    for await (const piece of readPieces(tensor)) yield widen(tensor, piece);
  } else {
    const values = (await readTensor(tensor)) as Float32Array<ArrayBuffer>;
    yield halvesPaired(values, { rows: tensor.shape[0] as number, heads: tensor.pairedHeads });
  }
}

/** A whole tensor of quantised blocks, its rows in their own order. */
async function packTensor(tensor: StoredTensor): Promise<Packed> {
  const { dtype, length, shape, pairedHeads: heads } = tensor;
  const bytes = new Uint8Array(length);
  let filled = 0;
  for await (const piece of readPieces(tensor)) {
    bytes.set(piece, filled);
    filled += piece.length;
  }
  const rows = shape[0] as number;
  const ordered = heads === undefined ? bytes : halvesPaired(bytes, { rows, heads });
  return packBlocks(typeNamed(dtype) as GgufType, ordered);
}

/**
 * Rows in the order in which halves of a head are rotated together: row `j` of the first half was
 * stored at `2j`, of the second at `2j + 1`. With `isBack`, from this order into that of the file.
 * @param values (rows, in) or (rows), or rows of blocks
 * Source: ggml-org/llama.cpp, convert_hf_to_gguf.py, LlamaModel.permute (this is its inverse).
 */
export function halvesPaired<Values extends Float32Array | Uint8Array>(
  values: Values,
  { rows, heads, isBack = false }: { rows: number; heads: number; isBack?: boolean },
): Values {
  const width = values.length / rows;
  const half = rows / heads / 2;
  const ordered = values.slice() as Values;
  for (let row = 0; row < rows; row++) {
    const inHead = row % (2 * half);
    const stored = row - inHead + (inHead < half ? 2 * inHead : 2 * (inHead - half) + 1);
    const [from, to] = isBack ? [row, stored] : [stored, row];
    ordered.set(values.subarray(from * width, (from + 1) * width), to * width);
  }
  return ordered;
}
