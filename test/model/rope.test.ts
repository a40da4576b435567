import { expect, test } from 'vitest';
import { type ModelConfig, parseConfig } from '../../src/model/config.ts';
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

/** Computed by transformers 5.18 for a head of 128: pairs of a wave's number and its frequency. */
test.each([
  {
    name: 'as for Qwen2.5',
    asked: { theta: 1e6, factor: 4, original_max_position_embeddings: 32_768 },
    attention: 1.138629436111989,
    waves: [0, 1, 15, 0.03924189880490303, 24, 0.005375321488827467, 28, 0.0018482765881344676]
      .concat([36, 0.0001798411540221423, 39, 6.490394298452884e-5, 40, 4.4456985051510856e-5])
      .concat([63, 3.102344408034696e-7]),
  },
  {
    name: 'with all its keys',
    asked: {
      ...{ theta: 1e4, factor: 40, original_max_position_embeddings: 4096, truncate: false },
      ...{ mscale: 1, mscale_all_dim: 0.5, beta_fast: 16, beta_slow: 2 },
    },
    attention: 1.1557219901962608,
    waves: [24, 0.03162277862429619, 25, 0.0273841954767704, 28, 0.015096119605004787]
      .concat([32, 0.005790104623883963, 39, 0.00038954539922997355, 40, 0.00012395245721563697])
      .concat([63, 2.886954689529375e-6]),
  },
  {
    name: 'that shortens',
    asked: { theta: 150_000, factor: 0.5, original_max_position_embeddings: 4096 },
    attention: 1,
    waves: [1, 0.8300869464874268, 28, 0.008872953243553638, 36, 0.002451763954013586].concat([
      63, 1.6062575014075264e-5,
    ]),
  },
])('yarn scaling $name is that of transformers', ({ asked, attention, waves }) => {
  const { theta, ...scaling } = asked;
  const sizes = { hidden_size: 128, num_attention_heads: 1, num_hidden_layers: 1, vocab_size: 8 };
  const rest = { intermediate_size: 8, max_position_embeddings: 64, rope_theta: theta };
  const rope_scaling = { rope_type: 'yarn', ...scaling };
  const json = { model_type: 'llama', ...sizes, ...rest, rope_scaling };
  const parsed = parseConfig(json, 'config.json');
  const frequencies = inverseFrequencies(parsed);
  for (let i = 0; i < waves.length; i += 2) {
    const wanted = waves[i + 1] as number;
    const error = Math.abs((frequencies[waves[i] as number] as number) / wanted - 1);
    expect(error).toBeLessThan(1e-6);
  }
  const { cos, sin } = ropeTables(parsed, 3);
  const angle = (frequencies[5] as number) * 2;
  expect(cos[2 * 64 + 5]).toBeCloseTo(attention * Math.cos(angle), 6);
  expect(sin[2 * 64 + 5]).toBeCloseTo(attention * Math.sin(angle), 6);
});
