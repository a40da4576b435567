// Quantised blocks in the layout that a product of few bits reads: codes of 4 or 8 bits, and apart
// from them the scales and minima of each group; no files.
import { type BlockForm, type GgufType, unpackedBlock } from './block-type.ts';

/** How a matrix is packed: `scale · (code − 2^(bits − 1)) + minimum`, in groups along a row. */
export interface PackedForm {
  readonly bits: 4 | 8;
  readonly groupElements: 16 | 32;
  readonly hasMinima: boolean;
}

export interface Packed {
  /** One code a byte, or two with the first one low. */
  readonly codes: Uint8Array<ArrayBuffer>;
  /** One of each group. */
  readonly scales: Float32Array<ArrayBuffer>;
  /** One of each group where the form has them, else none. */
  readonly minima: Float32Array<ArrayBuffer>;
}

/** Undefined where the type is not one of blocks that can be read. */
export function packedFormOf(type: GgufType | undefined): PackedForm | undefined {
  if (type?.form === undefined) return undefined;
  const { levels, groupElements, hasMinima } = type.form;
  return { bits: levels === 16 ? 4 : 8, groupElements, hasMinima };
}

/** Codes, scales and minima together. */
export function bytesPerElement({ bits, groupElements, hasMinima }: PackedForm): number {
  return bits / 8 + (hasMinima ? 8 : 4) / groupElements;
}

/**
 * Packs whole blocks. Codes are centred, so that a rounded activation meets the smallest numbers:
 * `s·q + m` becomes `s·(q − c) + (m + s·c)` with c half of the levels. Exact where that new minimum
 * is an f32: always unless s and m are more than 13 binary orders apart; else it is rounded once.
 */
export function packBlocks(type: GgufType, bytes: Uint8Array): Packed {
  const { levels, groupElements, hasMinima, unpack } = type.form as BlockForm;
  const isHalf = levels === 16;
  const centre = levels / 2;
  const shift = isHalf ? 0 : 128 - centre;
  const elements = (bytes.length / type.blockBytes) * type.blockElements;
  const groups = elements / groupElements;
  const codes = new Uint8Array(isHalf ? elements / 2 : elements);
  const scales = new Float32Array(groups);
  const minima = new Float32Array(hasMinima ? groups : 0);
  const block = unpackedBlock();
  const own = type.blockElements / groupElements;
  for (let at = 0, to = 0, group = 0; at < bytes.length; at += type.blockBytes, group += own) {
    unpack(bytes, at, block);
    for (let i = 0; i < type.blockElements; i += isHalf ? 2 : 1) {
      const code = (block.codes[i] as number) + shift;
      codes[to++] = isHalf ? code | ((block.codes[i + 1] as number) << 4) : code;
    }
    for (let i = 0; i < own; i++) {
      const scale = block.scales[i] as number;
      scales[group + i] = scale;
      if (hasMinima) minima[group + i] = (block.minima[i] as number) + scale * centre;
    }
  }
  return { codes, scales, minima };
}
