import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { meanMargin } from '../../src/reading/scenario-margin.ts';
import type { Scenario } from '../../src/scenario/scenario.ts';
import { armScenarios, isFiniteDelta, rescaled } from '../../src/train/arms.ts';
import { differences, type FloatTensor, normOf, plus } from '../../src/train/difference.ts';
import { FrozenContexts } from '../../src/train/frozen-context.ts';
import { epochOrder, learningRate, narrowness } from '../../src/train/schedule.ts';
import { scoreWithBias, trainSurface } from '../../src/train/surface.ts';
import {
  example,
  nudged,
  openTinyReading,
  type TinyReading,
  wordScenario,
} from '../reading/tiny-reading.ts';

let tiny: TinyReading;
beforeAll(async () => {
  tiny = await openTinyReading();
});
afterAll(() => tiny.close());

const scenarios = [0, 1, 2, 3, 4, 5].map((i) => wordScenario(i));
const last = (s: Scenario): string => s.messages.at(-1)?.content ?? '';

describe('placebo arms', () => {
  it('deaf: every direction is another source’s, candidates stay', () => {
    const deaf = armScenarios('deaf', scenarios, 1);
    for (const [i, scenario] of deaf.entries()) {
      expect(last(scenario)).not.toBe(last(scenarios[i] as Scenario));
      expect(scenario.chosen).toBe(scenarios[i]?.chosen);
    }
    expect(armScenarios('deaf', scenarios, 1)).toEqual(deaf);
  });

  it('sham: exactly half of the labels are exchanged', () => {
    const sham = armScenarios('sham', scenarios, 1);
    const swapped = sham.filter((s, i) => s.chosen === scenarios[i]?.rejected);
    expect(swapped).toHaveLength(3);
    expect(armScenarios('real', scenarios, 1)).toEqual(scenarios);
  });

  it('deaf with one source only stays as it is, for there is nothing to exchange', () => {
    expect(armScenarios('deaf', scenarios.slice(0, 1), 1)).toEqual(scenarios.slice(0, 1));
  });

  it('are brought to the same norm', () => {
    const after = nudged(tiny.base, 'move');
    const delta = differences(after, tiny.base, Object.keys(tiny.base));
    expect(normOf(rescaled(delta, 3))).toBeCloseTo(3, 4);
    expect(normOf(rescaled(rescaled(delta, 0), 3))).toBe(0);
    const back = plus(tiny.base, delta, 1);
    const name = 'layers.0.qProj';
    for (const [i, value] of (after[name]?.data ?? []).entries()) {
      expect(back[name]?.data[i]).toBeCloseTo(value, 5);
    }
    expect(isFiniteDelta(delta)).toBe(true);
    const broken = { x: { ...(delta[name] as FloatTensor), data: Float32Array.of(Number.NaN) } };
    expect(isFiniteDelta(broken)).toBe(false);
  });
});

describe('the surface arm', () => {
  it('learns which words to say and nothing about contexts: crossed pairs stay at one right', async () => {
    const pairs = scenarios.slice(0, 3).flatMap((a, i) => {
      const { chosen, rejected = '' } = a;
      const b = { ...a, id: `${a.id}b`, chosen: rejected, rejected: chosen };
      return [
        { ...a, pair: { id: `p${i}`, side: 'a' as const } },
        { ...b, pair: { id: `p${i}`, side: 'b' as const } },
      ];
    });
    const plain = scenarios.map(example);
    const settings = { epochs: 4, rate: 0.1, beta: 0.1, chosenWeight: 0.3, seed: 1 };
    const bias = await trainSurface(tiny.reader, plain, tiny.base, settings);
    const before = await meanMargin(tiny.reader, plain, tiny.base);
    const after = await scoreWithBias(tiny.reader, plain, tiny.base, bias);
    const mean = after.reduce((total, { margin }) => total + margin.perToken, 0) / after.length;
    expect(mean).toBeGreaterThan(before + 0.2);
    const crossed = await scoreWithBias(tiny.reader, pairs.map(example), tiny.base, bias);
    for (let i = 0; i < crossed.length; i += 2) {
      const sum = (crossed[i]?.margin.total ?? 0) + (crossed[i + 1]?.margin.total ?? 0);
      expect(sum).toBeCloseTo(0, 3);
    }
  });
});

