import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  eachSampling,
  fromExternal,
  GREEDY,
  resolveSampling,
  SAMPLING,
  SAMPLING_NAMES,
} from '../../src/protocol/sampling.ts';
import { externalSamplingShape, samplingShape } from '../../src/protocol/sampling-schema.ts';

const BUILT_IN = { temperature: 0.7, topK: 40, topP: 0.95, minP: 0, repetitionPenalty: 1 };

describe('sampling settings', () => {
  it('of a later layer win, one by one, over earlier ones and over what is built in', () => {
    const model = { temperature: 0.6, topK: 20 };
    const person = { temperature: 0.2, topK: undefined };
    expect(resolveSampling([])).toEqual(BUILT_IN);
    expect(resolveSampling([model, { topP: 0.5 }])).toEqual({ ...BUILT_IN, ...model, topP: 0.5 });
    expect(resolveSampling([model, person, { temperature: 1 }]).topK).toBe(20);
  });

  it('with a temperature of 0 are greedy, whatever was said before it', () => {
    const penalty = { repetitionPenalty: 1.3, topK: 20, temperature: 0.9 };
    expect(resolveSampling([penalty, { temperature: 0 }])).toEqual(GREEDY);
    const own = { temperature: 0, repetitionPenalty: 1.2 };
    expect(resolveSampling([penalty, own])).toEqual({ ...GREEDY, ...own });
  });

  it('are all off when sampling is greedy', () => {
    const off = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };
    expect(GREEDY).toEqual(off);
  });

  it('keep within their own bounds where they are built in or off', () => {
    for (const name of SAMPLING_NAMES) {
      const { builtIn, off } = SAMPLING[name];
      expect(samplingShape[name].parse(builtIn)).toBe(builtIn);
      expect(samplingShape[name].parse(off)).toBe(off);
    }
  });

  it.each([
    ['temperature', 5.1],
    ['temperature', Number.NaN],
    ['topK', 1.5],
    ['topK', -1],
    ['topP', 1.01],
    ['minP', -0.1],
    ['repetitionPenalty', 0],
    ['repetitionPenalty', 10.1],
  ] as const)('refuse a %s of %s', (name, value) => {
    expect(samplingShape[name].safeParse(value).success).toBe(false);
  });

  it('have the names of Hugging Face and OpenAI outside', () => {
    expect(Object.keys(externalSamplingShape)).toEqual([
      ...['temperature', 'top_p', 'top_k', 'min_p', 'repetition_penalty'],
    ]);
    const read = z.object(externalSamplingShape).parse({ top_p: 0.5, top_k: null });
    expect(resolveSampling([fromExternal(read)])).toEqual({ ...BUILT_IN, topP: 0.5 });
  });

  it('are described, each in words of its own', () => {
    const texts = Object.values(eachSampling(({ description }) => description));
    expect(new Set(texts).size).toBe(SAMPLING_NAMES.length);
  });
});
