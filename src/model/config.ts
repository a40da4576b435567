// What a Hugging Face config.json says about a model, checked and in our words; it opens no file.
import { z } from 'zod';
import { checked, damaged, isRecord, quote, unsupported } from './checkpoint/refusal.ts';
import { parseRope, type RopeSettings, stretchedPositions } from './rope-settings.ts';

const ARCHITECTURES = {
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
  smollm3: 'SmolLM3ForCausalLM',
  granite: 'GraniteForCausalLM',
};
export type Family = keyof typeof ARCHITECTURES;

/** Names are Hugging Face's in camelCase; what a config leaves out is filled in. */
export interface ModelConfig {
  readonly family: Family;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly maxPositionEmbeddings: number;
  readonly rmsNormEps: number;
  readonly rope: RopeSettings;
  readonly tieWordEmbeddings: boolean;
  /** Biases of the q, k and v projections. */
  readonly hasQkvBias: boolean;
  /** Bias of the o projection. */
  readonly hasOutputBias: boolean;
  /** Biases of the gate, up and down projections. */
  readonly hasMlpBias: boolean;
  /** RMSNorm of each query and key head before the rotation (Qwen3). */
  readonly hasQkNorm: boolean;
  /** Tokens after which attention would no longer see the first one; null = never. */
  readonly slidingWindow: number | null;
  /** Layers, the first is 0, whose queries and keys are not rotated (SmolLM3). */
  readonly unrotatedLayers: readonly number[];
  /** Factors on embeddings, attention scores, what each half of a layer adds, and logits. */
  readonly scales: {
    readonly embedding: number;
    readonly attention: number;
    readonly residual: number;
    readonly logits: number;
  };
}

/** Above any model that exists; keeps products of sizes exact and graphs of a sane length. */
const SIZE_MAX = 2 ** 24;
const LAYERS_MAX = 1024;

/** Where the key is missing. Source: transformers 5.18, configuration_mistral.py and smollm3. */
const KV_HEADS: Partial<Record<Family, number>> = { mistral: 8, smollm3: 4 };

/** Every fourth layer is not rotated. Source: transformers 5.18, configuration_smollm3.py. */
const SMOLLM3_INTERVAL = 4;

const size = z.int().min(1).max(SIZE_MAX);
const multiplier = z.number().positive().max(SIZE_MAX).default(1);

const schema = z.looseObject({
  model_type: z.string(),
  architectures: z.array(z.string()).nullish(),
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: z.int().min(1).max(LAYERS_MAX),
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  max_position_embeddings: size,
  // Source: transformers 5.18; all families have these defaults.
  rms_norm_eps: z.number().positive().max(1).default(1e-6),
  hidden_act: z.string().default('silu'),
  tie_word_embeddings: z.boolean().nullish(),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  use_sliding_window: z.boolean().default(false),
  sliding_window: size.nullish(),
  max_window_layers: z.int().min(0).nullish(),
  layer_types: z.array(z.string()).max(LAYERS_MAX).nullish(),
  no_rope_layers: z.array(z.int().min(0).max(1)).max(LAYERS_MAX).nullish(),
  no_rope_layer_interval: z.int().min(1).default(SMOLLM3_INTERVAL),
  embedding_multiplier: multiplier,
  attention_multiplier: multiplier,
  residual_multiplier: multiplier,
  logits_scaling: multiplier,
});
type RawConfig = z.infer<typeof schema>;

/**
 * Reads a parsed config.json as transformers 4 and 5 write it.
 * @throws model-unsupported naming what is not implemented, model-damaged naming a bad field
 */
export function parseConfig(json: unknown, where: string): ModelConfig {
  refuseOthers(json, where);
  const raw = checked(schema, json, where);
  const family = raw.model_type as Family;
  const { headDim, numKeyValueHeads } = heads(raw, family, where);
  const rope = parseRope(raw, where);
  const hasLlamaBiases = ['llama', 'smollm3', 'granite'].includes(family);
  return {
    family,
    vocabSize: raw.vocab_size,
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    numHiddenLayers: raw.num_hidden_layers,
    numAttentionHeads: raw.num_attention_heads,
    numKeyValueHeads,
    headDim,
    maxPositionEmbeddings: Math.max(raw.max_position_embeddings, stretchedPositions(rope)),
    rmsNormEps: raw.rms_norm_eps,
    rope,
    tieWordEmbeddings: raw.tie_word_embeddings ?? family === 'smollm3',
    // Qwen2 has these biases always, Mistral never, whatever its config says.
    hasQkvBias: family === 'qwen2' || (family !== 'mistral' && raw.attention_bias),
    hasOutputBias: (hasLlamaBiases || family === 'qwen3') && raw.attention_bias,
    hasMlpBias: hasLlamaBiases && raw.mlp_bias,
    hasQkNorm: family === 'qwen3',
    slidingWindow: slidingWindow(raw, family, where),
    unrotatedLayers: family === 'smollm3' ? unrotatedLayers(raw, where) : [],
    scales:
      family === 'granite'
        ? {
            embedding: raw.embedding_multiplier,
            attention: raw.attention_multiplier,
            residual: raw.residual_multiplier,
            logits: 1 / raw.logits_scaling,
          }
        : { embedding: 1, attention: 1 / Math.sqrt(headDim), residual: 1, logits: 1 },
  };
}

