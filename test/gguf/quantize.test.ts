// Quantised values lie as near as their blocks allow, and what a block can say comes back.
import { expect, it } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import { typeNamed } from '../../src/gguf/block-type.ts';
import { type QuantisedType, quantizeBlocks } from '../../src/gguf/quantize.ts';

const ELEMENTS = 32 * 64;

function thereAndBack(name: QuantisedType, values: Float32Array): Float32Array {
  const back = new Float32Array(values.length);
  typeNamed(name)?.dequantize?.(quantizeBlocks(name, values), back);
  return back;
}

it.each([
  ['Q4_0', 1 / 8],
  ['Q8_0', 1 / 127],
] as const)('%s errs by no more than its steps', (name, step) => {
  const values = createRandom(name).fillGaussian(new Float32Array(ELEMENTS), 0.1);
  const back = thereAndBack(name, values);
  for (let block = 0; block < ELEMENTS; block += 32) {
    const most = Math.max(...values.subarray(block, block + 32).map(Math.abs));
    for (let i = block; i < block + 32; i++) {
      // A positive extreme of Q4_0 is a whole step away; the f16 scale adds half a thousandth.
      const bound = most * (name === 'Q4_0' ? step : step / 2) * 1.01 + most * 1e-3;
      expect(Math.abs((back[i] as number) - (values[i] as number))).toBeLessThan(bound);
    }
  }
});

it.each(['Q4_0', 'Q8_0'] as const)('%s keeps what it can say, and zeros', (name) => {
  const values = new Float32Array(ELEMENTS);
  for (let i = 32; i < ELEMENTS; i++) values[i] = ((i % 16) - 8) * 0.25;
  if (name === 'Q8_0') for (let i = 32; i < ELEMENTS; i += 32) values[i] = -127 * 0.25;
  expect(thereAndBack(name, values).map((x) => x + 0)).toEqual(values);
});
