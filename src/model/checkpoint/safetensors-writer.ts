// Writes safetensors files whole or not at all: beside the target, synced, read back, renamed.
import { replaceFile } from '../../base/atomic-file.ts';
import { type FileOps, type OpenFile, systemFileOps } from '../../base/file-ops.ts';
import { damaged } from './refusal.ts';

/** What can be written; the bytes come in pieces, so that no tensor need be whole in memory. */
export interface TensorToWrite {
  readonly name: string;
  /** U8 come in whole words of 4 bytes where f32 follow. */
  readonly dtype: 'F32' | 'F64' | 'U8';
  readonly shape: readonly number[];
  readonly pieces: Iterable<NodeJS.ArrayBufferView> | AsyncIterable<NodeJS.ArrayBufferView>;
}

const ELEMENT_BYTES = { F32: 4, F64: 8, U8: 1 };
const WORD_BYTES = { F32: 4, F64: 8, U8: 4 };
/** The data starts at a multiple of this, so that a mapped tensor is aligned. */
const ALIGNMENT = 64;

/**
 * Writes tensors, doubles first and then in the given order. `verify` may read the file
 * that is about to be renamed into place; what it throws leaves the old file as it was.
 * @throws disk-full, store-failed
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  { metadata = {}, verify, ops = systemFileOps }: WriteOptions = {},
): Promise<void> {
  const ordered = tensors.toSorted((a, b) => WORD_BYTES[b.dtype] - WORD_BYTES[a.dtype]);
  const write = async (file: OpenFile): Promise<void> => {
    await file.write(encodeHeader(ordered, metadata));
    for (const tensor of ordered) await writeTensor(file, tensor, path);
  };
  await replaceFile(path, write, { ops, verify });
}

export interface WriteOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly verify?: (temporary: string) => Promise<void>;
  readonly ops?: FileOps;
}

function byteLength({ dtype, shape }: TensorToWrite): number {
  return shape.reduce((total, size) => total * size, ELEMENT_BYTES[dtype]);
}

function encodeHeader(
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>>,
): Buffer {
  let begin = 0;
  const entries = tensors.map((tensor) => {
    const end = begin + byteLength(tensor);
    const entry = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [begin, end] };
    begin = end;
    return [tensor.name, entry] as const;
  });
  const header = { __metadata__: { format: 'pt', ...metadata }, ...Object.fromEntries(entries) };
  if (Object.keys(header).length !== tensors.length + 1) {
    throw new Error('safetensors: two tensors have one name');
  }
  const json = Buffer.from(JSON.stringify(header), 'utf8');
  const padded = Math.ceil((8 + json.length) / ALIGNMENT) * ALIGNMENT;
  const bytes = Buffer.alloc(padded, ' ');
  bytes.writeBigUInt64LE(BigInt(padded - 8));
  json.copy(bytes, 8);
  return bytes;
}

async function writeTensor(file: OpenFile, tensor: TensorToWrite, path: string): Promise<void> {
  let written = 0;
  for await (const { buffer, byteOffset, byteLength: length } of tensor.pieces) {
    await file.write(new Uint8Array(buffer, byteOffset, length));
    written += length;
  }
  if (written !== byteLength(tensor)) {
    throw damaged(
      path,
      tensor.name,
      `${written} bytes for a shape of (${tensor.shape.join(', ')})`,
    );
  }
}
