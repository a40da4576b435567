// Writes a Llama with random weights as a Hugging Face folder, so that tests and bench need no download.
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createRandom } from '../../src/base/random.ts';
import { writeSafetensors } from '../../src/model/checkpoint/safetensors-writer.ts';

export interface RandomModelShape {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly vocabularySize: number;
  readonly windowTokens: number;
}

/** 13.9 million weights. */
export const LLAMA_14M: RandomModelShape = {
  hiddenSize: 384,
  intermediateSize: 1024,
  layers: 8,
  heads: 6,
  kvHeads: 2,
  vocabularySize: 6144,
  windowTokens: 2304,
};

/** Writes the folder once; the same shape and seed give the same bytes. @returns `dir` */
export async function writeRandomModel(
  dir: string,
  shape: RandomModelShape,
  seed = 1,
): Promise<string> {
  if (existsSync(join(dir, 'model.safetensors'))) return dir;
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'config.json'), `${JSON.stringify(configOf(shape), null, 2)}\n`);
  const random = createRandom(seed);
  const tensors = shapesOf(shape).map(({ name, shape: size }) => ({
    name,
    dtype: 'F32' as const,
    shape: size,
    pieces: [weightsOf(name, size)],
  }));
  await writeSafetensors(join(dir, 'model.safetensors'), tensors);
  return dir;

  /** Norms are 1; matrices have variance 1 / in, so that activations keep their size. */
  function weightsOf(name: string, size: readonly number[]): Float32Array {
    const count = size.reduce((product, each) => product * each, 1);
    if (size.length === 1) return new Float32Array(count).fill(1);
    const scale = 1 / Math.sqrt(size[1] as number);
    return random.split(name).fillGaussian(new Float32Array(count), scale);
  }
}

function configOf(shape: RandomModelShape): object {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: shape.vocabularySize,
    hidden_size: shape.hiddenSize,
    intermediate_size: shape.intermediateSize,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    head_dim: shape.hiddenSize / shape.heads,
    max_position_embeddings: shape.windowTokens,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    hidden_act: 'silu',
    attention_bias: false,
    mlp_bias: false,
    tie_word_embeddings: true,
    torch_dtype: 'float32',
    bos_token_id: 1,
    eos_token_id: 2,
  };
}

function shapesOf(shape: RandomModelShape): { name: string; shape: number[] }[] {
  const { hiddenSize: hidden, intermediateSize: inner } = shape;
  const kv = (hidden / shape.heads) * shape.kvHeads;
  const layer = (i: number) =>
    [
      ['input_layernorm', [hidden]],
      ['self_attn.q_proj', [hidden, hidden]],
      ['self_attn.k_proj', [kv, hidden]],
      ['self_attn.v_proj', [kv, hidden]],
      ['self_attn.o_proj', [hidden, hidden]],
      ['post_attention_layernorm', [hidden]],
      ['mlp.gate_proj', [inner, hidden]],
      ['mlp.up_proj', [inner, hidden]],
      ['mlp.down_proj', [hidden, inner]],
    ].map(([name, size]) => ({
      name: `model.layers.${i}.${name as string}.weight`,
      shape: size as number[],
    }));
  return [
    { name: 'model.embed_tokens.weight', shape: [shape.vocabularySize, hidden] },
    ...Array.from({ length: shape.layers }, (_, i) => layer(i)).flat(),
    { name: 'model.norm.weight', shape: [hidden] },
  ];
}
