// A delta on disk: what one night added to the trained weights, bound to the base it was made for.
import { createHash } from 'node:crypto';
import { yieldToEventLoop } from '../base/clock.ts';
import { AttuneError } from '../base/errors.ts';
import { type FileOps, systemFileOps } from '../base/file-ops.ts';
import { sha256Json } from '../base/hash.ts';
import { readSafetensors, readTensor, type StoredTensor } from './checkpoint/safetensors.ts';
import { writeSafetensors } from './checkpoint/safetensors-writer.ts';

const SCHEMA = 'attune-delta-1';

/** Row-major. A sum of several nights may be kept in f64, so that nothing is rounded twice. */
export interface DeltaTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array;
}

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
  const hash = await hashDelta(content);
  const tensors = Object.entries(content.tensors).map(([name, { shape, data }]) => {
    if (data.length !== shape.reduce((total, size) => total * size, 1)) {
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
  const { schema, baseHash, hash, format: _, ...metadata } = file.metadata;
  if (schema !== SCHEMA || baseHash === undefined) {
    throw damagedDelta(path, `${path} is not a delta: its header does not say schema ${SCHEMA}`);
  }
  const tensors: Record<string, DeltaTensor> = {};
  for (const [name, stored] of file.tensors) tensors[name] = await readDeltaTensor(stored, ops);
  await yieldToEventLoop();
  refuseNonFinite(path, tensors);
  if ((await hashDelta({ baseHash, tensors })) !== hash) {
    throw damagedDelta(path, `${path}: its tensors are not those that were written`);
  }
  return { path, baseHash, tensors, metadata, hash };
}

async function readDeltaTensor(stored: StoredTensor, ops: FileOps): Promise<DeltaTensor> {
  if (stored.dtype === 'F32' || stored.dtype === 'F64') {
    return { shape: stored.shape, data: await readTensor(stored, ops) };
  }
  throw damagedDelta(stored.path, `${stored.name} is stored as ${stored.dtype}, not F32 or F64`);
}

/** Replies are decoded in the same process: between two tensors, they go on. */
async function hashDelta({ baseHash, tensors }: DeltaContent): Promise<string> {
  const identities: unknown[] = [];
  for (const [name, { shape, data }] of Object.entries(tensors).sort(([a], [b]) =>
    a < b ? -1 : 1,
  )) {
    const bytes = createHash('sha256').update(data).digest('hex');
    identities.push([name, data.BYTES_PER_ELEMENT, shape, bytes]);
    await yieldToEventLoop();
  }
  return sha256Json({ schema: SCHEMA, baseHash, tensors: identities });
}

function refuseNonFinite(path: string, tensors: DeltaContent['tensors']): void {
  for (const [name, { data }] of Object.entries(tensors)) {
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
