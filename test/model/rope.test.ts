import { expect, test } from 'vitest';
import type { ModelConfig } from '../../src/model/config.ts';
import { inverseFrequencies, ropeTables } from '../../src/model/rope.ts';

const config = (scaling: ModelConfig['rope']['scaling'], headDim = 64) =>
  ({ headDim, rope: { ropeTheta: 500_000, scaling } }) as ModelConfig;

test('the first frequency is 1 and they fall evenly on a logarithmic scale', () => {
  const frequencies = inverseFrequencies(config({ type: 'none' }));
  expect(frequencies).toHaveLength(32);
  expect(frequencies[0]).toBe(1);
  for (let i = 1; i < 32; i++) {
    const ratio = (frequencies[i] as number) / (frequencies[i - 1] as number);
    expect(ratio).toBeCloseTo(500_000 ** (-1 / 32), 5);
  }
});

test('position 0 is not turned, and cosine and sine lie on the circle at far positions', () => {
  const { cos, sin } = ropeTables(config({ type: 'none' }), 5000);
  expect(cos.slice(0, 32).every((value) => value === 1)).toBe(true);
  expect(sin.slice(0, 32).every((value) => value === 0)).toBe(true);
  for (const at of [4999 * 32, 4999 * 32 + 31]) {
    expect((cos[at] as number) ** 2 + (sin[at] as number) ** 2).toBeCloseTo(1, 6);
  }
});

test('linear scaling stretches every wave', () => {
  const plain = inverseFrequencies(config({ type: 'none' }));
  const scaled = inverseFrequencies(config({ type: 'linear', factor: 4 }));
  expect(scaled).toEqual(plain.map((frequency) => frequency / 4));
});

test('llama3 scaling keeps short waves, stretches long ones and passes smoothly between', () => {
  const plain = inverseFrequencies(config({ type: 'none' }));
  const scaled = inverseFrequencies(
    config({
      type: 'llama3',
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositionEmbeddings: 8192,
    }),
  );
  const ratios = [...plain].map((frequency, i) => frequency / (scaled[i] as number));
  expect(ratios[0]).toBe(1);
  expect(ratios[31]).toBeCloseTo(8, 6);
  expect(ratios.some((ratio) => ratio > 1.1 && ratio < 7.9)).toBe(true);
  for (let i = 1; i < 32; i++) {
    expect(ratios[i] as number).toBeGreaterThanOrEqual((ratios[i - 1] as number) - 1e-6);
  }
});
