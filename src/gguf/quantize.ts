// Quantises f32 values into blocks of Q4_0 or Q8_0; no files.
import { narrowFloat16 } from '../base/half-precision.ts';
import { idOf, typeOf } from './block-type.ts';

export type QuantisedType = 'Q4_0' | 'Q8_0';

const GROUP = 32;

/**
 * Whole blocks of 32 values. Q4_0: `d = most / −8`, `most` the value of the largest size with its
 * sign; Q8_0: `d = max|x| / 127`. The scale is kept as f16, the codes are made with the f32 one.
 * Source: ggml-org/ggml, ggml-quants.c, quantize_row_q4_0_ref and quantize_row_q8_0_ref.
 */
export function quantizeBlocks(name: QuantisedType, values: Float32Array): Uint8Array<ArrayBuffer> {
  const { blockBytes = 0 } = typeOf(idOf(name)) ?? {};
  const bytes = new Uint8Array((values.length / GROUP) * blockBytes);
  const scales = new Float32Array(values.length / GROUP);
  for (let block = 0; block < scales.length; block++) {
    const from = block * GROUP;
    const at = block * blockBytes + 2;
    let most = 0;
    for (let i = from; i < from + GROUP; i++) {
      if (Math.abs(values[i] as number) > Math.abs(most)) most = values[i] as number;
    }
    const d = Math.fround(name === 'Q4_0' ? most / -8 : Math.abs(most) / 127);
    const inverse = d === 0 ? 0 : Math.fround(1 / d);
    scales[block] = d;
    for (let i = 0; i < GROUP; i++) {
      const x = Math.fround((values[from + i] as number) * inverse);
      if (name === 'Q8_0') bytes[at + i] = Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
      else {
        const code = Math.min(15, Math.trunc(x + 8.5));
        const place = at + (i % 16);
        bytes[place] = (bytes[place] as number) | (i < 16 ? code : code << 4);
      }
    }
  }
  const halves = new Uint8Array(narrowFloat16(scales).buffer);
  for (let block = 0; block < scales.length; block++) {
    bytes.set(halves.subarray(2 * block, 2 * block + 2), block * blockBytes);
  }
  return bytes;
}
