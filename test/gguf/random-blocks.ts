// Blocks of a quantised type with codes at random and scales as a model has them.
import { narrowFloat16 } from '../../src/base/half-precision.ts';
import { createRandom } from '../../src/base/random.ts';
import { type GgufType, typeNamed } from '../../src/gguf/block-type.ts';

/** Where the f16 numbers of a block are: its scale and, of some, its minimum. */
const HALVES: Readonly<Record<string, readonly number[]>> = {
  Q4_0: [0],
  Q4_1: [0, 2],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q8_0: [0],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
};

export const QUANTISED = Object.keys(HALVES);

export function randomBlocks(name: string, elements: number): Uint8Array {
  const { blockElements, blockBytes } = typeNamed(name) as GgufType;
  const random = createRandom(name);
  const bytes = new Uint8Array((elements / blockElements) * blockBytes);
  for (let i = 0; i < bytes.length; i++) bytes[i] = random.int(256);
  const isSuper = blockElements === 256;
  for (let at = 0; at < bytes.length; at += blockBytes) {
    for (const [which, offset] of (HALVES[name] as readonly number[]).entries()) {
      const size = (isSuper ? 0.001 : 0.02) * (0.5 + random.uniform());
      const value = which === 1 && !isSuper ? -8 * size : size;
      const [half = 0] = narrowFloat16(Float32Array.of(value));
      bytes[at + offset] = half & 255;
      bytes[at + offset + 1] = half >> 8;
    }
  }
  return bytes;
}