describe('frozen contexts', () => {
  it('are kept within the budget, least recently used first, and run again to the same bits', async () => {
    const one = example(scenarios[0] as Scenario);
    const contexts = new FrozenContexts(tiny.reader, tiny.base, 1_000_000);
    const read = async (): Promise<unknown> =>
      contexts.with(one, async ({ values }) => (await values['past.0.key']?.read())?.data.slice());
    const first = await read();
    const bytes = contexts.keptBytes;
    expect(bytes).toBeGreaterThan(0);
    for (const scenario of scenarios.slice(1))
      await contexts.with(example(scenario), async () => {});
    expect(contexts.keptBytes).toBeGreaterThan(bytes);
    contexts.release();
    expect(contexts.keptBytes).toBe(0);
    expect(await read()).toEqual(first);
    const small = new FrozenContexts(tiny.reader, tiny.base, bytes * 2);
    for (const scenario of scenarios) await small.with(example(scenario), async () => {});
    expect(small.keptBytes).toBeLessThanOrEqual(bytes * 2);
    contexts.release();
    small.release();
  });

  it('see how far they are behind the weights', async () => {
    const contexts = new FrozenContexts(tiny.reader, tiny.base, 1_000_000);
    const probes = scenarios.slice(0, 2).map(example);
    expect(await contexts.drift(probes, tiny.base)).toBe(0);
    const near = await contexts.drift(probes, nudged(tiny.base, 'drift', 0.02));
    const far = await contexts.drift(probes, nudged(tiny.base, 'drift', 1));
    expect(near).toBeGreaterThan(0);
    expect(far).toBeGreaterThan(near);
    contexts.renew(nudged(tiny.base, 'drift', 1));
    expect(await contexts.drift(probes, nudged(tiny.base, 'drift', 1))).toBe(0);
    contexts.release();
  });
});

describe('the schedule', () => {
  it('warms up, then decays to nothing', () => {
    const rates = Array.from({ length: 11 }, (_, step) =>
      learningRate(step, { peak: 1, warmupSteps: 4, steps: 10 }),
    );
    expect(rates[0]).toBeCloseTo(0.2);
    expect(Math.max(...rates)).toBe(1);
    expect(rates[10]).toBe(0);
    for (let i = 5; i < 11; i++) expect(rates[i]).toBeLessThan(rates[i - 1] as number);
  });

  it('goes from broad to narrow in the first epoch and shuffles later ones', () => {
    const broad = wordScenario(1, { spans: [], chosen: 'all other words', rejected: 'no' });
    const narrow = wordScenario(2, { chosen: 'take the red one', rejected: 'take the blue one' });
    expect(narrowness(narrow)).toBeGreaterThan(narrowness(broad));
    const many = [...Array(20).fill(narrow), ...Array(20).fill(broad)];
    const order = epochOrder(many, 0, 1);
    const early = order.slice(0, 20).filter((index) => index >= 20).length;
    expect(early).toBeGreaterThan(14);
    expect([...epochOrder(many, 1, 1)].sort((a, b) => a - b)).toEqual(
      [...order].sort((a, b) => a - b),
    );
    expect(epochOrder(many, 1, 1)).not.toEqual(epochOrder(many, 2, 1));
  });

  it('puts both sides of a pair into one step of even size, in every epoch', () => {
    const sides = Array.from({ length: 12 }, (_, i) => {
      const pair = { id: `${i % 6}`, side: i < 6 ? ('a' as const) : ('b' as const) };
      return wordScenario(i, { pair });
    });
    const all = [...sides, ...Array.from({ length: 5 }, (_, i) => wordScenario(20 + i))];
    const places = [0, 1, 2, 3].flatMap((epoch) => epochOrder(all, epoch, 7));
    const stepOf = (place: number): number => Math.floor(place / 2);
    for (const [place, index] of places.entries()) {
      if (index >= 6) continue;
      const epoch = Math.floor(place / all.length);
      const other = places.indexOf(index + 6, epoch * all.length);
      expect(stepOf(other)).toBe(stepOf(place));
    }
  });
});
