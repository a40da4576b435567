// The JSON header of a safetensors file: parsed and proved to describe its bytes; no files here.
import { damaged, isRecord, quote, unsupported } from './refusal.ts';

/** Bits of one element. Source: huggingface/safetensors, tensor.rs, Dtype::bitsize. */
const ELEMENT_BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E5M2FNUZ: 8,
  F8_E4M3FNUZ: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;
export type SafetensorsType = keyof typeof ELEMENT_BITS;

/** More axes than any framework has. */
const RANK_MAX = 64;

export interface HeaderEntry {
  readonly name: string;
  readonly dtype: SafetensorsType;
  readonly shape: readonly number[];
  /** `[begin, end)` in bytes, from the end of the header. */
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** In the order of their bytes. */
  readonly entries: readonly HeaderEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Checks what the reference reader checks: known types, sizes that match shapes, and tensors that
 * fill the data without hole or overlap.
 * @param dataBytes bytes of the file after the header
 * @throws model-damaged, model-unsupported for an unknown element type
 */
export function parseSafetensorsHeader(
  header: Uint8Array,
  dataBytes: number,
  path: string,
): SafetensorsHeader {
  const fail = (reason: string, cause?: unknown): never => {
    throw damaged(path, 'header', reason, cause);
  };
  const json = parseObject(header, fail);
  const { __metadata__: metadata = {}, ...tensors } = json;
  if (!isRecord(metadata) || !Object.values(metadata).every((text) => typeof text === 'string')) {
    return fail('__metadata__ is not a map of texts');
  }
  const entries = Object.entries(tensors)
    .map(([name, value]) => parseEntry(name, value, path))
    .sort((a, b) => a.begin - b.begin || a.end - b.end);
  let filled = 0;
  for (const { name, begin, end } of entries) {
    if (begin < filled) fail(`${name} overlaps the tensor before it`);
    if (begin > filled) fail(`${begin - filled} bytes before ${name} belong to no tensor`);
    if (end > dataBytes) fail(`${name} ends at byte ${end} of ${dataBytes}: the file is truncated`);
    filled = end;
  }
  if (filled < dataBytes) fail(`the last ${dataBytes - filled} bytes belong to no tensor`);
  return { entries, metadata: metadata as Record<string, string> };
}

function parseObject(
  header: Uint8Array,
  fail: (reason: string, cause?: unknown) => never,
): Record<string, unknown> {
  let json: unknown;
  let text = '';
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header);
    json = JSON.parse(text);
  } catch (cause) {
    return fail('not JSON', cause);
  }
  if (text[0] !== '{' || !isRecord(json)) return fail('not a JSON object');
  const duplicate = duplicateKey(text);
  if (duplicate !== undefined) fail(`${quote(duplicate)} is there twice`);
  return json;
}

function parseEntry(name: string, value: unknown, path: string): HeaderEntry {
  const fail = (reason: string): never => {
    throw damaged(path, name, reason);
  };
  if (!isRecord(value)) return fail('not an object');
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(ELEMENT_BITS, dtype)) {
    throw unsupported(path, `${name} has the unknown element type ${quote(dtype)}`);
  }
  if (!isSizes(shape)) return fail('its shape is not a list of sizes');
  if (!isSizes(offsets) || offsets.length !== 2)
    return fail('its data_offsets are not two offsets');
  const [begin, end] = offsets as [number, number];
  const bits = shape.reduce((total, size) => total * size, ELEMENT_BITS[dtype as SafetensorsType]);
  if (!Number.isSafeInteger(bits) || end - begin !== bits / 8) {
    fail(`${end - begin} bytes for ${dtype} of shape (${shape.join(', ')})`);
  }
  return { name, dtype: dtype as SafetensorsType, shape, begin, end };
}

function isSizes(value: unknown): value is number[] {
  return (
    Array.isArray(value) &&
    value.length <= RANK_MAX &&
    value.every((size) => Number.isSafeInteger(size) && size >= 0 && !Object.is(size, -0))
  );
}

/**
 * The first key that an object of this valid JSON text has twice. JSON.parse keeps the last: two
 * readers could see two models in one file, and no hash says so, as it is made of what was read.
 */
function duplicateKey(text: string): string | undefined {
  const open: Set<string>[] = [];
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '{') open.push(new Set());
    else if (text[at] === '}') open.pop();
    else if (text[at] === '"') {
      const start = at;
      at = closingQuote(text, start);
      if (!isColonNext(text, at + 1)) continue;
      const key = JSON.parse(text.slice(start, at + 1)) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
  return undefined;
}

/** Where the string that begins at `start` ends; the text is valid JSON, so it does. */
function closingQuote(text: string, start: number): number {
  for (let at = start + 1; ; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"' || at >= text.length) return at;
  }
}

/** A string is a key exactly when a colon follows it. */
function isColonNext(text: string, from: number): boolean {
  let at = from;
  while (' \t\n\r'.includes(text[at] ?? ':')) at++;
  return text[at] === ':';
}
