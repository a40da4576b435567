// A GGUF file, or the parts of a split one, as a checkpoint: Hugging Face's names, checked config.
import { basename, dirname, join } from 'node:path';
import { partName, partOf } from '../../gguf/file-name.ts';
import { type GgufFile, type GgufTensor, ggufDamaged, readGgufFile } from '../../gguf/gguf-file.ts';
import { templatesOf } from '../../tokenizer/gguf-tokenizer.ts';
import { type ModelConfig, parseConfig } from '../config.ts';
import { describeGguf } from '../gguf-config.ts';
import { realFile } from './folder.ts';
import { damaged, unsupported } from './refusal.ts';
import { readTensor, type StoredTensor } from './safetensors.ts';

export interface GgufCheckpoint {
  readonly config: ModelConfig;
  /** By Hugging Face's names. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly hasChatTemplate: boolean;
}

/** Our name of a tensor outside the layers. Source: gguf 0.19, constants.py, TENSOR_NAMES. */
const OUTER: Readonly<Record<string, string>> = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output_norm.weight': 'model.norm.weight',
  'output.weight': 'lm_head.weight',
};

const INNER: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  attn_output: 'self_attn.o_proj',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};

/** Factors of the rotary frequencies (Llama 3.1 and later), one for each pair of a head. */
export const ROPE_FACTORS = 'rope_freqs.weight';

const PARTS_MAX = 512;

/**
 * Only heads are read, and the factors of the rotation.
 * @throws model-not-found, model-damaged, model-unsupported
 */
export async function readGgufCheckpoint(path: string): Promise<GgufCheckpoint> {
  const files = await readParts(path);
  const first = files[0] as GgufFile;
  const { config: json, hasPairedRows } = describeGguf(first);
  const found = new Map<string, GgufTensor>();
  for (const [name, tensor] of files.flatMap(({ tensors }) => [...tensors])) {
    if (found.has(name)) throw damaged(tensor.path, name, 'it is in two parts');
    found.set(name, tensor);
  }
  const parsed = parseConfig({ ...json, ...(await ropeFactors(found)) }, path);
  const { scaling } = parsed.rope;
  if (scaling.type === 'factors' && scaling.factors.length !== parsed.headDim / 2) {
    throw damaged(path, ROPE_FACTORS, `${scaling.factors.length} for a head of ${parsed.headDim}`);
  }
  return {
    config: parsed,
    tensors: named(found, parsed, hasPairedRows),
    hasChatTemplate: templatesOf(first.metadata).size > 0,
  };
}

/** The parts in their order; the one that was named may be any of them. */
export async function readParts(path: string): Promise<GgufFile[]> {
  const named = await readGgufFile(await realFile(path));
  const count = named.metadata.get('split.count') ?? 1;
  if (count === 1 || count === 0) return [named];
  const own = partOf(basename(path));
  if (typeof count !== 'number' || count > PARTS_MAX || own?.count !== count) {
    const reason = `${String(count)} parts, and the name does not end in -00001-of-0000N.gguf`;
    throw ggufDamaged(path, 'split.count', reason);
  }
  const files: GgufFile[] = [];
  for (let part = 1; part <= count; part++) {
    const place = join(dirname(path), partName(own.stem, part, count));
    const file = await readGgufFile(await realFile(place));
    if (file.metadata.get('split.no') !== part - 1) {
      throw ggufDamaged(file.path, 'split.no', `it is not ${part - 1}`);
    }
    files.push(file);
  }
  return files;
}

async function ropeFactors(found: ReadonlyMap<string, GgufTensor>): Promise<object> {
  const tensor = found.get(ROPE_FACTORS);
  if (tensor === undefined) return {};
  const factors = await readTensor(storedAs(ROPE_FACTORS, tensor));
  return { rope_scaling: { type: 'factors', factors: [...factors] } };
}

const storedAs = (name: string, { type, ...place }: GgufTensor): StoredTensor => ({
  ...place,
  name,
  dtype: type.name,
});

function named(
  found: ReadonlyMap<string, GgufTensor>,
  config: ModelConfig,
  hasPairedRows: boolean,
): ReadonlyMap<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  for (const [ggufName, tensor] of found) {
    if (ggufName === ROPE_FACTORS) continue;
    const name = nameOf(ggufName);
    if (name === undefined) {
      // What such a model does not have would change what it says.
      throw unsupported(tensor.path, `the tensor ${ggufName} is not implemented`);
    }
    const heads = /\.q_proj\./.test(name)
      ? config.numAttentionHeads
      : /\.k_proj\./.test(name)
        ? config.numKeyValueHeads
        : undefined;
    const order = hasPairedRows && heads !== undefined ? { pairedHeads: heads } : {};
    tensors.set(name, { ...storedAs(name, tensor), ...order });
  }
  return tensors;
}

function nameOf(ggufName: string): string | undefined {
  const outer = OUTER[ggufName];
  if (outer !== undefined) return outer;
  const [, layer, part = '', kind] = /^blk\.(\d+)\.([a-z_]+)\.(weight|bias)$/.exec(ggufName) ?? [];
  const inner = INNER[part];
  return inner === undefined ? undefined : `model.layers.${layer}.${inner}.${kind}`;
}
