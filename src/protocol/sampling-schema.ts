// The zod schemas of the sampling settings, made from the one table of them.
import { z } from 'zod';
import { eachExternalSampling, eachSampling, SEED_MAX } from './sampling.ts';

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/** One schema for each setting. */
export const samplingShape = eachSampling((rule) => {
  const number = rule.step === 1 ? z.int() : z.number();
  const bounded = rule.isMinExcluded ? number.gt(rule.min) : number.min(rule.min);
  return (rule.max === undefined ? bounded : bounded.max(rule.max)).describe(
    sentence(rule.description),
  );
});

/** What one place says: each setting may be absent. */
export const samplingLayerShape = eachSampling((_, name) => samplingShape[name].optional());

/** The same under the names of generation_config.json and OpenAI's API, where null is absent. */
export const externalSamplingShape = eachExternalSampling((name) => samplingShape[name].nullish());

export const Seed = z.int().min(0).max(SEED_MAX);
