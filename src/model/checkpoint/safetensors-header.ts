// The JSON header of a safetensors file: parsed and proved to describe its bytes; no files here.
import { z } from 'zod';
import { checked, damaged, isRecord, quote, unsupported } from './refusal.ts';

/** Types by the bits of one element. Source: huggingface/safetensors, tensor.rs, Dtype::bitsize. */
const TYPES_OF_BITS: Readonly<Record<number, string>> = {
  4: 'F4',
  6: 'F6_E2M3 F6_E3M2',
  8: 'BOOL U8 I8 F8_E5M2 F8_E4M3 F8_E5M2FNUZ F8_E4M3FNUZ F8_E8M0',
  16: 'I16 U16 F16 BF16',
  32: 'I32 U32 F32',
  64: 'C64 F64 I64 U64',
};
const ELEMENT_BITS: ReadonlyMap<unknown, number> = new Map(
  Object.entries(TYPES_OF_BITS).flatMap(([bits, names]) =>
    names.split(' ').map((name) => [name, Number(bits)] as const),
  ),
);

/** More axes than any framework has. */
const RANK_MAX = 64;

export interface HeaderEntry {
  readonly name: string;
  readonly dtype: string;
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
  const { __metadata__: texts = {}, ...tensors } = json;
  const metadata = checked(metadataSchema, texts, `${path}: header: __metadata__`);
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
  return { entries, metadata };
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

const metadataSchema = z.record(z.string(), z.string());
const size = z.int().min(0);
const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(size).max(RANK_MAX),
  data_offsets: z.tuple([size, size]),
});

function parseEntry(name: string, value: unknown, path: string): HeaderEntry {
  const { dtype, shape, data_offsets } = checked(entrySchema, value, `${path}: ${name}`);
  const elementBits = ELEMENT_BITS.get(dtype);
  if (elementBits === undefined) {
    throw unsupported(path, `${name} has the unknown element type ${quote(dtype)}`);
  }
  const [begin, end] = data_offsets;
  const bits = shape.reduce((total, each) => total * each, elementBits);
  if (!Number.isSafeInteger(bits) || end - begin !== bits / 8) {
    throw damaged(path, name, `${end - begin} bytes for ${dtype} of shape (${shape.join(', ')})`);
  }
  return { name, dtype, shape, begin, end };
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
