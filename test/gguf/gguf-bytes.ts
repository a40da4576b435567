// Writes GGUF files for tests, sound ones and others: each count and offset can be overridden.

export type Metadata = Readonly<Record<string, string | number | boolean | readonly Item[]>>;
type Item = string | number;

export interface TensorBytes {
  /** Contiguous size first, as the format has it. */
  readonly sizes: readonly number[];
  readonly type: number;
  readonly bytes: Uint8Array;
  readonly offset?: number;
}

export interface GgufBytes {
  readonly metadata?: Metadata;
  readonly tensors?: Readonly<Record<string, TensorBytes>>;
  readonly magic?: string;
  readonly version?: number;
  readonly tensorCount?: bigint;
  readonly pairCount?: bigint;
}

const ALIGNMENT = 32;
const TYPE = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 };

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number | bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const f32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
};
const text = (value: string): Buffer =>
  Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

/** Whole numbers are u32, others f32. */
function typed(value: Metadata[string]): [number, Buffer] {
  if (typeof value === 'string') return [TYPE.string, text(value)];
  if (typeof value === 'boolean') return [TYPE.bool, Buffer.of(value ? 1 : 0)];
  if (typeof value === 'number') {
    return Number.isInteger(value) && value >= 0 ? [TYPE.u32, u32(value)] : [TYPE.f32, f32(value)];
  }
  const isText = typeof value[0] === 'string';
  const isFraction = value.some((one) => typeof one === 'number' && !(one >= 0 && one % 1 === 0));
  const element = isText ? TYPE.string : isFraction ? TYPE.f32 : TYPE.u32;
  const items = value.map((one) =>
    typeof one === 'string' ? text(one) : isFraction ? f32(one) : u32(one),
  );
  return [TYPE.array, Buffer.concat([u32(element), u64(value.length), ...items])];
}

export function ggufBytes(given: GgufBytes): Buffer {
  const { metadata = {}, tensors = {}, magic = 'GGUF', version = 3 } = given;
  const pairs = Object.entries(metadata).map(([key, value]) => {
    const [type, bytes] = typed(value);
    return Buffer.concat([text(key), u32(type), bytes]);
  });
  let end = 0;
  const placed = Object.entries(tensors).map(([name, { sizes, type, bytes, offset }]) => {
    const begin = offset ?? end;
    end = Math.ceil((end + bytes.length) / ALIGNMENT) * ALIGNMENT;
    const head = [text(name), u32(sizes.length), ...sizes.map(u64), u32(type), u64(begin)];
    return Buffer.concat(head);
  });
  const head = Buffer.concat([
    Buffer.from(magic, 'latin1'),
    u32(version),
    u64(given.tensorCount ?? placed.length),
    u64(given.pairCount ?? pairs.length),
    ...pairs,
    ...placed,
  ]);
  const padding = Buffer.alloc((ALIGNMENT - (head.length % ALIGNMENT)) % ALIGNMENT);
  const data = Object.values(tensors).map(({ bytes }) =>
    Buffer.concat([bytes, Buffer.alloc((ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT)]),
  );
  return Buffer.concat([head, padding, ...data]);
}
