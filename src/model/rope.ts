// The rotary tables of a model: cosines and sines per position; plain numbers, no graph.
import { at } from '../base/at.ts';
import type { ModelConfig } from './config.ts';
import type { YarnScaling } from './rope-settings.ts';

/** Each (positions, headDim / 2), row-major. Shared and never written to. */
export interface RopeTables {
  readonly positions: number;
  readonly cos: Float32Array<ArrayBuffer>;
  readonly sin: Float32Array<ArrayBuffer>;
}

/**
 * `cos(p · f_i)` and `sin(p · f_i)` for p in [0, positions), times YaRN's factor. Angles are
 * rounded to f32 as Hugging Face's are, or far positions would differ. Source: RoFormer, arXiv
 * 2104.09864, eq. 34; transformers 5.18, modeling_llama.py, LlamaRotaryEmbedding.
 */
export function ropeTables(config: ModelConfig, positions: number): RopeTables {
  const known = lastTables.get(config);
  if (known?.positions === positions) return known;
  const frequencies = inverseFrequencies(config);
  const width = frequencies.length;
  const { scaling } = config.rope;
  const factor = scaling.type === 'yarn' ? scaling.attentionFactor : 1;
  const cos = new Float32Array(positions * width);
  const sin = new Float32Array(positions * width);
  for (let position = 0; position < positions; position++) {
    for (let i = 0; i < width; i++) {
      const angle = Math.fround(position * at(frequencies, i));
      cos[position * width + i] = factor * Math.cos(angle);
      sin[position * width + i] = factor * Math.sin(angle);
    }
  }
  const tables = { positions, cos, sin };
  lastTables.set(config, tables);
  return tables;
}

/** Every graph of a model reads the same tables; they may be large. */
const lastTables = new WeakMap<ModelConfig, RopeTables>();

/** `ropeTheta^(−2i / headDim)`, scaled as the config asks; (headDim / 2). */
export function inverseFrequencies({ rope, headDim }: ModelConfig): Float32Array {
  const plain = Float32Array.from(
    { length: headDim / 2 },
    (_, i) => 1 / Math.fround(rope.ropeTheta ** Math.fround((2 * i) / headDim)),
  );
  const { scaling } = rope;
  if (scaling.type === 'none') return plain;
  if (scaling.type === 'linear') return plain.map((frequency) => frequency / scaling.factor);
  if (scaling.type === 'factors') {
    return plain.map((frequency, i) => frequency / (scaling.factors[i] as number));
  }
  if (scaling.type === 'yarn') return yarn(plain, rope.ropeTheta, scaling);
  return plain.map((frequency) => llama3(frequency, scaling));
}

/**
 * Waves that turn often within the original window are kept, slow ones stretched by `factor`, those
 * between interpolated by their number. Source: Peng et al., arXiv 2309.00071; transformers 5.18,
 * modeling_rope_utils.py, _compute_yarn_parameters.
 */
function yarn(plain: Float32Array, theta: number, scaling: YarnScaling): Float32Array {
  const { factor, betaFast, betaSlow, originalMaxPositionEmbeddings: window } = scaling;
  const half = plain.length;
  /** The number of the wave that turns so often within the window. */
  const waveOf = (turns: number): number =>
    (half * Math.log(window / (turns * 2 * Math.PI))) / Math.log(theta);
  const [first, last] = [waveOf(betaFast), waveOf(betaSlow)];
  const low = Math.max(scaling.isTruncated ? Math.floor(first) : first, 0);
  const high = Math.min(scaling.isTruncated ? Math.ceil(last) : last, 2 * half - 1);
  const width = high === low ? 0.001 : high - low;
  return plain.map((frequency, i) => {
    const stretched = Math.min(Math.max((i - low) / width, 0), 1);
    return (frequency / factor) * stretched + frequency * (1 - stretched);
  });
}

type Llama3 = Extract<ModelConfig['rope']['scaling'], { type: 'llama3' }>;

/**
 * Long waves are stretched by `factor`, short ones kept, those between interpolated.
 * Source: transformers 5.18, modeling_rope_utils.py, _compute_llama3_parameters.
 */
function llama3(frequency: number, scaling: Llama3): number {
  const { factor, lowFreqFactor, highFreqFactor } = scaling;
  const wavesInWindow = scaling.originalMaxPositionEmbeddings / ((2 * Math.PI) / frequency);
  if (wavesInWindow > highFreqFactor) return frequency;
  if (wavesInWindow < lowFreqFactor) return frequency / factor;
  const share = (wavesInWindow - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  return (1 - share) * (frequency / factor) + share * frequency;
}
