// The tensors a model is made of: our name, the name in the checkpoint, and the shape it must have.
import type { ModelConfig } from './config.ts';

export interface WeightDescription {
  /** Ours: `layers.0.qProj`. */
  readonly name: string;
  /** Hugging Face's: `model.layers.0.self_attn.q_proj.weight`. */
  readonly checkpointName: string;
  /** Matrices are (out, in). */
  readonly shape: readonly number[];
}

/** True for the query projections, the only trained matrices of the product. */
export function isQProj(name: string): boolean {
  return /^layers\.\d+\.qProj$/.test(name);
}

/** Every tensor of such a model, in the order of use. With tied embeddings there is no `lmHead`. */
export function describeWeights(config: ModelConfig): WeightDescription[] {
  const { vocabSize, hiddenSize, numHiddenLayers } = config;
  const layers = Array.from({ length: numHiddenLayers }, (_, layer) =>
    describeLayer(config, layer),
  );
  const head = weight('lmHead', 'lm_head.weight', [vocabSize, hiddenSize]);
  return [
    weight('embedTokens', 'model.embed_tokens.weight', [vocabSize, hiddenSize]),
    ...layers.flat(),
    weight('norm', 'model.norm.weight', [hiddenSize]),
    ...(config.tieWordEmbeddings ? [] : [head]),
  ];
}

function describeLayer(config: ModelConfig, layer: number): WeightDescription[] {
  const { hiddenSize, intermediateSize, headDim } = config;
  const queryWidth = config.numAttentionHeads * headDim;
  const keyWidth = config.numKeyValueHeads * headDim;
  const one = (name: string, checkpointName: string, shape: readonly number[]) =>
    weight(`layers.${layer}.${name}`, `model.layers.${layer}.${checkpointName}`, shape);
  const linear = (
    name: string,
    path: string,
    shape: readonly [number, number],
    hasBias: boolean,
  ) => [
    one(name, `${path}.weight`, shape),
    ...(hasBias ? [one(`${name}Bias`, `${path}.bias`, [shape[0]])] : []),
  ];
  const { hasQkvBias, hasOutputBias, hasMlpBias } = config;
  const qkNorms = [
    one('qNorm', 'self_attn.q_norm.weight', [headDim]),
    one('kNorm', 'self_attn.k_norm.weight', [headDim]),
  ];
  return [
    one('inputLayernorm', 'input_layernorm.weight', [hiddenSize]),
    ...linear('qProj', 'self_attn.q_proj', [queryWidth, hiddenSize], hasQkvBias),
    ...linear('kProj', 'self_attn.k_proj', [keyWidth, hiddenSize], hasQkvBias),
    ...linear('vProj', 'self_attn.v_proj', [keyWidth, hiddenSize], hasQkvBias),
    ...(config.hasQkNorm ? qkNorms : []),
    ...linear('oProj', 'self_attn.o_proj', [hiddenSize, queryWidth], hasOutputBias),
    one('postAttentionLayernorm', 'post_attention_layernorm.weight', [hiddenSize]),
    ...linear('gateProj', 'mlp.gate_proj', [intermediateSize, hiddenSize], hasMlpBias),
    ...linear('upProj', 'mlp.up_proj', [intermediateSize, hiddenSize], hasMlpBias),
    ...linear('downProj', 'mlp.down_proj', [hiddenSize, intermediateSize], hasMlpBias),
  ];
}

function weight(name: string, checkpointName: string, shape: readonly number[]): WeightDescription {
  return { name, checkpointName, shape };
}
