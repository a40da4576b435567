// Reads the head of a GGUF file: metadata and where each tensor is stored; never a tensor's values.
//
// Layout (little-endian): "GGUF", u32 version, u64 tensors, u64 key-value pairs; the pairs (string
// key, u32 type, value); the tensor descriptions (string name, u32 dimensions, u64 sizes with the
// contiguous one first, u32 type, u64 offset); padding to `general.alignment`; the data. Strings
// are a u64 length and UTF-8 bytes; arrays are a u32 type, a u64 length and the elements.
// Source: ggml-org/ggml, docs/gguf.md.
import { isUtf8 } from 'node:buffer';
import { AttuneError } from '../base/errors.ts';
import { type OpenFile, systemFileOps } from '../base/file-ops.ts';
import { isLfsPointer, LFS_POINTER } from '../base/lfs-pointer.ts';
import { type GgufType, typeOf } from './block-type.ts';

export type GgufScalar = number | bigint | boolean | string;
export type GgufValue = GgufScalar | readonly GgufScalar[];

export interface GgufTensor {
  readonly name: string;
  readonly type: GgufType;
  /** Slowest first, as elsewhere in this house: a matrix is (out, in). */
  readonly shape: readonly number[];
  /** Real path of the file that holds it. */
  readonly path: string;
  /** From the start of the file, in bytes. */
  readonly offset: number;
  readonly length: number;
  /** Where the head names its type (u32) and place (u64, from the start of the data). */
  readonly typeAt: number;
}

export interface GgufFile {
  readonly path: string;
  /** Where the data begin, and of what their places are multiples. */
  readonly start: number;
  readonly alignment: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** The largest heads in use (262 thousand tokens with merges) have about 20 MB. */
const HEAD_BYTES_MAX = 64 * 2 ** 20;
const FIRST_READ_BYTES = 2 ** 20;
const READ_GROWTH = 8;
const PAIRS_MAX = 4096;
const TENSORS_MAX = 2 ** 17;
const ARRAY_MAX = 2 ** 23;
const STRING_BYTES_MAX = 16 * 2 ** 20;
const NAME_BYTES_MAX = 1024;
const DIMENSIONS_MAX = 4;
const ALIGNMENT_DEFAULT = 32;
const ALIGNMENT_MAX = 2 ** 20;
const LENGTH_BYTES = 8;
const BLANK = 0x20;
const SMALLEST_PAIR_BYTES = 13;
const SMALLEST_TENSOR_BYTES = 32;

/** What is there is not a sound GGUF file. `field` is the key or tensor that is wrong. */
export function ggufDamaged(path: string, field: string, reason: string): AttuneError {
  return new AttuneError('model-damaged', `${path}: ${field}: ${reason}.`, { path, field });
}

/** The file is sound, but not implemented here. */
export function ggufUnsupported(path: string, reason: string): AttuneError {
  return new AttuneError('model-unsupported', `${path}: ${reason}.`, { path, reason });
}

/**
 * @param path real path of a regular file
 * @throws model-damaged (cut, overlapping or misaligned tensors, impossible counts, sizes or
 *   strings, double names), model-unsupported (version, byte order, element type)
 */
export async function readGgufFile(path: string): Promise<GgufFile> {
  const file = await systemFileOps.open(path, 'read');
  try {
    const fileBytes = await file.size();
    return await parseGrowing(file, path, fileBytes);
  } finally {
    await file.close();
  }
}

/** Parses the first megabyte; a head that is longer is read again with more. */
async function parseGrowing(file: OpenFile, path: string, fileBytes: number): Promise<GgufFile> {
  for (let room = FIRST_READ_BYTES; ; room *= READ_GROWTH) {
    const bytes = await file.read(0, Math.min(room, fileBytes));
    const head = ggufHeadOf(bytes, fileBytes, path);
    if (head !== undefined) return head;
    if (bytes.length >= fileBytes) {
      throw ggufDamaged(path, 'head', `the file ends at byte ${fileBytes}, within it`);
    }
    if (room >= HEAD_BYTES_MAX) {
      throw ggufDamaged(path, 'head', `it is longer than ${HEAD_BYTES_MAX} bytes`);
    }
  }
}

/**
 * @param bytes the beginning of a file of `fileBytes`
 * @returns undefined where the head goes on after them
 * @throws model-damaged, model-unsupported
 */
export function ggufHeadOf(
  bytes: Uint8Array,
  fileBytes: number,
  path: string,
): GgufFile | undefined {
  try {
    return parseGguf(bytes, fileBytes, path);
  } catch (error) {
    if (error instanceof OutOfBytes) return undefined;
    throw error;
  }
}

/** The bytes that were read end before what is to be read; not an error of the file by itself. */
class OutOfBytes extends Error {}

class Cursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #path: string;
  at = 0;

  constructor(bytes: Uint8Array, path: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#path = path;
  }

