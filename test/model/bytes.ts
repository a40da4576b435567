// Makes safetensors files, sound and broken, and half-precision copies of checkpoints, for tests.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readSafetensors, readTensor } from '../../src/model/checkpoint/safetensors.ts';

export interface Part {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A file with this header text before these bytes. */
export function withHeader(
  header: string | Uint8Array,
  data: Uint8Array = new Uint8Array(),
): Buffer {
  const text = Buffer.from(header as string);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([prefix, text, data]);
}

/** A sound file whose tensors begin at a multiple of 8, as transformers writes it, or `shift` later. */
export function encode(parts: Readonly<Record<string, Part>>, shift = 0): Buffer {
  let begin = 0;
  const entries = Object.entries(parts).map(([name, { dtype, shape, bytes }]) => {
    const entry = { dtype, shape, data_offsets: [begin, begin + bytes.length] };
    begin += bytes.length;
    return [name, entry];
  });
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const header = Buffer.alloc(Math.ceil(json.length / 8) * 8 + shift, ' ');
  json.copy(header);
  return withHeader(header, Buffer.concat(Object.values(parts).map(({ bytes }) => bytes)));
}

export function floats(...values: number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

/** To nearest, ties to even; for finite values. */
export function toBfloat16(values: Float32Array): Uint8Array {
  const bits = new Uint32Array(values.slice().buffer);
  const halves = Uint16Array.from(bits, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
  return new Uint8Array(halves.buffer);
}

/** To nearest, ties to even; for values within the range of f16. */
export function toFloat16(values: Float32Array): Uint8Array {
  const halves = Uint16Array.from(values, (value) => {
    const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
    const size = Math.abs(value);
    const exponent = Math.max(size === 0 ? -14 : Math.floor(Math.log2(size)), -14);
    const scaled = size / 2 ** (exponent - 10);
    const floor = Math.floor(scaled);
    const isUp = scaled - floor > 0.5 || (scaled - floor === 0.5 && floor % 2 === 1);
    // A carry out of the fraction moves into the exponent by itself.
    return sign + (exponent + 14) * 1024 + floor + (isUp ? 1 : 0);
  });
  return new Uint8Array(halves.buffer);
}

export type StoredAs = 'F32' | 'F16' | 'BF16';

/** All tensors of a file, stored in another type. */
export async function partsOf(path: string, dtype: StoredAs): Promise<Record<string, Part>> {
  const parts: Record<string, Part> = {};
  for (const [name, stored] of (await readSafetensors(path)).tensors) {
    const values = (await readTensor(stored)) as Float32Array;
    const encoders = { F32: (v: Float32Array) => floats(...v), F16: toFloat16, BF16: toBfloat16 };
    parts[name] = { dtype, shape: stored.shape, bytes: encoders[dtype](values) };
  }
  return parts;
}

/** Writes a folder with the config of `from` and these tensors in `shards` files. */
export async function writeFolder(
  dir: string,
  from: string,
  {
    parts,
    shards = 1,
  }: { readonly parts: Readonly<Record<string, Part>>; readonly shards?: number },
): Promise<string> {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'config.json'), await readFile(join(from, 'config.json')));
  if (shards === 1) {
    await writeFile(join(dir, 'model.safetensors'), encode(parts));
    return dir;
  }
  const entries = Object.entries(parts);
  const shardOf = (i: number) => `model-0000${1 + (i % shards)}-of-0000${shards}.safetensors`;
  const weight_map = Object.fromEntries(entries.map(([name], i) => [name, shardOf(i)]));
  for (let shard = 0; shard < shards; shard++) {
    const own = entries.filter((_, i) => i % shards === shard);
    await writeFile(join(dir, shardOf(shard)), encode(Object.fromEntries(own)));
  }
  await writeFile(join(dir, 'model.safetensors.index.json'), JSON.stringify({ weight_map }));
  return dir;
}
