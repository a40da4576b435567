// A delta on disk: what one night added to the trained weights, as factors of low rank or dense,
// bound to the base it was made for.
import { createHash } from 'node:crypto';
import { yieldToEventLoop } from '../base/clock.ts';
import { AttuneError } from '../base/errors.ts';
import { type FileOps, systemFileOps } from '../base/file-ops.ts';
import { sha256Json } from '../base/hash.ts';
import { readSafetensors, readTensor, type StoredTensor } from './checkpoint/safetensors.ts';
import { writeSafetensors } from './checkpoint/safetensors-writer.ts';

/** The first had no factors. */
const SCHEMAS = ['attune-delta-1', 'attune-delta-2'] as const;
const SCHEMA = SCHEMAS[1];

/** Row-major. A sum of several nights may be kept in f64, so that nothing is rounded twice. */
export interface DenseDelta {
  /** (out, in), as the weight's own. */
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array;
}

/** The product B·A, of low rank. */
export interface LowRankDelta {
  /** (out, in), as the weight's own. */
  readonly shape: readonly [number, number];
  /** A, (rank, in). */
  readonly loraA: Float32Array;
  /** B, (out, rank). */
  readonly loraB: Float32Array;
}

export type DeltaTensor = DenseDelta | LowRankDelta;

export interface DeltaContent {
  /** Base hash of the model that it was made for. */
  readonly baseHash: string;
  /** By our names: `layers.0.qProj`. */
  readonly tensors: Readonly<Record<string, DeltaTensor>>;
  /** Further facts, as texts. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface Delta extends Required<DeltaContent> {
  readonly path: string;
  /** 64 hex digits over base and tensors; metadata do not count. */
  readonly hash: string;
}

/**
 * Writes a delta whole or not at all and returns its hash.
 * @throws delta-damaged when a value is not finite, disk-full, store-failed
 */
export async function writeDelta(
  path: string,
  content: DeltaContent,
  ops: FileOps = systemFileOps,
): Promise<string> {
  refuseNonFinite(path, content.tensors);
  const hash = await hashDelta(content, SCHEMA);
  const tensors = arraysOf(content.tensors).map(({ name, shape, data }) => {
    if (data.length !== sizeOf(shape)) {
      throw new Error(`delta: ${name} has ${data.length} values for a shape of (${shape})`);
    }
    const dtype = data instanceof Float64Array ? ('F64' as const) : ('F32' as const);
    return { name, dtype, shape, pieces: [data] };
  });
  const metadata = { ...content.metadata, schema: SCHEMA, baseHash: content.baseHash, hash };
  const verify = async (temporary: string): Promise<void> => {
    await readDelta(temporary, ops);
  };
  await writeSafetensors(path, tensors, { metadata, verify, ops });
  return hash;
}

/**
 * Reads a delta whole; the caller owns its tensors.
 * @throws model-not-found, delta-damaged when it is not a delta, was changed, or is not finite
 */
export async function readDelta(path: string, ops: FileOps = systemFileOps): Promise<Delta> {
  const file = await readSafetensors(path, ops).catch((cause: unknown) => {
    if (!(cause instanceof AttuneError) || cause.code === 'model-not-found') throw cause;
    throw damagedDelta(path, cause.message.replace(/\.$/, ''), cause);
  });
  const { schema: named, baseHash, hash, format: _, ...metadata } = file.metadata;
  const schema = SCHEMAS.find((one) => one === named);
  if (schema === undefined || baseHash === undefined) {
    throw damagedDelta(path, `${path} is not a delta: its header does not say schema ${SCHEMA}`);
  }
  const arrays = new Map<string, DenseDelta>();
  for (const [name, stored] of file.tensors) arrays.set(name, await readArray(stored, ops));
  const tensors = tensorsOf(arrays, path);
  await yieldToEventLoop();
  refuseNonFinite(path, tensors);
  if ((await hashDelta({ baseHash, tensors }, schema)) !== hash) {
    throw damagedDelta(path, `${path}: its tensors are not those that were written`);
  }
  return { path, baseHash, tensors, metadata, hash };
}

async function readArray(stored: StoredTensor, ops: FileOps): Promise<DenseDelta> {
  if (stored.dtype === 'F32' || stored.dtype === 'F64') {
    return { shape: stored.shape, data: await readTensor(stored, ops) };
  }
  throw damagedDelta(stored.path, `${stored.name} is stored as ${stored.dtype}, not F32 or F64`);
}

const [A, B] = ['.loraA', '.loraB'];

