// The ids that end a reply and the sampling that a model's makers suggest, from its folder
// (generation_config.json, of which this is the only reader) or from the metadata of its GGUF file.
import { join } from 'node:path';
import { z } from 'zod';
import { type GgufFile, readGgufFile } from '../gguf/gguf-file.ts';
import { fromExternal, type SamplingLayer } from '../protocol/sampling.ts';
import { externalSamplingShape } from '../protocol/sampling-schema.ts';
import { ggufPath, invalid, readJson } from './model-file.ts';

export interface GenerationConfig {
  /** From generation_config.json and config.json; none is outside the vocabulary. */
  readonly stopIds: readonly number[];
  /** Tokens that the model knows, where its config says so. */
  readonly vocabularySize: number | undefined;
  /**
   * What the makers say about sampling; a temperature of 0 where `do_sample` is false. Never a
   * repetition penalty: one that a person did not ask for garbles what has to be repeated.
   */
  readonly sampling: SamplingLayer;
}

const tokenIds = z
  .union([z.int().min(0), z.array(z.int().min(0)).max(1024)])
  .nullish()
  .transform((ids) => (ids == null ? [] : [ids].flat()));

const generationSchema = z.looseObject({
  eos_token_id: tokenIds,
  do_sample: z.boolean().nullish(),
  ...externalSamplingShape,
});
const modelSchema = z.looseObject({
  eos_token_id: tokenIds,
  vocab_size: z.int().min(1).nullish(),
});

/** @throws tokenizer-invalid, model-damaged with the file and the place */
export async function readGenerationConfig(path: string): Promise<GenerationConfig> {
  const file = await ggufPath(path);
  return file === undefined
    ? generationConfigIn(path)
    : generationConfigOf(await readGgufFile(file));
}

/** Source: ggml-org/llama.cpp, gguf-py, constants.py, Keys.General.SAMPLING_*. */
function generationConfigOf(file: GgufFile): GenerationConfig {
  const { path, metadata } = file;
  const sampling = (name: string): unknown => {
    const value = metadata.get(`general.sampling.${name}`);
    // The file has f32 values: 0.6 comes back as 0.6000000238.
    return typeof value === 'number' ? Number(value.toPrecision(7)) : value;
  };
  const external = {
    temperature: sampling('temp'),
    top_k: sampling('top_k'),
    top_p: sampling('top_p'),
    min_p: sampling('min_p'),
  };
  const parsed = z.object(externalSamplingShape).safeParse(external);
  if (!parsed.success) throw invalid(path, `general.sampling: ${parsed.error.issues[0]?.message}.`);
  return {
    stopIds: ggufStopIds(metadata),
    vocabularySize: ggufVocabularySize(file),
    sampling: fromExternal(parsed.data),
  };
}

/** Undefined for a file of a tokenizer alone. */
export function ggufVocabularySize({ tensors }: GgufFile): number | undefined {
  return tensors.get('token_embd.weight')?.shape[0];
}

/** Either file may be absent. */
async function generationConfigIn(dir: string): Promise<GenerationConfig> {
  const generation = await readJson(join(dir, 'generation_config.json'), generationSchema);
  const model = await readJson(join(dir, 'config.json'), modelSchema);
  const ids = [...(generation?.eos_token_id ?? []), ...(model?.eos_token_id ?? [])];
  const vocabularySize = model?.vocab_size ?? undefined;
  const sampling = fromExternal({ ...generation, repetition_penalty: null });
  return {
    stopIds: [...new Set(ids)].filter((id) => id < (vocabularySize ?? id + 1)),
    vocabularySize,
    sampling: generation?.do_sample === false ? { ...sampling, temperature: 0 } : sampling,
  };
}

/** Tokens that end a turn by their name, whatever the file calls its end. Source: llama-vocab.cpp. */
export const TURN_ENDS = [
  '<|eot_id|>',
  '<|im_end|>',
  '<|end|>',
  '<end_of_turn>',
  '<|endoftext|>',
  '<|end_of_text|>',
  '<|eom_id|>',
  '<EOT>',
  '<end_of_utterance>',
];

/** `llama_token_type` of a word; all other types are special. */
const NORMAL = 1;

/** The ids of every token that ends a turn: those that the file names, and those by their name. */
export function ggufStopIds(metadata: GgufFile['metadata']): number[] {
  const tokens = metadata.get('tokenizer.ggml.tokens');
  const types = metadata.get('tokenizer.ggml.token_type');
  if (!Array.isArray(tokens)) return [];
  const ids = ['eos', 'eot', 'eom'].map((key) => metadata.get(`tokenizer.ggml.${key}_token_id`));
  const isSpecial = (id: number): boolean => !Array.isArray(types) || types[id] !== NORMAL;
  const byName = TURN_ENDS.map((name) => tokens.indexOf(name)).filter(
    (id) => id >= 0 && isSpecial(id),
  );
  const named = ids.filter((id) => typeof id === 'number' && id < tokens.length) as number[];
  return [...new Set([...named, ...byName])];
}
