import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/model/config.ts';

/** As transformers 4 wrote it for SmolLM2-135M-Instruct. Source: huggingface.co, config.json. */
const SMOLLM2 = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  attention_dropout: 0.0,
  bos_token_id: 1,
  eos_token_id: 2,
  hidden_act: 'silu',
  hidden_size: 576,
  initializer_range: 0.041666666666666664,
  intermediate_size: 1536,
  is_llama_config: true,
  max_position_embeddings: 8192,
  mlp_bias: false,
  model_type: 'llama',
  num_attention_heads: 9,
  num_hidden_layers: 30,
  num_key_value_heads: 3,
  pad_token_id: 2,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_interleaved: false,
  rope_scaling: null,
  rope_theta: 100000,
  tie_word_embeddings: true,
  torch_dtype: 'bfloat16',
  transformers_version: '4.42.3',
  'transformers.js_config': { kv_cache_dtype: { q4f16: 'float16', fp16: 'float16' } },
  use_cache: true,
  vocab_size: 49152,
};
const QWEN2 = {
  ...SMOLLM2,
  architectures: ['Qwen2ForCausalLM'],
  model_type: 'qwen2',
  use_sliding_window: false,
  sliding_window: 32768,
  max_window_layers: 21,
};
const MISTRAL = { ...SMOLLM2, architectures: ['MistralForCausalLM'], model_type: 'mistral' };
const LLAMA3_SCALING = {
  factor: 8.0,
  high_freq_factor: 4.0,
  low_freq_factor: 1.0,
  original_max_position_embeddings: 8192,
  rope_type: 'llama3',
};

const parse = (json: unknown) => parseConfig(json, 'config.json');
const refusal = (json: unknown): { code?: string; message?: string } => {
  try {
    parse(json);
  } catch (error) {
    return error as Error;
  }
  return {};
};

