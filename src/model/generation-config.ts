// generation_config.json: the ids that end a reply and the sampling its makers suggest; no files.
import { z } from 'zod';
import { checked } from './checkpoint/refusal.ts';
import { type ModelConfig, tokenIds } from './config.ts';

/** Sampling values are null where the makers suggest nothing. */
export interface GenerationDefaults {
  readonly bosTokenId: number | null;
  /** From generation_config.json, else from config.json. */
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
  /** 0 where `do_sample` is false. */
  readonly temperature: number | null;
  readonly topK: number | null;
  readonly topP: number | null;
  readonly minP: number | null;
  readonly repetitionPenalty: number | null;
}

const share = z.number().min(0).max(1).nullish();

const schema = z.looseObject({
  bos_token_id: tokenIds,
  eos_token_id: tokenIds,
  pad_token_id: tokenIds,
  do_sample: z.boolean().nullish(),
  temperature: z.number().min(0).max(100).nullish(),
  top_k: z.int().min(0).nullish(),
  top_p: share,
  min_p: share,
  repetition_penalty: z.number().positive().max(100).nullish(),
});

/** `json` is undefined where the folder has no such file. @throws model-damaged */
export function parseGenerationConfig(
  json: unknown,
  config: ModelConfig,
  where: string,
): GenerationDefaults {
  const raw = checked(schema, json ?? {}, where);
  const ids = raw.eos_token_id.length > 0 ? raw.eos_token_id : config.eosTokenIds;
  return {
    bosTokenId: raw.bos_token_id[0] ?? config.bosTokenId,
    eosTokenIds: [...new Set(ids)].filter((id) => id < config.vocabSize),
    padTokenId: raw.pad_token_id[0] ?? config.padTokenId,
    temperature: raw.do_sample === false ? 0 : (raw.temperature ?? null),
    topK: raw.top_k ?? null,
    topP: raw.top_p ?? null,
    minP: raw.min_p ?? null,
    repetitionPenalty: raw.repetition_penalty ?? null,
  };
}