export const isLowRank = (tensor: DeltaTensor): tensor is LowRankDelta => 'loraA' in tensor;

export const sizeOf = (shape: readonly number[]): number =>
  shape.reduce((total, size) => total * size, 1);

export const rankOf = ({ shape: [out], loraB }: LowRankDelta): number => loraB.length / out;

/** As they are stored: one array of a dense matrix, two of factors. */
export function arraysOf(
  tensors: DeltaContent['tensors'],
): (DenseDelta & { readonly name: string })[] {
  return Object.entries(tensors).flatMap(([name, tensor]) => {
    if (!isLowRank(tensor)) return [{ name, ...tensor }];
    const [out, width] = tensor.shape;
    const rank = rankOf(tensor);
    return [
      { name: name + A, shape: [rank, width], data: tensor.loraA },
      { name: name + B, shape: [out, rank], data: tensor.loraB },
    ];
  });
}

/** The inverse. @throws delta-damaged where factors do not fit each other */
function tensorsOf(
  arrays: ReadonlyMap<string, DenseDelta>,
  path: string,
): Record<string, DeltaTensor> {
  const tensors: Record<string, DeltaTensor> = {};
  for (const [stored, array] of arrays) {
    const isFactor = stored.endsWith(A) || stored.endsWith(B);
    const name = isFactor ? stored.slice(0, -A.length) : stored;
    const [a, b] = [arrays.get(name + A), arrays.get(name + B)];
    if (!isFactor) tensors[name] = array;
    else if (a?.data instanceof Float32Array && b?.data instanceof Float32Array) {
      const [rank, width] = a.shape;
      const [out, own] = b.shape;
      const isProduct = a.shape.length === 2 && b.shape.length === 2 && rank === own;
      if (!isProduct || arrays.has(name)) {
        throw damagedDelta(
          path,
          `${path}: (${b.shape}) and (${a.shape}) are no factors of ${name}`,
        );
      }
      tensors[name] = { shape: [out as number, width as number], loraA: a.data, loraB: b.data };
    } else throw damagedDelta(path, `${path}: ${name} has one of its two factors in F32`);
  }
  return tensors;
}

/** Products after which a reply that is decoded in the same process goes on. */
const SLICE = 2 ** 22;

/**
 * Adds a matrix to a sum in f64, one product of the factors after the other: so the sum of several
 * nights is bit for bit that of their factors side by side.
 * @param sum (out, in), row-major
 */
export async function addDelta(sum: Float64Array, tensor: DeltaTensor): Promise<void> {
  if (!isLowRank(tensor)) {
    for (let i = 0; i < sum.length; i++) (sum[i] as number) += tensor.data[i] as number;
    return yieldToEventLoop();
  }
  const { shape, loraA, loraB } = tensor;
  const [out, width] = shape;
  const rank = rankOf(tensor);
  const rows = Math.max(1, Math.floor(SLICE / (rank * width)));
  for (let row = 0; row < out; row++) {
    for (let r = 0; r < rank; r++) {
      const b = loraB[row * rank + r] as number;
      const [from, to] = [r * width, row * width];
      for (let i = 0; i < width; i++) (sum[to + i] as number) += b * (loraA[from + i] as number);
    }
    if (row % rows === rows - 1) await yieldToEventLoop();
  }
}

/** Replies are decoded in the same process: between two tensors, they go on. */
async function hashDelta(
  { baseHash, tensors }: DeltaContent,
  schema: (typeof SCHEMAS)[number],
): Promise<string> {
  const identities: unknown[] = [];
  for (const { name, shape, data } of arraysOf(tensors).sort((a, b) =>
    a.name < b.name ? -1 : 1,
  )) {
    const bytes = createHash('sha256').update(data).digest('hex');
    identities.push([name, data.BYTES_PER_ELEMENT, shape, bytes]);
    await yieldToEventLoop();
  }
  return sha256Json({ schema, baseHash, tensors: identities });
}

function refuseNonFinite(path: string, tensors: DeltaContent['tensors']): void {
  for (const { name, data } of arraysOf(tensors)) {
    const at = firstNonFinite(data);
    if (at < 0) continue;
    throw damagedDelta(path, `${path}: ${name} has the value ${data[at]} at ${at}`);
  }
}

/** The index of the first NaN or infinity, or −1. */
export function firstNonFinite(values: Float32Array | Float64Array): number {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) return i;
  }
  return -1;
}

function damagedDelta(path: string, reason: string, cause?: unknown): AttuneError {
  return new AttuneError('delta-damaged', `${reason}.`, { path }, { cause });
}
