// The rotary embedding that a config.json asks for, in the words of transformers 4 and of 5.
import { z } from 'zod';
import { checked, damaged, isRecord, quote, unsupported } from './checkpoint/refusal.ts';

export type RopeSettings = {
  readonly ropeTheta: number;
  readonly scaling:
    | { readonly type: 'none' }
    | { readonly type: 'linear'; readonly factor: number }
    /** Each of the headDim / 2 frequencies is divided by its own factor (GGUF's `rope_freqs`). */
    | { readonly type: 'factors'; readonly factors: readonly number[] }
    | {
        readonly type: 'llama3';
        readonly factor: number;
        readonly lowFreqFactor: number;
        readonly highFreqFactor: number;
        readonly originalMaxPositionEmbeddings: number;
      }
    | YarnScaling;
};

export interface YarnScaling {
  readonly type: 'yarn';
  readonly factor: number;
  /** Waves that turn more often than this within the original window are kept. */
  readonly betaFast: number;
  /** Waves that turn less often than this are stretched by the whole factor. */
  readonly betaSlow: number;
  readonly originalMaxPositionEmbeddings: number;
  /** Factor on rotated queries and keys. */
  readonly attentionFactor: number;
  /** The bounds between kept and stretched waves are whole numbers. */
  readonly isTruncated: boolean;
}

/** Where the config has none. Source: transformers 5.18, configuration_smollm3.py and others. */
const thetaOf = (type: unknown): number => (type === 'smollm3' ? 2_000_000 : 10_000);
const ROPE_THETA_MAX = 1e12;
const theta = z.number().positive().max(ROPE_THETA_MAX).nullish();
const factor = z
  .number()
  .positive()
  .max(2 ** 20);

/** transformers 4: `rope_theta` and `rope_scaling`; 5: `rope_parameters` with both in it. */
const schema = z.looseObject({
  rope_theta: theta,
  rope_scaling: z.looseObject({}).nullish(),
  rope_parameters: z.looseObject({ rope_theta: theta }).nullish(),
  partial_rotary_factor: z.number().nullish(),
  max_position_embeddings: z.number(),
});

const linear = z.looseObject({ factor });

const factors = z.looseObject({ factors: z.array(factor).min(1).max(1024) });

const llama3 = z
  .looseObject({
    factor,
    low_freq_factor: factor,
    high_freq_factor: factor,
    original_max_position_embeddings: z.int().min(1).nullish(),
  })
  .refine((given) => given.high_freq_factor > given.low_freq_factor, {
    message: 'high_freq_factor must be greater than low_freq_factor',
  });

const yarn = z.looseObject({
  factor: factor.nullish(),
  original_max_position_embeddings: z.int().min(1).nullish(),
  attention_factor: factor.nullish(),
  beta_fast: factor.nullish(),
  beta_slow: factor.nullish(),
  mscale: factor.nullish(),
  mscale_all_dim: factor.nullish(),
  truncate: z.boolean().nullish(),
});

/** @throws model-unsupported naming a rope type that is not implemented, model-damaged */
export function parseRope(config: unknown, where: string): RopeSettings {
  const raw = checked(schema, config, where);
  const given = { ...raw.rope_scaling, ...raw.rope_parameters };
  if (Object.values(given).some(isRecord)) {
    throw unsupported(where, 'a rotary embedding for each layer type is not implemented');
  }
  const partial = given.partial_rotary_factor ?? raw.partial_rotary_factor ?? 1;
  if (partial !== 1) {
    throw unsupported(where, `partial_rotary_factor ${quote(partial)} is not implemented; 1 is`);
  }
  const ropeTheta = raw.rope_parameters?.rope_theta ?? raw.rope_theta ?? thetaOf(raw.model_type);
  const type = given.rope_type ?? given.type ?? 'default';
  if (type === 'default') return { ropeTheta, scaling: { type: 'none' } };
  if (type === 'linear') {
    return { ropeTheta, scaling: { type, factor: checked(linear, given, where).factor } };
  }
  if (type === 'factors') {
    return { ropeTheta, scaling: { type, factors: checked(factors, given, where).factors } };
  }
  if (type === 'yarn') {
    if (ropeTheta <= 1)
      throw damaged(where, 'rope_theta', `YaRN needs more than 1, not ${ropeTheta}`);
    const scaling = yarnScaling(checked(yarn, given, where), raw.max_position_embeddings);
    return { ropeTheta, scaling };
  }
  if (type !== 'llama3') {
    const known = 'default, linear, llama3 and yarn are';
    throw unsupported(where, `rope type ${quote(type)} is not implemented; ${known}`);
  }
  const scaling = checked(llama3, given, where);
  return {
    ropeTheta,
    scaling: {
      type,
      factor: scaling.factor,
      lowFreqFactor: scaling.low_freq_factor,
      highFreqFactor: scaling.high_freq_factor,
      originalMaxPositionEmbeddings:
        scaling.original_max_position_embeddings ?? raw.max_position_embeddings,
    },
  };
}

/** Source: transformers 5.18, modeling_rope_utils.py, _compute_yarn_parameters. */
function yarnScaling(given: z.infer<typeof yarn>, positions: number): YarnScaling {
  const { mscale, mscale_all_dim: ofAll } = given;
  const original = given.original_max_position_embeddings ?? positions;
  const factor = given.factor ?? positions / original;
  const growth = (by: number): number => (factor <= 1 ? 1 : 0.1 * by * Math.log(factor) + 1);
  const usual = mscale && ofAll ? growth(mscale) / growth(ofAll) : growth(1);
  return {
    type: 'yarn',
    factor,
    betaFast: given.beta_fast ?? 32,
    betaSlow: given.beta_slow ?? 1,
    originalMaxPositionEmbeddings: original,
    attentionFactor: given.attention_factor ?? usual,
    isTruncated: given.truncate ?? true,
  };
}

/** Positions that a scaling makes of the original ones, whatever else the config says; 0 = none. */
export function stretchedPositions({ scaling }: RopeSettings): number {
  if (scaling.type !== 'yarn') return 0;
  return Math.floor(scaling.factor * scaling.originalMaxPositionEmbeddings);
}
