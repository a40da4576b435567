// Writes a Llama as GGUF, so that llama.cpp runs the very same weights; for the bench only.
import { open } from 'node:fs/promises';
import { type Model, readWeight } from '../src/model/model.ts';

/** Source: ggml's docs/gguf.md, version 3. */
const MAGIC = 0x46554747;
const VERSION = 3;
const ALIGNMENT = 32;
const F32 = 0;
const VALUE = { u32: 4, i32: 5, f32: 6, string: 8, array: 9 } as const;

class Bytes {
  readonly #parts: Buffer[] = [];
  size = 0;

  push(part: Buffer): this {
    this.#parts.push(part);
    this.size += part.length;
    return this;
  }

  u32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeUInt32LE(value);
    return this.push(part);
  }

  u64(value: number): this {
    const part = Buffer.alloc(8);
    part.writeBigUInt64LE(BigInt(value));
    return this.push(part);
  }

  f32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeFloatLE(value);
    return this.push(part);
  }

  string(text: string): this {
    const part = Buffer.from(text, 'utf8');
    return this.u64(part.length).push(part);
  }

  all(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

type Field = readonly [name: string, type: 'u32' | 'f32' | 'string', value: number | string];

/** Llama's norms, projections and tied embedding under llama.cpp's names. */
const NAMES: Readonly<Record<string, string>> = {
  inputLayernorm: 'attn_norm',
  qProj: 'attn_q',
  kProj: 'attn_k',
  vProj: 'attn_v',
  oProj: 'attn_output',
  postAttentionLayernorm: 'ffn_norm',
  gateProj: 'ffn_gate',
  upProj: 'ffn_up',
  downProj: 'ffn_down',
};

/** What a head says of a Llama. */
export type LlamaShape = Pick<Model, 'config' | 'windowTokens'>;

export interface WrittenTensor {
  /** Ours. */
  readonly name: string;
  readonly shape: readonly number[];
  /** llama.cpp's number of its type. */
  readonly type: number;
  readonly length: number;
  readonly pieces: () => AsyncIterable<Uint8Array>;
}

/** The weights of a model, in f32. */
export async function writeGguf(model: Model, path: string): Promise<void> {
  const tensors = [...model.weights.values()].map(
    (weight): WrittenTensor => ({
      ...{ name: weight.name, shape: weight.shape, type: F32 },
      length: 4 * weight.shape.reduce((total, size) => total * size, 1),
      async *pieces() {
        const data = permuted(weight.name, await readWeight(weight), model);
        yield Buffer.from(data.buffer, data.byteOffset, data.byteLength);
      },
    }),
  );
  await writeTensors(model, tensors, path);
}

export async function writeTensors(
  shape: LlamaShape,
  tensors: readonly WrittenTensor[],
  path: string,
): Promise<void> {
  const head = new Bytes().u32(MAGIC).u32(VERSION).u64(tensors.length);
  const fields = fieldsOf(shape);
  head.u64(fields.length + 3);
  for (const field of fields) writeField(head, field);
  writeVocabulary(head, shape.config.vocabSize);
  let offset = 0;
  for (const { name, shape: sizes, type, length } of tensors) {
    head.string(nameOf(name)).u32(sizes.length);
    for (const size of sizes.toReversed()) head.u64(size);
    head.u32(type).u64(offset);
    offset += aligned(length);
  }
  const file = await open(path, 'w');
  await file.appendFile(head.all());
  await file.appendFile(Buffer.alloc(aligned(head.size) - head.size));
  for (const { length, pieces } of tensors) {
    for await (const piece of pieces()) await file.appendFile(piece);
    await file.appendFile(Buffer.alloc(aligned(length) - length));
  }
  await file.close();
}

const aligned = (size: number): number => Math.ceil(size / ALIGNMENT) * ALIGNMENT;

function fieldsOf({ config, windowTokens }: LlamaShape): Field[] {
  return [
    ['general.architecture', 'string', 'llama'],
    ['general.name', 'string', 'bench'],
    ['llama.block_count', 'u32', config.numHiddenLayers],
    ['llama.context_length', 'u32', windowTokens],
    ['llama.embedding_length', 'u32', config.hiddenSize],
    ['llama.feed_forward_length', 'u32', config.intermediateSize],
    ['llama.attention.head_count', 'u32', config.numAttentionHeads],
    ['llama.attention.head_count_kv', 'u32', config.numKeyValueHeads],
    ['llama.attention.layer_norm_rms_epsilon', 'f32', config.rmsNormEps],
    ['llama.rope.dimension_count', 'u32', config.headDim],
    ['llama.rope.freq_base', 'f32', config.rope.ropeTheta],
    ['llama.vocab_size', 'u32', config.vocabSize],
    ['tokenizer.ggml.model', 'string', 'llama'],
    ['tokenizer.ggml.bos_token_id', 'u32', 1],
    ['tokenizer.ggml.eos_token_id', 'u32', 2],
  ];
}

function writeField(to: Bytes, [name, type, value]: Field): void {
  to.string(name).u32(VALUE[type]);
  if (type === 'string') to.string(value as string);
  else if (type === 'f32') to.f32(value as number);
  else to.u32(value as number);
}

/** Names that nobody reads: the bench speaks in ids. */
function writeVocabulary(to: Bytes, size: number): void {
  to.string('tokenizer.ggml.tokens').u32(VALUE.array).u32(VALUE.string).u64(size);
  for (let id = 0; id < size; id++) {
    const byte = id - 3;
    const isByte = byte >= 0 && byte < 256;
    const name = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
    to.string(id < 3 ? (['<unk>', '<s>', '</s>'][id] as string) : isByte ? name : `t${id}`);
  }
  to.string('tokenizer.ggml.scores').u32(VALUE.array).u32(VALUE.f32).u64(size);
  for (let id = 0; id < size; id++) to.f32(-id);
  to.string('tokenizer.ggml.token_type').u32(VALUE.array).u32(VALUE.i32).u64(size);
  for (let id = 0; id < size; id++) to.u32(id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1);
}

function nameOf(name: string): string {
  if (name === 'embedTokens') return 'token_embd.weight';
  if (name === 'norm') return 'output_norm.weight';
  if (name === 'lmHead') return 'output.weight';
  const [, layer, part] = name.split('.') as [string, string, string];
  const theirs = NAMES[part];
  if (theirs === undefined) throw new Error(`${name} has no place in llama.cpp's Llama`);
  return `blk.${layer}.${theirs}.weight`;
}

/**
 * llama.cpp turns neighbours where Hugging Face turns halves: rows of W_q and W_k change places.
 * Source: llama.cpp, convert_hf_to_gguf.py, LlamaModel.permute.
 */
function permuted(name: string, values: Float32Array, { config }: Model): Float32Array {
  const isQuery = name.endsWith('.qProj');
  if (!isQuery && !name.endsWith('.kProj')) return values;
  const heads = isQuery ? config.numAttentionHeads : config.numKeyValueHeads;
  const half = config.headDim / 2;
  const width = config.hiddenSize;
  const result = new Float32Array(values.length);
  for (let row = 0; row < heads * config.headDim; row++) {
    const [head, at] = [Math.floor(row / config.headDim), row % config.headDim];
    const from = head * config.headDim + (at % 2) * half + (at >> 1);
    result.set(values.subarray(from * width, (from + 1) * width), row * width);
  }
  return result;
}
