// Writes GGUF: a small file of few pairs, or a copy of one in which some tensors are exchanged.
import { replaceFile } from '../base/atomic-file.ts';
import { type OpenFile, systemFileOps } from '../base/file-ops.ts';
import { narrowFloat16 } from '../base/half-precision.ts';
import { idOf } from './block-type.ts';
import { type GgufFile, roundUp } from './gguf-file.ts';

export interface GgufTensorToWrite {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

const ALIGNMENT = 32;
/** Source: ggml, docs/gguf.md, gguf_metadata_value_type. */
const VALUE_TYPE = { f32: 6, string: 8 };
const COPY_BYTES = 4 * 2 ** 20;

/** A file of version 3 with texts and f32 numbers as its pairs, and tensors in F32. */
export function encodeGguf(
  pairs: Readonly<Record<string, string | number>>,
  tensors: readonly GgufTensorToWrite[],
): Buffer {
  const parts = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(Object.keys(pairs).length)];
  for (const [key, value] of Object.entries(pairs)) {
    const isText = typeof value === 'string';
    parts.push(text(key), u32(isText ? VALUE_TYPE.string : VALUE_TYPE.f32));
    parts.push(isText ? text(value) : Buffer.from(Float32Array.of(value).buffer));
  }
  let offset = 0;
  for (const { name, shape, data } of tensors) {
    const sizes = shape.toReversed().map(u64);
    parts.push(text(name), u32(shape.length), ...sizes, u32(idOf('F32')), u64(offset));
    offset = roundUp(offset + data.byteLength, ALIGNMENT);
  }
  const pad = (bytes: number): Buffer => Buffer.alloc(roundUp(bytes, ALIGNMENT) - bytes);
  parts.push(pad(parts.reduce((total, part) => total + part.length, 0)));
  for (const { data } of tensors) {
    parts.push(bytesOf(data), pad(data.byteLength));
  }
  return Buffer.concat(parts);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([u64(bytes.length), bytes]);
}

/** What takes the place of tensors, by name, and how it is stored. */
export interface Exchange {
  readonly values: ReadonlyMap<string, Float32Array>;
  readonly type: 'F32' | 'F16';
}

/**
 * Writes a copy in which some tensors have other values and types. Names, sizes and metadata keep
 * their bytes, and so do the other tensors; what comes behind an exchanged one moves.
 * @throws disk-full, store-failed
 */
export async function copyGguf(
  { path, start, alignment, tensors }: GgufFile,
  to: string,
  { values, type }: Exchange,
): Promise<void> {
  const source = await systemFileOps.open(path, 'read');
  const lengthOf = (name: string, length: number): number =>
    (values.get(name)?.length ?? 0) * (type === 'F16' ? 2 : 4) || length;
  const write = async (target: OpenFile): Promise<void> => {
    const head = Buffer.from(await source.read(0, start));
    let at = 0;
    for (const [name, { typeAt, length }] of tensors) {
      if (values.has(name)) head.writeUInt32LE(idOf(type), typeAt);
      head.writeBigUInt64LE(BigInt(at), typeAt + 4);
      at = roundUp(at + lengthOf(name, length), alignment);
    }
    await target.write(head);
    for (const [name, tensor] of tensors) {
      const own = values.get(name);
      if (own === undefined) await copyBytes(source, target, tensor);
      else await target.write(bytesOf(type === 'F16' ? narrowFloat16(own) : own));
      const bytes = lengthOf(name, tensor.length);
      await target.write(Buffer.alloc(roundUp(bytes, alignment) - bytes));
    }
  };
  await replaceFile(to, write, { ops: systemFileOps }).finally(() => source.close());
}

const bytesOf = ({ buffer, byteOffset, byteLength }: NodeJS.ArrayBufferView): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

async function copyBytes(
  source: OpenFile,
  target: OpenFile,
  { offset, length }: { readonly offset: number; readonly length: number },
): Promise<void> {
  for (let done = 0; done < length; done += COPY_BYTES) {
    await target.write(await source.read(offset + done, Math.min(COPY_BYTES, length - done)));
  }
}