describe('a config', () => {
  test('of SmolLM2 is read', () => {
    expect(parse(SMOLLM2)).toEqual({
      family: 'llama',
      vocabSize: 49152,
      hiddenSize: 576,
      intermediateSize: 1536,
      numHiddenLayers: 30,
      numAttentionHeads: 9,
      numKeyValueHeads: 3,
      headDim: 64,
      maxPositionEmbeddings: 8192,
      rmsNormEps: 1e-5,
      rope: { ropeTheta: 100000, scaling: { type: 'none' } },
      tieWordEmbeddings: true,
      hasQkvBias: false,
      hasOutputBias: false,
      hasMlpBias: false,
      hasQkNorm: false,
      slidingWindow: null,
      unrotatedLayers: [],
      scales: { embedding: 1, attention: 1 / 8, residual: 1, logits: 1 },
    });
  });

  test('means the same in the words of transformers 4 and of 5', () => {
    const { rope_theta, rope_scaling: _, torch_dtype: __, ...rest } = SMOLLM2;
    const plain = {
      ...rest,
      dtype: 'bfloat16',
      rope_parameters: { rope_theta, rope_type: 'default' },
    };
    expect(parse(plain)).toEqual(parse(SMOLLM2));
    const scaled = { ...rest, rope_parameters: { ...LLAMA3_SCALING, rope_theta } };
    expect(parse(scaled)).toEqual(parse({ ...SMOLLM2, rope_scaling: LLAMA3_SCALING }));
    expect(parse(scaled).rope.scaling).toEqual({
      type: 'llama3',
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositionEmbeddings: 8192,
    });
  });

  test('may call the rope type by its old name', () => {
    const config = parse({ ...SMOLLM2, rope_scaling: { type: 'linear', factor: 2 } });
    expect(config.rope.scaling).toEqual({ type: 'linear', factor: 2 });
  });

  test('that leaves things out has the defaults of its family', () => {
    const { num_key_value_heads: _, rms_norm_eps: __, tie_word_embeddings: ___, ...rest } = SMOLLM2;
    const { rope_theta: ____, rope_scaling: _____, ...sparse } = rest;
    const config = parse(sparse);
    expect(config.numKeyValueHeads).toBe(9);
    expect(config.rmsNormEps).toBe(1e-6);
    expect(config.tieWordEmbeddings).toBe(false);
    expect(config.rope.ropeTheta).toBe(10000);
    const qwen3 = { ...sparse, model_type: 'qwen3', architectures: ['Qwen3ForCausalLM'] };
    expect(parse(qwen3).headDim).toBe(128);
    expect(parse({ ...qwen3, head_dim: 32 }).headDim).toBe(32);
    expect(parse({ ...SMOLLM2, head_dim: null }).headDim).toBe(64);
    const { num_key_value_heads: ______, ...mistral } = { ...MISTRAL, num_attention_heads: 32 };
    expect(parse({ ...mistral, hidden_size: 2048 }).numKeyValueHeads).toBe(8);
    const even = { ...mistral, hidden_size: 2048, num_key_value_heads: null };
    expect(parse(even).numKeyValueHeads).toBe(32);
  });

  test('knows which projections of its family have biases', () => {
    const biases = (json: unknown) => {
      const { hasQkvBias, hasOutputBias, hasMlpBias } = parse(json);
      return [hasQkvBias, hasOutputBias, hasMlpBias];
    };
    const asked = { attention_bias: true, mlp_bias: true };
    expect(biases({ ...SMOLLM2, ...asked })).toEqual([true, true, true]);
    expect(biases(QWEN2)).toEqual([true, false, false]);
    expect(biases({ ...MISTRAL, ...asked })).toEqual([false, false, false]);
    const qwen3 = { ...SMOLLM2, model_type: 'qwen3', architectures: ['Qwen3ForCausalLM'] };
    expect(biases({ ...qwen3, ...asked })).toEqual([true, true, false]);
  });

  test('of SmolLM3 says which layers are not rotated, and ties its embeddings unless told', () => {
    const { tie_word_embeddings: _, rope_theta: __, ...rest } = SMOLLM2;
    const smollm3 = { ...rest, model_type: 'smollm3', architectures: ['SmolLM3ForCausalLM'] };
    const config = parse({ ...smollm3, num_hidden_layers: 9 });
    expect(config).toMatchObject({ unrotatedLayers: [3, 7], tieWordEmbeddings: true });
    expect(config.rope.ropeTheta).toBe(2e6);
    const chosen = { ...smollm3, num_hidden_layers: 3, no_rope_layers: [0, 1, 0] };
    expect(parse(chosen).unrotatedLayers).toEqual([0, 2]);
    const every = { ...smollm3, num_hidden_layers: 3, no_rope_layer_interval: 2 };
    expect(parse(every).unrotatedLayers).toEqual([1]);
    const sliding = { ...smollm3, use_sliding_window: true, sliding_window: 512 };
    expect(parse(sliding).slidingWindow).toBe(512);
  });

  test('of Granite has factors; what it leaves out is 1', () => {
    const granite = { ...SMOLLM2, model_type: 'granite', architectures: ['GraniteForCausalLM'] };
    const none = { embedding: 1, attention: 1, residual: 1, logits: 1 };
    expect(parse(granite).scales).toEqual(none);
    const given = { embedding_multiplier: 12, attention_multiplier: 0.015625, logits_scaling: 8 };
    const scales = { embedding: 12, attention: 0.015625, residual: 0.22, logits: 0.125 };
    expect(parse({ ...granite, ...given, residual_multiplier: 0.22 }).scales).toEqual(scales);
    expect(parse({ ...SMOLLM2, ...given }).scales).toEqual({ ...none, attention: 1 / 8 });
  });

  test('with YaRN has as many positions as the scaling makes, and the defaults of its paper', () => {
    const yarn = { type: 'yarn', factor: 4, original_max_position_embeddings: 8192 };
    const config = parse({ ...SMOLLM2, rope_scaling: yarn });
    expect(config.maxPositionEmbeddings).toBe(32768);
    const { original_max_position_embeddings: _, ...without } = yarn;
    expect(parse({ ...SMOLLM2, rope_scaling: without }).rope).toEqual(config.rope);
    expect(config.rope.scaling).toEqual({
      ...{ type: 'yarn', factor: 4, originalMaxPositionEmbeddings: 8192 },
      ...{ betaFast: 32, betaSlow: 1, isTruncated: true },
      attentionFactor: 0.1 * Math.log(4) + 1,
    });
    const longer = { ...without, factor: null, original_max_position_embeddings: 2048 };
    expect(parse({ ...SMOLLM2, rope_scaling: longer }).rope.scaling).toMatchObject({ factor: 4 });
  });

  test('with a sliding window that is switched off has none', () => {
    expect(parse(QWEN2).slidingWindow).toBeNull();
    expect(parse({ ...QWEN2, use_sliding_window: true }).slidingWindow).toBe(32768);
    const few = { ...QWEN2, use_sliding_window: true, num_hidden_layers: 21 };
    expect(parse(few).slidingWindow).toBeNull();
    expect(parse({ ...MISTRAL, sliding_window: null }).slidingWindow).toBeNull();
    expect(parse({ ...MISTRAL, sliding_window: 4096 }).slidingWindow).toBe(4096);
    const typed = { ...QWEN2, layer_types: ['full_attention', 'sliding_attention'] };
    expect(parse(typed).slidingWindow).toBe(32768);
    expect(parse({ ...typed, layer_types: ['full_attention'] }).slidingWindow).toBeNull();
  });
});

