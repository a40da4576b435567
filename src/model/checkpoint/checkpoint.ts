// The tensors of a model folder, from one safetensors file or from shards with an index.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { notFound, readJson } from './folder.ts';
import { checked, damaged, quote } from './refusal.ts';
import { readSafetensors, type StoredTensor } from './safetensors.ts';

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const INDEX_BYTES_MAX = 64 * 2 ** 20;
const SHARDS_MAX = 4096;

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/**
 * Every tensor of the folder by its name. Only headers are read.
 * @throws model-not-found, model-damaged, model-unsupported
 */
export async function readCheckpoint(dir: string): Promise<ReadonlyMap<string, StoredTensor>> {
  const names = new Set(await readdir(dir));
  if (names.has(SINGLE)) return (await readSafetensors(join(dir, SINGLE))).tensors;
  if (names.has(INDEX)) return readShards(dir);
  throw notFound(`${dir} has no ${SINGLE}; ${hint(names)}`, dir);
}

async function readShards(dir: string): Promise<ReadonlyMap<string, StoredTensor>> {
  const where = join(dir, INDEX);
  const { weight_map: shardOf } = checked(
    indexSchema,
    await readJson(where, INDEX_BYTES_MAX),
    where,
  );
  const shards = [...new Set(Object.values(shardOf))].sort();
  if (shards.length > SHARDS_MAX) throw damaged(where, 'weight_map', `${shards.length} shards`);
  const tensors = new Map<string, StoredTensor>();
  for (const shard of shards) {
    if (!/^[\w-][\w.-]*\.safetensors$/.test(shard)) {
      throw damaged(where, 'weight_map', `${quote(shard)} is not the name of a safetensors file`);
    }
    for (const [name, tensor] of (await readSafetensors(join(dir, shard))).tensors) {
      if (tensors.has(name)) throw damaged(where, name, 'it is in two shards');
      tensors.set(name, tensor);
    }
  }
  for (const [name, shard] of Object.entries(shardOf)) {
    if (!tensors.has(name)) throw damaged(where, name, `${shard} does not hold it`);
  }
  return tensors;
}

/** What to do about a folder that is no model folder. */
export async function hintOf(dir: string): Promise<string> {
  return hint(new Set(await readdir(dir)));
}

function hint(names: ReadonlySet<string>): string {
  const has = (pattern: RegExp): boolean => [...names].some((name) => pattern.test(name));
  if (has(/^adapter_(model|config)/)) {
    return 'it is a LoRA adapter; name the model that it was merged into';
  }
  if (has(/\.gguf$/)) return 'name the GGUF file in it';
  if (has(/^pytorch_model.*\.bin/)) return 'save the model again with safe_serialization=True';
  if (has(/^consolidated.*\.(safetensors|pth)$/)) {
    return "it has Mistral's or Meta's own format; fetch the files of its Hugging Face format";
  }
  return 'is this the folder of a model, and was it fetched whole?';
}
