// The rotary embedding that a config.json asks for, in the words of transformers 4 and of 5.
import { z } from 'zod';
import { checked, isRecord, quote, unsupported } from './checkpoint/refusal.ts';

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
      };
};

const ROPE_THETA_DEFAULT = 10_000;
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
  const ropeTheta = raw.rope_parameters?.rope_theta ?? raw.rope_theta ?? ROPE_THETA_DEFAULT;
  const type = given.rope_type ?? given.type ?? 'default';
  if (type === 'default') return { ropeTheta, scaling: { type: 'none' } };
  if (type === 'linear') {
    return { ropeTheta, scaling: { type, factor: checked(linear, given, where).factor } };
  }
  if (type === 'factors') {
    return { ropeTheta, scaling: { type, factors: checked(factors, given, where).factors } };
  }
  if (type !== 'llama3') {
    const known = 'default, linear and llama3 are';
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
