// Writes a model folder in which a version's weights have taken the place of the base's.
import { copyFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writeJsonAtomic } from '../base/atomic-file.ts';
import { systemFileOps } from '../base/file-ops.ts';
import type { HostData } from '../runtime/executor.ts';
import { readJson } from './checkpoint/folder.ts';
import { isRecord, unsupported } from './checkpoint/refusal.ts';
import { writeSafetensors } from './checkpoint/safetensors-writer.ts';
import { type Model, piecesOf, type Weight } from './model.ts';
import type { WeightsVersion } from './versions.ts';

/** What transformers and llama.cpp need beside the weights. */
const COMPANION_FILES = [
  /^(generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$/,
  /^(merges\.txt|tokenizer\.model|chat_template\.jinja|LICENSE.*)$/,
];
const CONFIG_BYTES_MAX = 4 * 2 ** 20;

/**
 * Writes `dir` as a Hugging Face folder in F32 that any program reads, with the version's W_q.
 * @throws model-unsupported (a GGUF file), disk-full, store-failed
 */
export async function exportModel(
  model: Model,
  version: WeightsVersion,
  dir: string,
): Promise<void> {
  if ((await systemFileOps.stat(model.dir))?.isFile === true) {
    const reason = 'it is a GGUF file; export it --as merged-gguf';
    throw unsupported(model.dir, reason);
  }
  await systemFileOps.makeFolder(dir);
  for (const name of await readdir(model.dir)) {
    const isCompanion = COMPANION_FILES.some((pattern) => pattern.test(name));
    if (isCompanion) await copyFile(join(model.dir, name), join(dir, name));
  }
  const config = await readJson(join(model.dir, 'config.json'), CONFIG_BYTES_MAX);
  if (!isRecord(config)) throw new Error(`model: ${model.dir} lost its config.json`);
  const { torch_dtype: _, ...rest } = config;
  await writeJsonAtomic(join(dir, 'config.json'), { ...rest, dtype: 'float32' });
  const tensors = [...model.weights.values()].map((weight) => ({
    name: weight.stored.name,
    dtype: 'F32' as const,
    shape: weight.shape,
    pieces: trainedOf(weight, version) ?? piecesOf(weight),
  }));
  const metadata = { attuneVersion: version.id, attuneBaseHash: model.baseHash };
  await writeSafetensors(join(dir, 'model.safetensors'), tensors, { metadata });
}

function trainedOf({ name }: Weight, { weights }: WeightsVersion): HostData[] | undefined {
  const trained = weights[name];
  return trained === undefined ? undefined : [trained.data];
}
