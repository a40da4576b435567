import { describe, expect, it } from 'vitest';
import { isAttuneError } from '../../src/base/errors.ts';
import { createRandom } from '../../src/base/random.ts';
import { nucleus, Sampler, type Scores } from '../../src/engine/sampling.ts';
import {
  type Adjustment,
  GREEDY as ALL_OFF,
  type SamplingSettings,
} from '../../src/protocol/sampling.ts';
import { fc } from '../property.ts';

const GREEDY: SamplingSettings = { ...ALL_OFF, seed: 1 };

const scratch = (size: number) => new Float64Array(size);

function scored(logits: Float32Array): Scores {
  const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
  return { logits, logSum: Math.log(sum) };
}

function frequencies(settings: SamplingSettings, logits: Float32Array, draws: number): number[] {
  const sampler = new Sampler(settings, []);
  const counts = new Array<number>(logits.length).fill(0);
  for (let i = 0; i < draws; i++) {
    const { id } = sampler.next(scored(logits), scratch(logits.length));
    counts[id] = (counts[id] as number) + 1;
  }
  return counts.map((count) => count / draws);
}

/** Straight from the definitions, with full sorts. */
function reference(weights: number[], { topK, topP, minP }: SamplingSettings): number[] {
  let ids = weights
    .map((_, id) => id)
    .sort((a, b) => (weights[b] ?? 0) - (weights[a] ?? 0) || a - b);
  if (topK > 0) ids = ids.slice(0, topK);
  const total = ids.reduce((sum, id) => sum + (weights[id] ?? 0), 0);
  let mass = 0;
  const kept: number[] = [];
  for (const id of ids) {
    if (kept.length > 0 && mass >= topP * total) break;
    kept.push(id);
    mass += weights[id] ?? 0;
  }
  return (topP < 1 ? kept : ids).filter((id) => (weights[id] ?? 0) >= minP);
}

