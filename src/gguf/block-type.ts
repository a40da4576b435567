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
}

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

/** d · (q − 8). Block: f16 d, 16 bytes with element i low and element i + 16 high. */
function dequantizeQ4_0(blocks: Uint8Array, values: Float32Array): void {
  for (let at = 0, to = 0; at < blocks.length; at += 18, to += 32) {
    const d = halfAt(blocks, at);
    for (let i = 0; i < 16; i++) {
      const byte = blocks[at + 2 + i] as number;
      values[to + i] = d * ((byte & 15) - 8);
      values[to + 16 + i] = d * ((byte >> 4) - 8);
    }
  }
}

/** d · q + m. Block: f16 d, f16 m, 16 bytes as in Q4_0. */
function dequantizeQ4_1(blocks: Uint8Array, values: Float32Array): void {
  for (let at = 0, to = 0; at < blocks.length; at += 20, to += 32) {
    const d = halfAt(blocks, at);
    const m = halfAt(blocks, at + 2);
    for (let i = 0; i < 16; i++) {
      const byte = blocks[at + 4 + i] as number;
      values[to + i] = d * (byte & 15) + m;
      values[to + 16 + i] = d * (byte >> 4) + m;
    }
  }
}

/** d · (q − 16). Block: f16 d, 32 fifth bits, 16 bytes as in Q4_0. */
function dequantizeQ5_0(blocks: Uint8Array, values: Float32Array): void {
  for (let at = 0, to = 0; at < blocks.length; at += 22, to += 32) {
    const d = halfAt(blocks, at);
    for (let i = 0; i < 16; i++) {
      const byte = blocks[at + 6 + i] as number;
      values[to + i] = d * (((byte & 15) | (bitAt(blocks, at + 2, i) << 4)) - 16);
      values[to + 16 + i] = d * (((byte >> 4) | (bitAt(blocks, at + 2, i + 16) << 4)) - 16);
    }
  }
}

/** d · q + m. Block: f16 d, f16 m, 32 fifth bits, 16 bytes as in Q4_0. */
function dequantizeQ5_1(blocks: Uint8Array, values: Float32Array): void {
  for (let at = 0, to = 0; at < blocks.length; at += 24, to += 32) {
    const d = halfAt(blocks, at);
    const m = halfAt(blocks, at + 2);
    for (let i = 0; i < 16; i++) {
      const byte = blocks[at + 8 + i] as number;
      values[to + i] = d * ((byte & 15) | (bitAt(blocks, at + 4, i) << 4)) + m;
      values[to + 16 + i] = d * ((byte >> 4) | (bitAt(blocks, at + 4, i + 16) << 4)) + m;
    }
  }
}

const bitAt = (bytes: Uint8Array, from: number, index: number): number =>
  ((bytes[from + (index >> 3)] as number) >> (index & 7)) & 1;

const signed = (byte: number): number => (byte << 24) >> 24;

/** d · q. Block: f16 d, 32 signed bytes. */
function dequantizeQ8_0(blocks: Uint8Array, values: Float32Array): void {
  for (let at = 0, to = 0; at < blocks.length; at += 34, to += 32) {
    const d = halfAt(blocks, at);
    for (let i = 0; i < 32; i++) values[to + i] = d * signed(blocks[at + 2 + i] as number);
  }
}

/** The 6-bit scale and minimum of a sub-block, packed in 12 bytes; `part` is 0 to 7. */
function scaleAndMinimum(bytes: Uint8Array, at: number, part: number): [number, number] {
  const low = bytes[at + part] as number;
  const high = bytes[at + part + 4] as number;
  if (part < 4) return [low & 63, high & 63];
  const top = bytes[at + part - 4] as number;
  return [(high & 15) | ((top >> 2) & 48), (high >> 4) | ((low >> 2) & 48)];
}

/** d · sc · q − dmin · m in sub-blocks of 32. Block: f16 d, f16 dmin, 12 bytes of scales, 128 of q. */
function dequantizeQ4_K(blocks: Uint8Array, values: Float32Array): void {
  for (let at = 0, to = 0; at < blocks.length; at += 144, to += 256) {
    for (let part = 0; part < 8; part++) {
      const [scale, minimum] = scaleAndMinimum(blocks, at + 4, part);
      const d = halfAt(blocks, at) * scale;
      const m = halfAt(blocks, at + 2) * minimum;
      const from = at + 16 + (part >> 1) * 32;
      const shift = (part & 1) * 4;
      for (let i = 0; i < 32; i++) {
        values[to + part * 32 + i] = d * (((blocks[from + i] as number) >> shift) & 15) - m;
      }
    }
  }
}

/** As Q4_K, with 32 bytes of fifth bits before the 128 of q; bit `part` of byte i. */
function dequantizeQ5_K(blocks: Uint8Array, values: Float32Array): void {
  for (let at = 0, to = 0; at < blocks.length; at += 176, to += 256) {
    for (let part = 0; part < 8; part++) {
      const [scale, minimum] = scaleAndMinimum(blocks, at + 4, part);
      const d = halfAt(blocks, at) * scale;
      const m = halfAt(blocks, at + 2) * minimum;
      const from = at + 48 + (part >> 1) * 32;
      const shift = (part & 1) * 4;
      for (let i = 0; i < 32; i++) {
        const fifth = ((blocks[at + 16 + i] as number) >> part) & 1;
        const q = (((blocks[from + i] as number) >> shift) & 15) | (fifth << 4);
        values[to + part * 32 + i] = d * q - m;
      }
    }
  }
}

/** d · sc · (q − 32) in sub-blocks of 16. Block: 128 low bytes, 64 high, 16 signed scales, f16 d. */
function dequantizeQ6_K(blocks: Uint8Array, values: Float32Array): void {
  for (let at = 0, to = 0; at < blocks.length; at += 210, to += 256) {
    const d = halfAt(blocks, at + 208);
    for (let i = 0; i < 256; i++) {
      const part = i >> 5;
      const half = part >> 2;
      const low = blocks[at + half * 64 + (part & 1) * 32 + (i & 31)] as number;
      const high = blocks[at + 128 + half * 32 + (i & 31)] as number;
      const q = ((low >> ((part & 2) * 2)) & 15) | (((high >> ((part & 3) * 2)) & 3) << 4);
      const scale = signed(blocks[at + 192 + (i >> 4)] as number);
      values[to + i] = d * scale * (q - 32);
    }
  }
}

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
  2: { name: 'Q4_0', blockElements: 32, blockBytes: 18, dequantize: dequantizeQ4_0 },
  3: { name: 'Q4_1', blockElements: 32, blockBytes: 20, dequantize: dequantizeQ4_1 },
  6: { name: 'Q5_0', blockElements: 32, blockBytes: 22, dequantize: dequantizeQ5_0 },
  7: { name: 'Q5_1', blockElements: 32, blockBytes: 24, dequantize: dequantizeQ5_1 },
  8: { name: 'Q8_0', blockElements: 32, blockBytes: 34, dequantize: dequantizeQ8_0 },
  9: { name: 'Q8_1', blockElements: 32, blockBytes: 40 },
  10: { name: 'Q2_K', blockElements: 256, blockBytes: 84 },
  11: { name: 'Q3_K', blockElements: 256, blockBytes: 110 },
  12: { name: 'Q4_K', blockElements: 256, blockBytes: 144, dequantize: dequantizeQ4_K },
  13: { name: 'Q5_K', blockElements: 256, blockBytes: 176, dequantize: dequantizeQ5_K },
  14: { name: 'Q6_K', blockElements: 256, blockBytes: 210, dequantize: dequantizeQ6_K },
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