describe('a config is refused by name', () => {
  test.each([
    ['another architecture', { model_type: 'gpt2', architectures: ['GPT2LMHeadModel'] }, '"gpt2"'],
    ['no architecture', { model_type: undefined }, 'model_type'],
    ['a head of another kind', { architectures: ['LlamaForTokenClassification'] }, 'TokenClass'],
    ['layers of linear attention', { layer_types: ['linear_attention'] }, '"linear_attention"'],
    ['the rope type longrope', { rope_scaling: { type: 'longrope', factor: 4 } }, '"longrope"'],
    [
      'the rope type dynamic',
      { rope_parameters: { rope_type: 'dynamic', factor: 2 } },
      '"dynamic"',
    ],
    [
      'a rope for each layer type',
      { rope_parameters: { full_attention: { rope_theta: 1 } } },
      'layer type',
    ],
    ['a rotation of only some dimensions', { partial_rotary_factor: 0.5 }, '0.5'],
    ['weights quantized by MLX', { quantization: { bits: 4, group_size: 64 } }, 'quantized'],
    ['quantized weights', { quantization_config: { quant_method: 'gptq' } }, 'quantized'],
    ['another activation', { hidden_act: 'gelu' }, '"gelu"'],
    ['heads of an odd size', { head_dim: 63 }, '63'],
  ])('for %s', (_, change, named) => {
    const { code, message } = refusal({ ...SMOLLM2, ...change });
    expect(code).toBe('model-unsupported');
    expect(message).toContain(named);
  });

  test.each([
    ['vocab_size', { vocab_size: 0 }],
    ['hidden_size', { hidden_size: '576' }],
    ['hidden_size', { hidden_size: undefined }],
    ['num_hidden_layers', { num_hidden_layers: 1e9 }],
    ['num_attention_heads', { num_attention_heads: 7, num_key_value_heads: 7 }],
    ['num_key_value_heads', { num_key_value_heads: 2 }],
    ['rms_norm_eps', { rms_norm_eps: -1 }],
    ['rope_theta', { rope_theta: 0 }],
    ['max_position_embeddings', { max_position_embeddings: 1.5 }],
    ['factor', { rope_scaling: { type: 'linear' } }],
    ['high_freq_factor', { rope_scaling: { ...LLAMA3_SCALING, high_freq_factor: 0 } }],
    ['tie_word_embeddings', { tie_word_embeddings: 'yes' }],
    ['factor', { rope_scaling: { type: 'yarn', factor: -4 } }],
    ['rope_theta', { rope_theta: 1, rope_scaling: { type: 'yarn', factor: 4 } }],
    ['no_rope_layers', { model_type: 'smollm3', architectures: null, no_rope_layers: [1] }],
    ['logits_scaling', { model_type: 'granite', architectures: null, logits_scaling: 0 }],
    ['sliding_window', { layer_types: ['sliding_attention'] }],
  ])('when %s is wrong', (field, change) => {
    const { code, message } = refusal({ ...SMOLLM2, ...change });
    expect(code).toBe('model-damaged');
    expect(message).toContain(field);
  });

  test.each([[null], [[]], ['text'], [7]])('when it is %j', (json) => {
    expect(refusal(json).code).toBe('model-damaged');
  });
});