describe('sampling', () => {
  it('takes the likeliest token when the temperature is 0, the lowest id among equals', () => {
    const choice = new Sampler(GREEDY, []).next(scored(Float32Array.of(1, 3, 3, 2)), scratch(4));
    expect(choice.id).toBe(1);
  });

  it('reports the log-probability of the model, before temperature and penalty', () => {
    const logits = Float32Array.of(Math.log(1), Math.log(3));
    const settings = { ...GREEDY, temperature: 9, repetitionPenalty: 2 };
    const choice = new Sampler(settings, [1]).next(scored(logits), scratch(2));
    expect(choice.logprob).toBeCloseTo(Math.log(choice.id === 1 ? 0.75 : 0.25), 6);
  });

  it('lists the likeliest tokens best first, ties by id', () => {
    const logits = Float32Array.of(0, 2, 1, 2, -1);
    const { top } = new Sampler(GREEDY, []).next(scored(logits), scratch(5), 3);
    expect(top.map((ranked) => ranked.id)).toEqual([1, 3, 2]);
    expect(top[0]?.logprob).toBeGreaterThan(top[2]?.logprob as number);
  });

  it('draws in proportion to the probabilities at temperature 1', () => {
    const logits = Float32Array.from([0.1, 0.2, 0.7], Math.log);
    const seen = frequencies({ ...GREEDY, temperature: 1 }, logits, 20_000);
    for (const [i, p] of [0.1, 0.2, 0.7].entries()) expect(seen[i]).toBeCloseTo(p, 1);
  });

  it('sharpens below temperature 1', () => {
    const logits = Float32Array.from([0.25, 0.75], Math.log);
    const seen = frequencies({ ...GREEDY, temperature: 0.5 }, logits, 20_000);
    expect(seen[1]).toBeCloseTo(0.9, 1);
  });

  it('never draws what top-k, top-p or min-p rule out', () => {
    const logits = Float32Array.from([0.5, 0.3, 0.15, 0.05], Math.log);
    const warm = { ...GREEDY, temperature: 1 };
    const drawn = (settings: SamplingSettings) =>
      frequencies(settings, logits, 2000).flatMap((share, id) => (share > 0 ? [id] : []));
    expect(drawn({ ...warm, topK: 2 })).toEqual([0, 1]);
    expect(drawn({ ...warm, topP: 0.75 })).toEqual([0, 1]);
    expect(drawn({ ...warm, topP: 0.01 })).toEqual([0]);
    expect(drawn({ ...warm, minP: 0.25 })).toEqual([0, 1, 2]);
  });

  it('keeps the same ids as full sorts do, for any weights and settings', () => {
    const weight = fc.double({ min: 0, max: 1, noNaN: true });
    const settings = fc.record({
      topK: fc.integer({ min: 0, max: 12 }),
      topP: fc.double({ min: 0.01, max: 1, noNaN: true }),
      minP: fc.double({ min: 0, max: 0.5, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(weight, { minLength: 1, maxLength: 40 }), settings, (list, filters) => {
        const weights = list.map((w, i) => (i === 0 ? 1 : w ** 6));
        expect(nucleus(Float64Array.from(weights), filters)).toEqual(
          reference(weights, { ...GREEDY, ...filters }),
        );
      }),
    );
  });

  it('divides positive and multiplies negative logits of what was said by the penalty', () => {
    const settings = { ...GREEDY, repetitionPenalty: 2 };
    expect(new Sampler(settings, [0]).next(scored(Float32Array.of(3, 2)), scratch(2)).id).toBe(1);
    expect(new Sampler(settings, [0]).next(scored(Float32Array.of(-1, -1.5)), scratch(2)).id).toBe(
      1,
    );
    const sampler = new Sampler(settings, []);
    const logits = Float32Array.of(3, 2);
    const ids = [0, 1].map(() => sampler.next(scored(logits), scratch(2)).id);
    expect(ids, 'its own reply counts as said').toEqual([0, 1]);
  });

  it('takes penalties off what the reply holds, not what the prompt does, and adds biases', () => {
    const ids = (adjustment: Adjustment, times: number) => {
      const sampler = new Sampler(GREEDY, [0], adjustment);
      const logits = Float32Array.of(3, 2.5, 1);
      return Array.from({ length: times }, () => sampler.next(scored(logits), scratch(3)).id);
    };
    expect(ids({ presencePenalty: 1 }, 3)).toEqual([0, 1, 0]);
    expect(ids({ presencePenalty: -1 }, 3)).toEqual([0, 0, 0]);
    expect(ids({ frequencyPenalty: 0.4 }, 5)).toEqual([0, 0, 1, 0, 1]);
    expect(ids({ bias: [[2, 100]] }, 2)).toEqual([2, 2]);
    expect(ids({ bias: [[0, -100]] }, 2)).toEqual([1, 1]);
  });

  it('repeats a reply for the same seed and differs for another', () => {
    const random = createRandom(7);
    const rows = Array.from({ length: 40 }, () => random.fillGaussian(new Float32Array(50)));
    const reply = (seed: number) => {
      const sampler = new Sampler({ ...GREEDY, temperature: 1, seed }, []);
      return rows.map((row) => sampler.next(scored(row), scratch(50)).id);
    };
    expect(reply(5)).toEqual(reply(5));
    expect(reply(5)).not.toEqual(reply(6));
  });

  it('does not change the logits it is given', () => {
    const logits = Float32Array.of(1, 2, 3);
    new Sampler({ ...GREEDY, temperature: 1, repetitionPenalty: 1.5 }, [0, 1, 2]).next(
      scored(logits),
      scratch(3),
    );
    expect([...logits]).toEqual([1, 2, 3]);
  });

  it.each([
    ['NaN', Float32Array.of(0, Number.NaN)],
    ['only minus infinity', new Float32Array(2).fill(Number.NEGATIVE_INFINITY)],
    ['plus infinity', Float32Array.of(0, Number.POSITIVE_INFINITY)],
  ])('refuses logits with %s', (_, logits) => {
    let thrown: unknown;
    try {
      new Sampler(GREEDY, []).next(scored(logits), scratch(2));
    } catch (error) {
      thrown = error;
    }
    expect(isAttuneError(thrown, 'engine-failed')).toBe(true);
  });
});