  take(length: number): number {
    const start = this.at;
    if (start + length > this.#bytes.length) throw new OutOfBytes();
    this.at += length;
    return start;
  }

  u32(): number {
    return this.#view.getUint32(this.take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.take(8), true);
  }

  /** A u64 that counts something. */
  count(field: string, max: number): number {
    const low = this.u32();
    const value = this.u32() * 2 ** 32 + low;
    if (value > max) throw ggufDamaged(this.#path, field, `${value} of at most ${max}`);
    return value;
  }

  string(field: string, bytesMax: number): string {
    const length = this.count(`${field} (length)`, bytesMax);
    const start = this.take(length);
    return this.#decode(this.#bytes.subarray(start, start + length), field);
  }

  #decode(bytes: Uint8Array, field: string): string {
    if (!isUtf8(bytes)) throw ggufDamaged(this.#path, field, 'not UTF-8 text');
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  }

  /** Decoded in one piece: a vocabulary has hundreds of thousands. */
  strings(count: number, field: string): string[] {
    const starts: number[] = [];
    const first = this.at;
    for (let i = 0; i < count; i++) {
      const bytes = this.count(`${field} (length)`, STRING_BYTES_MAX);
      starts.push(this.take(bytes) - first);
    }
    // The length before each string becomes eight blanks, so that none runs into the next.
    const bytes = new Uint8Array(this.#bytes.subarray(first, this.at));
    for (const start of starts) bytes.fill(BLANK, start - LENGTH_BYTES, start);
    return cut(this.#decode(bytes, field), bytes, starts);
  }

  /** Source: ggml, docs/gguf.md, gguf_metadata_value_type; 9 (an array) is read by the caller. */
  scalar(type: number, field: string): GgufScalar {
    const view = this.#view;
    if (type === 0) return view.getUint8(this.take(1));
    if (type === 1) return view.getInt8(this.take(1));
    if (type === 2) return view.getUint16(this.take(2), true);
    if (type === 3) return view.getInt16(this.take(2), true);
    if (type === 4) return this.u32();
    if (type === 5) return view.getInt32(this.take(4), true);
    if (type === 6) return view.getFloat32(this.take(4), true);
    if (type === 7) return this.#boolean(field);
    if (type === STRING) return this.string(field, STRING_BYTES_MAX);
    if (type === 10) return exact(this.u64());
    if (type === 11) return exact(view.getBigInt64(this.take(8), true));
    if (type === 12) return view.getFloat64(this.take(8), true);
    throw ggufDamaged(this.#path, field, `${type} is not a valid type of a value`);
  }

  #boolean(field: string): boolean {
    const value = this.#view.getUint8(this.take(1));
    if (value > 1) throw ggufDamaged(this.#path, field, `${value} is not a valid truth value`);
    return value === 1;
  }
}

/**
 * The strings that begin at `starts` of the bytes and end where the length of the next one begins.
 * @param text the bytes decoded; a character of four bytes is two code units in it
 */
function cut(text: string, bytes: Uint8Array, starts: readonly number[]): string[] {
  let at = 0;
  let unit = 0;
  const unitAt = (end: number): number => {
    for (; at < end; at++) {
      const byte = bytes[at] as number;
      if (byte < 0x80 || byte >= 0xc0) unit += byte >= 0xf0 ? 2 : 1;
    }
    return unit;
  };
  return starts.map((start, i) => {
    const from = unitAt(start);
    const next = starts[i + 1];
    return text.slice(from, unitAt(next === undefined ? bytes.length : next - LENGTH_BYTES));
  });
}

const exact = (value: bigint): number | bigint => {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
};

const STRING = 8;
const ARRAY = 9;
/** Bytes of one element, for a check of the count before anything is allocated. */
const ELEMENT_BYTES_MIN = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8];

/**
 * @param bytes the beginning of the file
 * @throws OutOfBytes when the head goes on after `bytes`
 */
function parseGguf(bytes: Uint8Array, fileBytes: number, path: string): GgufFile {
  const cursor = new Cursor(bytes, path);
  if (isLfsPointer(bytes)) throw ggufDamaged(path, 'file', LFS_POINTER);
  const { tensorCount, pairCount } = readPreamble(cursor, path, fileBytes);
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < pairCount; i++) {
    const key = cursor.string(`key ${i}`, NAME_BYTES_MAX);
    if (metadata.has(key)) throw ggufDamaged(path, key, 'the key is there twice');
    metadata.set(key, readValue(cursor, key, { path, fileBytes }));
  }
  const found = Array.from({ length: tensorCount }, (_, i) => readDescription(cursor, i, path));
  const alignment = alignmentOf(metadata, path);
  const start = roundUp(cursor.at, alignment);
  const tensors = placed(found, { path, start, fileBytes, alignment });
  return { path, start, alignment, metadata, tensors };
}

function readPreamble(cursor: Cursor, path: string, fileBytes: number) {
  if (fileBytes < 24) throw ggufDamaged(path, 'head', `the file has only ${fileBytes} bytes`);
  if (cursor.u32() !== 0x46554747) {
    const reason = 'it does not begin with GGUF; name a model folder or a GGUF file';
    throw ggufDamaged(path, 'head', reason);
  }
  const version = cursor.u32();
  if (version !== 2 && version !== 3) {
    const isSwapped = version !== 0 && (version & 0xffff) === 0;
    const what = isSwapped ? 'big-endian GGUF' : `GGUF version ${version}`;
    throw ggufUnsupported(path, `${what} is not implemented; convert it to version 3`);
  }
  const room = (smallest: number): number => Math.floor(fileBytes / smallest);
  const tensorCount = cursor.count('tensors', Math.min(TENSORS_MAX, room(SMALLEST_TENSOR_BYTES)));
  const pairCount = cursor.count('metadata', Math.min(PAIRS_MAX, room(SMALLEST_PAIR_BYTES)));
  return { tensorCount, pairCount };
}

function readValue(
  cursor: Cursor,
  key: string,
  { path, fileBytes }: { path: string; fileBytes: number },
): GgufValue {
  const type = cursor.u32();
  if (type !== ARRAY) return cursor.scalar(type, key);
  const element = cursor.u32();
  if (element === ARRAY) throw ggufDamaged(path, key, 'arrays within arrays are not read');
  const smallest = ELEMENT_BYTES_MIN[element] ?? 1;
  const max = Math.min(ARRAY_MAX, Math.floor(fileBytes / smallest));
  const length = cursor.count(`${key} (length)`, max);
  if (element === STRING) return cursor.strings(length, key);
  const values: GgufScalar[] = [];
  for (let i = 0; i < length; i++) values.push(cursor.scalar(element, key));
  return values;
}

interface Description {
  readonly name: string;
  readonly type: GgufType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly length: number;
  readonly typeAt: number;
}

function readDescription(cursor: Cursor, index: number, path: string): Description {
  const name = cursor.string(`tensor ${index}`, NAME_BYTES_MAX);
  const rank = cursor.u32();
  if (rank < 1 || rank > DIMENSIONS_MAX) {
    throw ggufDamaged(path, name, `${rank} dimensions; 1 to ${DIMENSIONS_MAX} are possible`);
  }
  const sizes = Array.from({ length: rank }, () => cursor.count(name, Number.MAX_SAFE_INTEGER));
  const typeAt = cursor.at;
  const typeId = cursor.u32();
  const begin = cursor.count(`${name} (offset)`, Number.MAX_SAFE_INTEGER);
  const type = typeOf(typeId);
  if (type === undefined) throw ggufDamaged(path, name, `${typeId} is not a known element type`);
  const elements = sizes.reduce((product, size) => product * size, 1);
  const [row = 0] = sizes;
  if (elements === 0 || !Number.isSafeInteger(elements)) {
    throw ggufDamaged(path, name, `${sizes.join(' × ')} is not a possible size`);
  }
  if (row % type.blockElements !== 0) {
    const reason = `rows of ${row} are not whole ${type.name} blocks of ${type.blockElements}`;
    throw ggufDamaged(path, name, reason);
  }
  const length = (elements / type.blockElements) * type.blockBytes;
  return { name, type, shape: sizes.toReversed(), begin, length, typeAt };
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>, path: string): number {
  const alignment = metadata.get('general.alignment') ?? ALIGNMENT_DEFAULT;
  const isSound =
    typeof alignment === 'number' &&
    alignment >= 1 &&
    alignment <= ALIGNMENT_MAX &&
    Number.isInteger(Math.log2(alignment));
  if (isSound) return alignment;
  throw ggufDamaged(path, 'general.alignment', `${String(alignment)} is not a power of two`);
}

export const roundUp = (value: number, multiple: number): number =>
  Math.ceil(value / multiple) * multiple;

interface Data {
  readonly path: string;
  /** Where the data begin. */
  readonly start: number;
  readonly fileBytes: number;
  readonly alignment: number;
}

/** Proves that every tensor is inside the file, aligned, and overlaps no other. */
function placed(found: readonly Description[], data: Data): ReadonlyMap<string, GgufTensor> {
  const { path, start, fileBytes, alignment } = data;
  const tensors = new Map<string, GgufTensor>();
  let end = 0;
  for (const { name, begin, length, ...rest } of found.toSorted((a, b) => a.begin - b.begin)) {
    if (tensors.has(name)) throw ggufDamaged(path, name, 'the tensor is there twice');
    if (begin % alignment !== 0) {
      throw ggufDamaged(path, name, `offset ${begin} is not a multiple of ${alignment}`);
    }
    if (begin < end) throw ggufDamaged(path, name, 'it overlaps another tensor');
    end = begin + length;
    if (start + end > fileBytes) {
      const reason = `it ends at byte ${start + end} of ${fileBytes}: the file was not fetched whole`;
      throw ggufDamaged(path, name, reason);
    }
    tensors.set(name, { ...rest, name, path, offset: start + begin, length });
  }
  return tensors;
}
