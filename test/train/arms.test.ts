import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Scenario } from '../../src/scenario/scenario.ts';
import { differences, plus } from '../../src/train/difference.ts';
import { FrozenContexts } from '../../src/train/frozen-context.ts';
import { placeboScenarios } from '../../src/train/placebo.ts';
import { epochOrder, learningRate, narrowness } from '../../src/train/schedule.ts';
import {
  example,
  nudged,
  openTinyReading,
  type TinyReading,
  wordScenario,
} from '../reading/tiny-reading.ts';

// A model is trained.
vi.setConfig({ testTimeout: 60_000 });

let tiny: TinyReading;
beforeAll(async () => {
  tiny = await openTinyReading();
});
afterAll(() => tiny.close());

const scenarios = [0, 1, 2, 3, 4, 5].map((i) => wordScenario(i));
const last = (s: Scenario): string => s.messages.at(-1)?.content ?? '';

describe('the placebo', () => {
  it('has every direction from another source, and the candidates as they are', () => {
    const placebo = placeboScenarios(scenarios, 1);
    for (const [i, scenario] of placebo.entries()) {
      expect(last(scenario)).not.toBe(last(scenarios[i] as Scenario));
      expect(scenario.chosen).toBe(scenarios[i]?.chosen);
    }
    expect(placeboScenarios(scenarios, 1)).toEqual(placebo);
    expect(placeboScenarios(scenarios, 2)).not.toEqual(placebo);
  });

  it('of one source only stays as it is, for there is nothing to exchange', () => {
    expect(placeboScenarios(scenarios.slice(0, 1), 1)).toEqual(scenarios.slice(0, 1));
  });
});

describe('a difference', () => {
  it('leads from the weights before to those after', () => {
    const after = nudged(tiny.base, 'move');
    const delta = differences(after, tiny.base, Object.keys(tiny.base));
    const back = plus(tiny.base, delta);
    const name = 'layers.0.qProj';
    for (const [i, value] of (after[name]?.data ?? []).entries()) {
      expect(back[name]?.data[i]).toBeCloseTo(value, 5);
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
