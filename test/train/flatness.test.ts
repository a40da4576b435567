import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isQProj } from '../../src/model/weight-names.ts';
import { differences, type FloatTensor, normOf, plus } from '../../src/train/difference.ts';
import { flatness } from '../../src/train/flatness.ts';
import { LossSurface } from '../../src/train/loss-surface.ts';
import {
  example,
  nudged,
  openTinyReading,
  type TinyReading,
  wordScenario,
} from '../reading/tiny-reading.ts';

type FloatTensors = Record<string, FloatTensor>;

let tiny: TinyReading;
let surface: LossSurface;
let weights: FloatTensors;
let move: FloatTensors;

beforeAll(async () => {
  tiny = await openTinyReading();
  weights = nudged(tiny.base, 'trained', 0.2) as FloatTensors;
  move = differences(weights, tiny.base, Object.keys(tiny.base));
  surface = await LossSurface.open({
    reader: tiny.reader,
    executor: tiny.executor,
    fed: isQProj,
    learns: isQProj,
    objective: {
      chosenWeight: 0.3,
      preferenceWeight: 1,
      preference: 'dpo',
      preferenceMargin: 1,
      preferenceBeta: 0.5,
      guardWeight: 1,
    },
    examples: [0, 1, 2].map((i) => example(wordScenario(i))),
    first: tiny.base,
    contexts: weights,
  });
});
afterAll(async () => {
  await surface.close();
  await tiny.close();
});

describe('the loss surface', () => {
  it('has the gradient of finite differences along a random direction', async () => {
    const gradient = await surface.gradient(weights);
    const direction = differences(nudged(tiny.base, 'u', 1), tiny.base, Object.keys(move));
    const h = 0.02 / normOf(direction);
    const high = await surface.loss(plus(weights, direction, h));
    const low = await surface.loss(plus(weights, direction, -h));
    let slope = 0;
    for (const [name, { data }] of Object.entries(gradient)) {
      data.forEach((g, i) => {
        slope += g * (direction[name]?.data[i] as number);
      });
    }
    expect((high - low) / (2 * h) / slope).toBeCloseTo(1, 1);
  });

  it('has −log σ(0) and no guard at the first weights', async () => {
    const first = tiny.base as FloatTensors;
    const own = await LossSurface.open({
      reader: tiny.reader,
      executor: tiny.executor,
      fed: isQProj,
      learns: isQProj,
      objective: {
        chosenWeight: 0,
        preferenceWeight: 1,
        preference: 'dpo',
        preferenceMargin: 1,
        preferenceBeta: 0.5,
        guardWeight: 1,
      },
      examples: [example(wordScenario(0))],
      first,
      contexts: first,
    });
    expect(await own.loss(first)).toBeCloseTo(Math.log(2), 4);
    await own.close();
  });
});

describe('flatness', () => {
  const options = { radii: [0.002, 0.01], directions: 2, seed: 1 };

  it('is repeatable, and rises with a small radius', async () => {
    const once = await flatness(surface, { weights, move }, options);
    expect(await flatness(surface, { weights, move }, options)).toEqual(once);
    expect(once.loss).toBeCloseTo(await surface.loss(weights), 6);
    const [near, far] = once.radii;
    expect(near?.rises).toHaveLength(2);
    expect(far?.samGap).toBeGreaterThan(near?.samGap as number);
    expect(Number.isFinite(once.alongMove)).toBe(true);
  });

  it('climbs along the gradient by its norm times the step, for a short step', async () => {
    const one = await flatness(surface, { weights, move }, { ...options, radii: [0.005] });
    const step = 0.005 * normOf(weights);
    expect((one.radii[0]?.samGap as number) / (one.gradientNorm * step)).toBeCloseTo(1, 1);
  });
});
