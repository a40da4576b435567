// An adapter as llama.cpp stores it: a GGUF file of `lora_a` and `lora_b`, q's rows as it has them.
import { writeFileAtomic } from '../../base/atomic-file.ts';
import { type GgufTensor, readGgufFile } from '../../gguf/gguf-file.ts';
import { encodeGguf, type GgufTensorToWrite } from '../../gguf/gguf-writer.ts';
import { realFile } from '../checkpoint/folder.ts';
import { unsupported } from '../checkpoint/refusal.ts';
import { readTensor } from '../checkpoint/safetensors.ts';
import { halvesPaired } from '../checkpoint/weights-cache.ts';
import type { LowRankDelta } from '../delta.ts';
import { architectureOf, PAIRED_ROWS } from '../gguf-config.ts';
import type { Model } from '../model.ts';
import { type Adapter, refuseOthers } from './adapter.ts';
import { type Matrix, product } from './peft.ts';

const BYTES_MAX = 2 ** 31;

/**
 * Writes the file. The factor of the rows is in the order of llama.cpp's own converter.
 * Source: ggml-org/llama.cpp, convert_lora_to_gguf.py.
 */
export async function writeGgufLora(
  path: string,
  { rank, layers }: Adapter,
  { id, config }: Pick<Model, 'id' | 'config'>,
): Promise<void> {
  const architecture = architectureOf(config.family);
  const tensors = [...layers].flatMap(([name, delta]): GgufTensorToWrite[] => {
    const [out, width] = delta.shape;
    const stored = `blk.${/\d+/.exec(name)?.[0]}.attn_q.weight`;
    return [
      { name: `${stored}.lora_a`, shape: [rank, width], data: delta.loraA },
      { name: `${stored}.lora_b`, shape: [out, rank], data: ordered(delta, config, true) },
    ];
  });
  const pairs = {
    'general.architecture': architecture,
    'general.type': 'adapter',
    'general.name': `${id}, W_q of Attune's nights`,
    'adapter.type': 'lora',
    'adapter.lora.alpha': rank,
  };
  await writeFileAtomic(path, encodeGguf(pairs, tensors), undefined, BYTES_MAX);
}

function ordered(
  { shape: [rows], loraB }: Pick<LowRankDelta, 'shape' | 'loraB'>,
  { family, numAttentionHeads: heads }: Model['config'],
  isBack: boolean,
): Float32Array {
  if (!PAIRED_ROWS.includes(architectureOf(family))) return loraB;
  return halvesPaired(loraB, { rows, heads, isBack });
}

/**
 * By our names, with the scale of the adapter in its factors.
 * @throws model-unsupported where it moves other weights than W_q, or belongs to another
 *   architecture; model-damaged
 */
export async function readGgufLora(
  path: string,
  { config }: Pick<Model, 'config'>,
): Promise<Record<string, LowRankDelta>> {
  const file = await readGgufFile(await realFile(path));
  const get = (key: string): unknown => file.metadata.get(key);
  if (get('general.type') !== 'adapter' || get('adapter.type') !== 'lora') {
    throw unsupported(path, 'it is no LoRA adapter');
  }
  const architecture = architectureOf(config.family);
  if (get('general.architecture') !== architecture) {
    const reason = `it is an adapter for ${get('general.architecture')}; the model is ${architecture}`;
    throw unsupported(path, reason);
  }
  refuseOthers(
    path,
    [...file.tensors.keys()].filter((name) => !OURS.test(name)),
  );
  const alpha = Number(get('adapter.lora.alpha') ?? 0);
  const result: Record<string, LowRankDelta> = {};
  for (const name of file.tensors.keys()) {
    const stored = name.replace(/\.lora_[ab]$/, '');
    const ours = `layers.${OURS.exec(name)?.[1]}.qProj`;
    if (ours in result) continue;
    const [a, b] = [file.tensors.get(`${stored}.lora_a`), file.tensors.get(`${stored}.lora_b`)];
    const scale = alpha === 0 ? 1 : alpha / (b?.shape[1] ?? 1);
    const made = product(await matrixOf(a), await matrixOf(b), { path, name: stored, scale });
    result[ours] = { ...made, loraB: ordered(made, config, false) };
  }
  return result;
}

const OURS = /^blk\.(\d+)\.attn_q\.weight\.lora_[ab]$/;

async function matrixOf(tensor: GgufTensor | undefined): Promise<Matrix | undefined> {
  if (tensor === undefined) return undefined;
  const { type, shape } = tensor;
  const values = await readTensor({ ...tensor, dtype: type.name });
  return { shape, data: Float32Array.from(values) };
}
