// The element types of GGUF, and how blocks of the supported ones become f32 values; no files.
import { widenBfloat16, widenFloat16 } from '../base/half-precision.ts';

export interface GgufType {
  /** As llama.cpp prints it: `Q4_K`. */
  readonly name: string;
  /** Elements that share one block; 1 for plain numbers. */
  readonly blockElements: number;
  readonly blockBytes: number;
  /**
   * Whole blocks to values, bit for bit as the reference does it in f32. Undefined: known by name,
   * not implemented. `values` has `blockElements` places for each block.
   */
  readonly dequantize?: (blocks: Uint8Array, values: Float32Array) => void;
  /** How its blocks come apart; undefined for plain numbers. */
  readonly form?: BlockForm;
}

/** How the types of whole numbers in blocks store a value: `scale · (code − zero) + minimum`. */
export interface BlockForm {
  /** Codes are 0 … levels − 1. */
  readonly levels: 16 | 32 | 64 | 256;
  /** Neighbours that share a scale and a minimum. */
  readonly groupElements: 16 | 32;
  /** Whether groups have a minimum; `zero` is then 0, and else half of `levels`. */
  readonly hasMinima: boolean;
  /** Takes the block at a byte position apart. */
  readonly unpack: (bytes: Uint8Array, at: number, block: Unpacked) => void;
}

/** One block taken apart, each number exact in f32; as many of each as the type has. */
export interface Unpacked {
  readonly codes: Uint8Array;
  readonly scales: Float64Array;
  readonly minima: Float64Array;
}

/** Room for the block of any type. */
export const unpackedBlock = (): Unpacked => ({
  codes: new Uint8Array(256),
  scales: new Float64Array(16),
  minima: new Float64Array(16),
});

const HALF = new Float32Array(widenFloat16(Uint16Array.from({ length: 2 ** 16 }, (_, i) => i)));

/** The f16 at a byte position, as a number. */
const halfAt = (bytes: Uint8Array, at: number): number =>
  HALF[(bytes[at] as number) | ((bytes[at + 1] as number) << 8)] as number;

/*
 * Why plain numbers (f64) give the reference's f32 bits: an f16 scale has 11 bits, a product with a
 * quantised value of at most 8 bits and a block scale of at most 8 is exact in f64, and so is the
 * sum with a minimum, whose exponent is at most 40 away. The only rounding is the store into f32.
 * Source of all layouts: ggml-org/ggml, ggml-common.h and ggml-quants.c; the `gguf` package 0.19.
 */

/** 16 bytes with code i low and code i + 16 high. */
function nibbles(bytes: Uint8Array, from: number, { codes }: Unpacked): void {
  for (let i = 0; i < 16; i++) {
    const byte = bytes[from + i] as number;
    codes[i] = byte & 15;
    codes[i + 16] = byte >> 4;
  }
}

/** The fifth bits of 32 codes, in 4 bytes. */
function fifths(bytes: Uint8Array, from: number, { codes }: Unpacked): void {
  for (let i = 0; i < 32; i++) {
    codes[i] = (codes[i] as number) | ((((bytes[from + (i >> 3)] as number) >> (i & 7)) & 1) << 4);
  }
}

/** f16 d and, where there is one, f16 m; then fifth bits of 5-bit types; then the nibbles. */
const legacy =
  (levels: 16 | 32, hasMinima: boolean): BlockForm['unpack'] =>
  (bytes, at, block) => {
    const codesAt = at + (hasMinima ? 4 : 2);
    block.scales[0] = halfAt(bytes, at);
    if (hasMinima) block.minima[0] = halfAt(bytes, at + 2);
    nibbles(bytes, levels === 32 ? codesAt + 4 : codesAt, block);
    if (levels === 32) fifths(bytes, codesAt, block);
  };

const signed = (byte: number): number => (byte << 24) >> 24;

/** f16 d, 32 signed bytes. */
function unpackQ8_0(bytes: Uint8Array, at: number, { codes, scales }: Unpacked): void {
  scales[0] = halfAt(bytes, at);
  for (let i = 0; i < 32; i++) codes[i] = (bytes[at + 2 + i] as number) ^ 128;
}

/** The 6-bit scale and minimum of a sub-block, packed in 12 bytes; `part` is 0 to 7. */
function scaleAndMinimum(bytes: Uint8Array, at: number, part: number): [number, number] {
  const low = bytes[at + part] as number;
  const high = bytes[at + part + 4] as number;
  if (part < 4) return [low & 63, high & 63];
  const top = bytes[at + part - 4] as number;
  return [(high & 15) | ((top >> 2) & 48), (high >> 4) | ((low >> 2) & 48)];
}

/**
 * d · sc · q − dmin · m in sub-blocks of 32: f16 d, f16 dmin, 12 bytes of scales, with 5 bits 32
 * bytes of fifth bits (bit `part` of byte i), 128 bytes of nibbles.
 */
const unpackK =
  (levels: 16 | 32): BlockForm['unpack'] =>
  (bytes, at, { codes, scales, minima }) => {
    const nibblesAt = at + (levels === 32 ? 48 : 16);
    for (let part = 0; part < 8; part++) {
      const [scale, minimum] = scaleAndMinimum(bytes, at + 4, part);
      scales[part] = halfAt(bytes, at) * scale;
      minima[part] = -halfAt(bytes, at + 2) * minimum;
      const from = nibblesAt + (part >> 1) * 32;
      const shift = (part & 1) * 4;
      for (let i = 0; i < 32; i++) {
        const fifth = levels === 32 ? (((bytes[at + 16 + i] as number) >> part) & 1) << 4 : 0;
        codes[part * 32 + i] = (((bytes[from + i] as number) >> shift) & 15) | fifth;
      }
    }
  };

