// generation_config.json of a model folder: the ids that end a reply and the sampling that its
// makers suggest. The only reader of that file.
import { join } from 'node:path';
import { z } from 'zod';
import { fromExternal, type SamplingLayer } from '../protocol/sampling.ts';
import { externalSamplingShape } from '../protocol/sampling-schema.ts';
import { readJson } from './model-file.ts';

export interface GenerationConfig {
  /** From generation_config.json, else from config.json; none is outside the vocabulary. */
  readonly stopIds: readonly number[];
  /** What the makers say about sampling; a temperature of 0 where `do_sample` is false. */
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

/** Either file may be absent. @throws tokenizer-invalid with the file and the place */
export async function readGenerationConfig(dir: string): Promise<GenerationConfig> {
  const generation = await readJson(join(dir, 'generation_config.json'), generationSchema);
  const model = await readJson(join(dir, 'config.json'), modelSchema);
  const said = generation?.eos_token_id ?? [];
  const ids = said.length > 0 ? said : (model?.eos_token_id ?? []);
  const size = model?.vocab_size ?? Number.POSITIVE_INFINITY;
  const sampling = fromExternal(generation ?? {});
  return {
    stopIds: [...new Set(ids)].filter((id) => id < size),
    sampling: generation?.do_sample === false ? { ...sampling, temperature: 0 } : sampling,
  };
}
