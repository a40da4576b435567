// What the metadata of a GGUF file say about a model, in the words of a config.json; no files.
import { type GgufFile, type GgufValue, ggufDamaged, ggufUnsupported } from '../gguf/gguf-file.ts';
import type { Family } from './config.ts';

/** `general.architecture` → our family. Mistral's files are written as `llama`. */
const FAMILY_OF: Readonly<Record<string, Family>> = {
  llama: 'llama',
  qwen2: 'qwen2',
  qwen3: 'qwen3',
  smollm3: 'smollm3',
  granite: 'granite',
};

/** What llama.cpp calls a family. */
export const architectureOf = (family: Family): string => (family === 'mistral' ? 'llama' : family);

/** Rows of q and k are stored with neighbours paired in these architectures only. */
export const PAIRED_ROWS: readonly string[] = ['llama', 'smollm3', 'granite'];

export interface GgufDescription {
  /** As config.json has it; `parseConfig` reads it. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly hasPairedRows: boolean;
}

type Metadata = GgufFile['metadata'];

/**
 * @param file the first of its parts
 * @throws model-unsupported naming what is not implemented, model-damaged naming a bad key
 */
export function describeGguf({ path, metadata, tensors }: GgufFile): GgufDescription {
  const architecture = text(metadata, 'general.architecture', path);
  refuseOthers(metadata, architecture, path);
  const family = FAMILY_OF[architecture];
  if (family === undefined) {
    const known = Object.keys(FAMILY_OF).join(', ');
    const reason = `architecture "${architecture}" is not implemented; use one of ${known}`;
    throw ggufUnsupported(path, reason);
  }
  const get = (key: string): GgufValue | undefined => metadata.get(`${architecture}.${key}`);
  const embedding = tensors.get('token_embd.weight');
  const has = (name: string): boolean => tensors.has(`blk.0.${name}`);
  const width = headDim(get, path);
  return {
    hasPairedRows: PAIRED_ROWS.includes(architecture),
    config: {
      model_type: family,
      vocab_size: embedding?.shape[0],
      hidden_size: get('embedding_length'),
      intermediate_size: uniform(get('feed_forward_length'), path, 'feed_forward_length'),
      num_hidden_layers: get('block_count'),
      num_attention_heads: uniform(get('attention.head_count'), path, 'attention.head_count'),
      num_key_value_heads: uniform(get('attention.head_count_kv'), path, 'attention.head_count_kv'),
      head_dim: width,
      max_position_embeddings: get('context_length'),
      rms_norm_eps: get('attention.layer_norm_rms_epsilon'),
      ...rope(get, family, path),
      sliding_window: get('attention.sliding_window') ?? null,
      tie_word_embeddings: !tensors.has('output.weight'),
      attention_bias: has('attn_q.bias'),
      mlp_bias: has('ffn_down.bias'),
      ...multipliers(get, width),
      bos_token_id: metadata.get('tokenizer.ggml.bos_token_id'),
      eos_token_id: metadata.get('tokenizer.ggml.eos_token_id'),
    },
  };
}

function refuseOthers(metadata: Metadata, architecture: string, path: string): void {
  const type = metadata.get('general.type') ?? 'model';
  if (type !== 'model') {
    throw ggufUnsupported(
      path,
      `it holds ${String(type)}, not a model; name the file of its model`,
    );
  }
  const experts = metadata.get(`${architecture}.expert_count`);
  if (typeof experts === 'number' && experts > 0) {
    throw ggufUnsupported(path, `a mixture of ${experts} experts is not implemented`);
  }
}

type Get = (key: string) => GgufValue | undefined;

/** Keys and values of one width, all of it rotated. */
function headDim(get: Get, path: string): number | undefined {
  const keys = get('attention.key_length');
  const values = get('attention.value_length');
  if (values !== undefined && keys !== undefined && values !== keys) {
    const reason = `values of ${String(values)} beside keys of ${String(keys)} are not implemented`;
    throw ggufUnsupported(path, reason);
  }
  const heads = get('attention.head_count');
  const hidden = get('embedding_length');
  const plain =
    typeof heads === 'number' && typeof hidden === 'number' ? hidden / heads : undefined;
  const width = typeof keys === 'number' ? keys : plain;
  const rotated = get('rope.dimension_count');
  if (rotated !== undefined && width !== undefined && rotated !== width) {
    const reason = `a rotation of ${String(rotated)} of ${width} dimensions of a head`;
    throw ggufUnsupported(path, `${reason} is not implemented`);
  }
  return width;
}

function rope(get: Get, family: Family, path: string): Record<string, unknown> {
  const theta = { rope_theta: get('rope.freq_base') ?? 10_000 };
  // llama.cpp takes this for a switch in granite, and for a remark elsewhere.
  if (family === 'granite' && get('rope.scaling.finetuned') === false) {
    throw ggufUnsupported(path, 'a granite model without any rotation is not implemented');
  }
  const type = get('rope.scaling.type') ?? 'none';
  const factor = get('rope.scaling.factor') ?? get('rope.scale_linear');
  if (type === 'none' && (factor === undefined || factor === 1)) return theta;
  if (type === 'linear' || type === 'none') {
    return { ...theta, rope_scaling: { type: 'linear', factor } };
  }
  if (type !== 'yarn') {
    const reason = `rope scaling "${String(type)}" is not implemented; linear and yarn are`;
    throw ggufUnsupported(path, reason);
  }
  for (const [key, usual] of Object.entries(YARN_USUAL)) {
    const value = get(`rope.scaling.${key}`) ?? usual;
    if (value !== usual) {
      throw ggufUnsupported(path, `rope.scaling.${key} ${String(value)} is not implemented`);
    }
  }
  const original_max_position_embeddings = get('rope.scaling.original_context_length');
  const [beta_fast, beta_slow] = [get(`${YARN}beta_fast`), get(`${YARN}beta_slow`)];
  const betas = { beta_fast, beta_slow };
  return { ...theta, rope_scaling: { type, factor, original_max_position_embeddings, ...betas } };
}

const YARN = 'rope.scaling.yarn_';
/** What further keys of YaRN have where they change nothing. Source: gguf 0.19, constants.py. */
const YARN_USUAL = {
  attn_factor: 1,
  yarn_attn_factor: 1,
  yarn_ext_factor: 1,
  yarn_log_multiplier: 0,
};

/** Granite's; llama.cpp divides scores by √headDim where no factor is given. */
function multipliers(get: Get, width: number | undefined): Record<string, unknown> {
  return {
    embedding_multiplier: get('embedding_scale'),
    attention_multiplier: get('attention.scale') ?? (width && 1 / Math.sqrt(width)),
    residual_multiplier: get('residual_scale'),
    logits_scaling: get('logit_scale'),
  };
}

/** A number, or a list with one for each layer that are all the same. */
function uniform(value: GgufValue | undefined, path: string, key: string): unknown {
  if (!Array.isArray(value)) return value;
  const [first] = value;
  if (value.every((one) => one === first)) return first;
  throw ggufUnsupported(path, `layers of different ${key} are not implemented`);
}

function text(metadata: Metadata, key: string, path: string): string {
  const value = metadata.get(key);
  if (typeof value === 'string') return value;
  throw ggufDamaged(path, key, value === undefined ? 'it is not there' : 'not a text');
}
