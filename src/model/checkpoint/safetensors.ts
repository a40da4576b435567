// Reads safetensors files by range: the header checked in full, then only the bytes asked for.
import { type FileOps, type OpenFile, systemFileOps } from '../../base/file-ops.ts';
import { isLfsPointer, LFS_POINTER } from '../../base/lfs-pointer.ts';
import { READABLE_TYPES, typeNamed } from '../../gguf/block-type.ts';
import { realFile } from './folder.ts';
import { damaged, unsupported } from './refusal.ts';
import { parseSafetensorsHeader } from './safetensors-header.ts';

/** Where one tensor is stored, in a safetensors or a GGUF file. */
export interface StoredTensor {
  readonly name: string;
  /** An element type of safetensors, or a block type of GGUF such as `Q4_K`. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Real path: no symlink in it. */
  readonly path: string;
  /** From the start of the file, in bytes. */
  readonly offset: number;
  readonly length: number;
  /**
   * Heads whose rows are stored with neighbours paired, as llama.cpp rotates them, and not with
   * halves paired. Undefined: the rows are in their own order.
   */
  readonly pairedHeads?: number;
}

export interface SafetensorsFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Source: huggingface/safetensors, tensor.rs, MAX_HEADER_SIZE. */
const HEADER_BYTES_MAX = 100_000_000;
const PREFIX_BYTES = 8;
const PIECE_BYTES = 4 * 2 ** 20;

/**
 * Reads and checks the header of a file; no tensor is read.
 * @throws model-not-found, model-damaged (truncated, overlapping, out of range, wrong sizes,
 *   duplicate names), model-unsupported (unknown element type)
 */
export async function readSafetensors(
  path: string,
  ops: FileOps = systemFileOps,
): Promise<SafetensorsFile> {
  const real = await realFile(path, ops);
  const file = await ops.open(real, 'read');
  try {
    const fileBytes = await file.size();
    const prefix = await readExactly(file, real, 0, Math.min(PREFIX_BYTES, fileBytes));
    if (prefix.length < PREFIX_BYTES) {
      throw damaged(path, 'header', `the file has only ${fileBytes} bytes`);
    }
    const headerBytes = prefix.readBigUInt64LE();
    const room = Math.min(HEADER_BYTES_MAX, fileBytes - PREFIX_BYTES);
    if (headerBytes < 2 || headerBytes > room) {
      const beginning = await readExactly(file, real, 0, Math.min(64, fileBytes));
      if (isLfsPointer(beginning)) throw damaged(path, 'file', LFS_POINTER);
      const reason = `${headerBytes} bytes of at most ${room}; the file was cut, or is not safetensors`;
      throw damaged(path, 'header', reason);
    }
    const header = await readExactly(file, real, PREFIX_BYTES, Number(headerBytes));
    const start = PREFIX_BYTES + header.length;
    const { entries, metadata } = parseSafetensorsHeader(header, fileBytes - start, path);
    const tensors = entries.map(({ name, dtype, shape, begin, end }): [string, StoredTensor] => [
      name,
      { name, dtype, shape, path: real, offset: start + begin, length: end - begin },
    ]);
    return { path: real, tensors: new Map(tensors), metadata };
  } finally {
    await file.close();
  }
}

/** The stored bytes of a tensor, in pieces of whole blocks; a piece is valid until the next. */
export async function* readPieces(
  tensor: StoredTensor,
  ops: FileOps = systemFileOps,
): AsyncGenerator<Buffer> {
  const { blockBytes = 8 } = typeNamed(tensor.dtype) ?? {};
  const pieceBytes = PIECE_BYTES - (PIECE_BYTES % blockBytes);
  const file = await ops.open(tensor.path, 'read');
  try {
    for (let done = 0; done < tensor.length; done += pieceBytes) {
      const length = Math.min(pieceBytes, tensor.length - done);
      yield await readExactly(file, tensor.path, tensor.offset + done, length);
    }
  } finally {
    await file.close();
  }
}

/** Whether two tensors are stored alike; nothing more is read behind the first difference. */
export async function haveSameBytes(one: StoredTensor, other: StoredTensor): Promise<boolean> {
  if (one.dtype !== other.dtype || one.length !== other.length) return false;
  const others = readPieces(other);
  try {
    for await (const piece of readPieces(one)) {
      const { value } = await others.next();
      if (value === undefined || !piece.equals(value)) return false;
    }
    return true;
  } finally {
    await others.return(undefined);
  }
}

/** A whole tensor as f32, or as f64 where it is stored so. @throws model-unsupported */
export async function readTensor(
  tensor: StoredTensor,
  ops: FileOps = systemFileOps,
): Promise<Float32Array | Float64Array> {
  const isDouble = tensor.dtype === 'F64';
  const elements = tensor.shape.reduce((product, size) => product * size, 1);
  const values = isDouble ? new Float64Array(elements) : new Float32Array(elements);
  let filled = 0;
  for await (const piece of readPieces(tensor, ops)) {
    const part = isDouble ? new Float64Array(Uint8Array.from(piece).buffer) : widen(tensor, piece);
    values.set(part, filled);
    filled += part.length;
  }
  return values;
}

/** Stored bytes, whole blocks of them, as f32 values. @throws model-unsupported */
export function widen(tensor: StoredTensor, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const type = typeNamed(tensor.dtype);
  if (type?.dequantize === undefined) {
    throw unsupported(tensor.path, `${tensor.name} is stored as ${tensor.dtype}; ${READ}`);
  }
  const values = new Float32Array((bytes.length / type.blockBytes) * type.blockElements);
  type.dequantize(bytes, values);
  return values;
}

/** What can be read, for a message. */
export const READ = `what is read: ${READABLE_TYPES.join(', ')}`;

async function readExactly(
  file: OpenFile,
  path: string,
  position: number,
  length: number,
): Promise<Buffer> {
  const bytes = await file.read(position, length);
  if (bytes.length !== length) {
    throw damaged(path, 'file', `it ends at byte ${position + bytes.length}, cut while being read`);
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, length);
}