export const QUANTIZED =
  'the checkpoint is quantized; use its F32, F16 or BF16 original, or a GGUF file of the model';

/** What cannot be run is named before its other fields are looked at: they may well be foreign. */
function refuseOthers(json: unknown, where: string): void {
  if (!isRecord(json)) throw damaged(where, '(root)', 'not a JSON object');
  const { model_type: type, architectures, hidden_act: activation } = json;
  if (typeof type !== 'string' || !Object.hasOwn(ARCHITECTURES, type)) {
    const known = Object.keys(ARCHITECTURES).join(', ');
    throw unsupported(where, `model_type ${quote(type)} is not implemented; use one of ${known}`);
  }
  const architecture = ARCHITECTURES[type as Family];
  if (Array.isArray(architectures) && !architectures.includes(architecture)) {
    const found = quote(architectures[0]);
    throw unsupported(where, `architecture ${found} is not implemented; ${architecture} is needed`);
  }
  // `quantization`: MLX.
  const { quantization_config, compression_config, quantization } = json;
  if ([quantization_config, compression_config, quantization].some((value) => value != null)) {
    throw unsupported(where, QUANTIZED);
  }
  if (activation !== undefined && activation !== 'silu' && activation !== 'swish') {
    throw unsupported(where, `hidden_act ${quote(activation)} is not implemented; silu is`);
  }
}

function heads(raw: RawConfig, family: Family, where: string) {
  const { hidden_size: hidden, num_attention_heads: numHeads } = raw;
  const { num_key_value_heads: given = KV_HEADS[family] } = raw;
  const numKeyValueHeads = given ?? numHeads;
  if (numHeads % numKeyValueHeads !== 0) {
    const reason = `${numHeads} heads are not a multiple of ${numKeyValueHeads} key-value heads`;
    throw damaged(where, 'num_key_value_heads', reason);
  }
  // Source: transformers 5.18, configuration_qwen3.py: 128 unless given, whatever hidden_size is.
  const headDim = raw.head_dim ?? (family === 'qwen3' ? 128 : hidden / numHeads);
  if (!Number.isInteger(headDim)) {
    const reason = `hidden_size ${hidden} is not a multiple of ${numHeads} heads`;
    throw damaged(where, 'num_attention_heads', reason);
  }
  if (headDim % 2 !== 0) {
    throw unsupported(where, `head_dim ${headDim} is odd; the rotation needs pairs`);
  }
  return { headDim, numKeyValueHeads };
}

function slidingWindow(raw: RawConfig, family: Family, where: string): number | null {
  const foreign = raw.layer_types?.find((type) => !/^(full|sliding)_attention$/.test(type));
  if (foreign !== undefined) {
    throw unsupported(where, `layer type ${quote(foreign)} is not implemented`);
  }
  const window = raw.sliding_window ?? null;
  if (raw.layer_types?.includes('sliding_attention')) {
    if (window === null) throw damaged(where, 'sliding_window', 'sliding layers need a size');
    return window;
  }
  if (family === 'llama' || family === 'granite' || raw.layer_types != null) return null;
  if (family === 'mistral') return window;
  if (family === 'smollm3') return raw.use_sliding_window ? window : null;
  // Qwen: the first `max_window_layers` layers see everything, 28 unless given.
  const hasSlidingLayers = raw.num_hidden_layers > (raw.max_window_layers ?? 28);
  return raw.use_sliding_window && hasSlidingLayers ? window : null;
}

function unrotatedLayers(raw: RawConfig, where: string): number[] {
  const { num_hidden_layers: count, no_rope_layer_interval: interval } = raw;
  const isRotated =
    raw.no_rope_layers ?? Array.from({ length: count }, (_, i) => ((i + 1) % interval ? 1 : 0));
  if (isRotated.length !== count) {
    throw damaged(where, 'no_rope_layers', `${isRotated.length} entries for ${count} layers`);
  }
  return [...isRotated.keys()].filter((layer) => isRotated[layer] === 0);
}
