// Tiny models as the hub has them: the files of a folder, and GGUF files of any block type.
import { createRandom } from '../../src/base/random.ts';
import { typeOf } from '../../src/gguf/block-type.ts';
import { ggufBytes, type Metadata, type TensorBytes } from '../gguf/gguf-bytes.ts';
import { encode, type Part } from '../model/bytes.ts';

const HIDDEN = 32;
const WORDS = ['a', 'b', 'ab', '<|im_end|>'];
const LAYER = {
  'input_layernorm.weight': 'attn_norm',
  'post_attention_layernorm.weight': 'ffn_norm',
};
const MATRICES = {
  'self_attn.q_proj.weight': 'attn_q',
  'self_attn.k_proj.weight': 'attn_k',
  'self_attn.v_proj.weight': 'attn_v',
  'self_attn.o_proj.weight': 'attn_output',
  'mlp.gate_proj.weight': 'ffn_gate',
  'mlp.up_proj.weight': 'ffn_up',
  'mlp.down_proj.weight': 'ffn_down',
};
const TEMPLATE = "{% for m in messages %}{{ m['content'] }}<|im_end|>{% endfor %}";

const random = createRandom('weights');
const noise = (bytes: number): Buffer =>
  Buffer.from(Array.from({ length: bytes }, () => random.int(256)));

export const CONFIG = {
  model_type: 'llama',
  vocab_size: WORDS.length,
  hidden_size: HIDDEN,
  intermediate_size: HIDDEN,
  num_hidden_layers: 1,
  num_attention_heads: 1,
  max_position_embeddings: 64,
  tie_word_embeddings: true,
};

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** A model folder; the weights have 16 kB in F16. */
export function folderFiles(): Record<string, Buffer> {
  const part = (...shape: number[]): Part => {
    const elements = shape.reduce((product, size) => product * size, 1);
    return { dtype: 'F16', shape, bytes: noise(2 * elements) };
  };
  const names = [...Object.keys(LAYER), ...Object.keys(MATRICES)];
  const inLayer = names.map((name): [string, Part] => [
    `model.layers.0.${name}`,
    name in LAYER ? part(HIDDEN) : part(HIDDEN, HIDDEN),
  ]);
  const weights = {
    'model.embed_tokens.weight': part(WORDS.length, HIDDEN),
    'model.norm.weight': part(HIDDEN),
    ...Object.fromEntries(inLayer),
  };
  const end = { id: 3, content: '<|im_end|>', special: true };
  const vocab = { a: 0, b: 1, ab: 2 };
  const parts = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };
  const model = { type: 'BPE', vocab, merges: ['a b'] };
  return {
    'config.json': json(CONFIG),
    'tokenizer.json': json({ ...parts, added_tokens: [end], model }),
    'tokenizer_config.json': json({ eos_token: '<|im_end|>', chat_template: TEMPLATE }),
    'model.safetensors': encode(weights),
  };
}

export interface GgufModel {
  /** Of its matrices; the rest is F32. */
  readonly type?: string;
  readonly metadata?: Metadata;
  /** Adds `rope_freqs.weight`, half a head of F32. */
  readonly ropeFactors?: boolean;
  /** Instead of all: none, for a further part of a split file. */
  readonly tensors?: readonly [];
}

export function ggufModel(model: GgufModel = {}): Buffer {
  const { type = 'Q8_0', metadata, ropeFactors, tensors } = model;
  const tensor = (typeName: string, ...sizes: number[]): TensorBytes => {
    const id = TYPE_IDS.find((one) => typeOf(one)?.name === typeName) ?? -1;
    const { blockElements = 1, blockBytes = 4 } = typeOf(id) ?? {};
    const elements = sizes.reduce((product, size) => product * size, 1);
    return { sizes, type: id, bytes: noise((elements / blockElements) * blockBytes) };
  };
  const matrix = Object.values(MATRICES).map((name): [string, TensorBytes] => [
    `blk.0.${name}.weight`,
    tensor(type, HIDDEN, HIDDEN),
  ]);
  const vector = Object.values(LAYER).map((name): [string, TensorBytes] => [
    `blk.0.${name}.weight`,
    tensor('F32', HIDDEN),
  ]);
  const all: Metadata = {
    'general.architecture': 'llama',
    'llama.embedding_length': HIDDEN,
    'llama.feed_forward_length': HIDDEN,
    'llama.block_count': 1,
    'llama.attention.head_count': 1,
    'llama.context_length': 64,
    'llama.attention.layer_norm_rms_epsilon': 0.001,
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'gpt-2',
    'tokenizer.ggml.tokens': WORDS,
    'tokenizer.ggml.token_type': [1, 1, 1, 3],
    'tokenizer.ggml.merges': ['a b'],
    'tokenizer.ggml.eos_token_id': 3,
    'tokenizer.chat_template': TEMPLATE,
    ...metadata,
  };
  return ggufBytes({
    metadata: all,
    tensors:
      tensors !== undefined
        ? {}
        : {
            'token_embd.weight': tensor(type, HIDDEN, WORDS.length),
            'output_norm.weight': tensor('F32', HIDDEN),
            ...Object.fromEntries([...vector, ...matrix]),
            ...(ropeFactors === true ? { 'rope_freqs.weight': ones(HIDDEN / 2) } : {}),
          },
  });
}

const TYPE_IDS = Array.from({ length: 40 }, (_, id) => id);

const ones = (length: number): TensorBytes => ({
  sizes: [length],
  type: 0,
  bytes: new Uint8Array(new Float32Array(length).fill(1).buffer),
});