/** d · sc · (q − 32) in sub-blocks of 16: 128 low bytes, 64 high, 16 signed scales, f16 d. */
function unpackQ6_K(bytes: Uint8Array, at: number, { codes, scales }: Unpacked): void {
  const d = halfAt(bytes, at + 208);
  for (let part = 0; part < 16; part++) scales[part] = d * signed(bytes[at + 192 + part] as number);
  for (let i = 0; i < 256; i++) {
    const part = i >> 5;
    const half = part >> 2;
    const low = bytes[at + half * 64 + (part & 1) * 32 + (i & 31)] as number;
    const high = bytes[at + 128 + half * 32 + (i & 31)] as number;
    codes[i] = ((low >> ((part & 2) * 2)) & 15) | (((high >> ((part & 3) * 2)) & 3) << 4);
  }
}

function blocks(
  name: string,
  blockElements: number,
  blockBytes: number,
  form: BlockForm,
): GgufType {
  return {
    ...{ name, blockElements, blockBytes, form },
    dequantize(bytes, values) {
      const block = unpackedBlock();
      const { levels, groupElements, hasMinima, unpack } = form;
      const zero = hasMinima ? 0 : levels / 2;
      for (let at = 0, to = 0; at < bytes.length; at += blockBytes) {
        unpack(bytes, at, block);
        for (let i = 0; i < blockElements; i++, to++) {
          const group = (i / groupElements) | 0;
          const value = (block.scales[group] as number) * ((block.codes[i] as number) - zero);
          values[to] = hasMinima ? value + (block.minima[group] as number) : value;
        }
      }
    },
  };
}

const form = (
  levels: BlockForm['levels'],
  groupElements: 16 | 32,
  hasMinima: boolean,
  unpack: BlockForm['unpack'],
): BlockForm => ({ levels, groupElements, hasMinima, unpack });

function copyFloat32(blocks: Uint8Array, values: Float32Array): void {
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength).set(blocks);
}

const halves = (blocks: Uint8Array): Uint16Array => new Uint16Array(Uint8Array.from(blocks).buffer);

const plain = (name: string, blockBytes: number): GgufType => ({
  name,
  blockElements: 1,
  blockBytes,
});

/** By the number that a file has; gaps are types that were withdrawn. */
const TYPES: Readonly<Record<number, GgufType>> = {
  0: { ...plain('F32', 4), dequantize: copyFloat32 },
  1: {
    ...plain('F16', 2),
    dequantize: (blocks, values) => values.set(widenFloat16(halves(blocks))),
  },
  2: blocks('Q4_0', 32, 18, form(16, 32, false, legacy(16, false))),
  3: blocks('Q4_1', 32, 20, form(16, 32, true, legacy(16, true))),
  6: blocks('Q5_0', 32, 22, form(32, 32, false, legacy(32, false))),
  7: blocks('Q5_1', 32, 24, form(32, 32, true, legacy(32, true))),
  8: blocks('Q8_0', 32, 34, form(256, 32, false, unpackQ8_0)),
  9: { name: 'Q8_1', blockElements: 32, blockBytes: 40 },
  10: { name: 'Q2_K', blockElements: 256, blockBytes: 84 },
  11: { name: 'Q3_K', blockElements: 256, blockBytes: 110 },
  12: blocks('Q4_K', 256, 144, form(16, 32, true, unpackK(16))),
  13: blocks('Q5_K', 256, 176, form(32, 32, true, unpackK(32))),
  14: blocks('Q6_K', 256, 210, form(64, 16, false, unpackQ6_K)),
  15: { name: 'Q8_K', blockElements: 256, blockBytes: 292 },
  16: { name: 'IQ2_XXS', blockElements: 256, blockBytes: 66 },
  17: { name: 'IQ2_XS', blockElements: 256, blockBytes: 74 },
  18: { name: 'IQ3_XXS', blockElements: 256, blockBytes: 98 },
  19: { name: 'IQ1_S', blockElements: 256, blockBytes: 50 },
  20: { name: 'IQ4_NL', blockElements: 32, blockBytes: 18 },
  21: { name: 'IQ3_S', blockElements: 256, blockBytes: 110 },
  22: { name: 'IQ2_S', blockElements: 256, blockBytes: 82 },
  23: { name: 'IQ4_XS', blockElements: 256, blockBytes: 136 },
  24: plain('I8', 1),
  25: plain('I16', 2),
  26: plain('I32', 4),
  27: plain('I64', 8),
  28: plain('F64', 8),
  29: { name: 'IQ1_M', blockElements: 256, blockBytes: 56 },
  30: {
    ...plain('BF16', 2),
    dequantize: (blocks, values) => values.set(widenBfloat16(halves(blocks))),
  },
  34: { name: 'TQ1_0', blockElements: 256, blockBytes: 54 },
  35: { name: 'TQ2_0', blockElements: 256, blockBytes: 66 },
  39: { name: 'MXFP4', blockElements: 32, blockBytes: 17 },
  40: { name: 'NVFP4', blockElements: 64, blockBytes: 36 },
  41: { name: 'Q1_0', blockElements: 128, blockBytes: 18 },
};

export function typeOf(id: number): GgufType | undefined {
  return TYPES[id];
}

/** The number that a file has for it. */
export function idOf(name: string): number {
  return Number(Object.entries(TYPES).find(([, type]) => type.name === name)?.[0]);
}

/** Types whose values can be read, by name. */
export const READABLE_TYPES: readonly string[] = Object.values(TYPES)
  .filter(({ dequantize }) => dequantize !== undefined)
  .map(({ name }) => name);

export function typeNamed(name: string): GgufType | undefined {
  return Object.values(TYPES).find((type) => type.name === name);
}
