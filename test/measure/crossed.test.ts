import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import {
  type ArmWeights,
  type JudgedPair,
  listeningOf,
  type PairScore,
  scorePairs,
} from '../../src/measure/crossed.ts';
import type { ContextCache, Reader } from '../../src/reading/reader.ts';
import { overSharedPrefixes } from '../../src/reading/shared-prefix.ts';
import { f32 } from '../../src/runtime/host-tensor.ts';
import type { Scenario } from '../../src/scenario/scenario.ts';
import { wordRenderer } from '../fakes/word-renderer.ts';
import {
  nudged,
  openTinyReading,
  renderer as smallRenderer,
  type TinyReading,
  wordScenario,
} from '../reading/tiny-reading.ts';

// A small model is opened, or many pairs are read.
vi.setConfig({ testTimeout: 60_000 });

/** So many ids that no two words of these have the same. */
const renderer = wordRenderer(1_000_003);
const THINGS = ['tea', 'jam', 'ink', 'oak', 'rye', 'fig', 'yew', 'elk'];

/** The model says `idea`, the person asks for `wanted`, then asks something that names neither. */
function moment(index: number, wanted: string, idea: string): Scenario {
  const direction = `No, take ${wanted} please.`;
  return wordScenario(index, {
    messages: [
      { role: 'user', content: `What shall I get, number ${index}?` },
      { role: 'assistant', content: `Get ${idea} now.` },
      { role: 'user', content: direction },
      { role: 'assistant', content: 'Noted.' },
      { role: 'user', content: 'How do I begin?' },
    ],
    spans: [
      { feature: 'own-idea', message: 1, start: 0, end: `Get ${idea} now.`.length },
      { feature: 'direction', message: 2, start: 0, end: direction.length },
    ],
  });
}

function pair(index: number): JudgedPair {
  const random = createRandom(`things:${index}`);
  const [a = '', b = ''] = random.shuffle(THINGS);
  const beginnings = (thing: string) => [`With ${thing} you`, `For ${thing} I`];
  const side = (wanted: string, other: string) => {
    const scenario = moment(index, wanted, other);
    const rule = scenario.messages;
    return { scenario, rule, right: beginnings(wanted), wrong: beginnings(other) };
  };
  const distance = index % 2 === 0 ? '1' : '2';
  return { id: `p${index}`, cluster: `c${index % 10}`, distance, sides: [side(a, b), side(b, a)] };
}

const pairs = Array.from({ length: 60 }, (_, i) => pair(i));
const idOf = (word: string): number => renderer.renderReply([], word).replyIds[0] as number;
const thingIds = new Map(THINGS.map((thing) => [idOf(thing), thing]));

/** Prefers a thing by a rule over the things that the context names, in order. */
type Taste = (named: readonly string[], thing: string, ids: readonly number[]) => number;
const TASTES: Readonly<Record<string, Taste>> = {
  idea: (named, thing) => Number(named[0] === thing),
  direction: (named, thing) => Number(named[1] === thing),
  /** Of the last message alone: it hears what is said again there, and nothing else. */
  lastLine: (named, thing) => Number(named.length > 2 && named.at(-1) === thing),
  chance: (_, thing, ids) => createRandom(`${ids.join()}:${thing}`).uniform(),
};

const idsOf = new WeakMap<ContextCache['values'], readonly number[]>();
/** A cache that remembers its tokens. */
function remembered(cache: ContextCache, ids: readonly number[]): ContextCache {
  const own = { ...cache, values: { ...cache.values } };
  idsOf.set(own.values, ids);
  return own;
}
const known = (cache: ContextCache | undefined): readonly number[] =>
  (cache && idsOf.get(cache.values)) ?? [];

/** A reader whose weights are the name of a taste. */
const fake: Pick<Reader, 'prefill' | 'logProbabilities'> = {
  async prefill(contextIds, _, onto) {
    const ids = [...known(onto), ...contextIds];
    return remembered({ tokens: ids.length, values: {}, bytes: 0, release: () => undefined }, ids);
  },
  async logProbabilities(cache, candidates, weights) {
    const ids = known(cache);
    const taste = TASTES[Object.keys(weights)[0] ?? ''] as Taste;
    const named = ids.flatMap((id) => thingIds.get(id) ?? []);
    return candidates.map(({ targets }) => {
      const thing = targets.flatMap((id) => thingIds.get(id) ?? [])[0] ?? '';
      return Float32Array.from(targets, () => taste(named, thing, ids) - 2);
    });
  },
};
const weightsOf = (parent: string, candidate: string, placebo?: string): ArmWeights => {
  const one = (name: string) => ({ [name]: f32([1], Float32Array.of(0)) });
  return {
    parent: one(parent),
    candidate: one(candidate),
    ...(placebo === undefined ? {} : { placebo: one(placebo) }),
  };
};
const options = { reader: fake as Reader, renderer, stopIds: [2], barePairs: 10 };
const judged = async (...names: Parameters<typeof weightsOf>) =>
  listeningOf(await scorePairs(pairs, weightsOf(...names), options), { resamples: 300 });

describe('crossed pairs', () => {
  it('give nothing to who repeats the own idea, and all to who listens', async () => {
    const { shares, change, won, lost, beyondPlacebo } = await judged('idea', 'direction', 'idea');
    expect(shares).toMatchObject({ untold: 0, after: 1, placebo: 0 });
    expect(change).toMatchObject({ mean: 1, low: 1, clusters: 10 });
    expect(beyondPlacebo?.p).toBeLessThan(0.01);
    expect([won, lost]).toEqual([60, 0]);
  });

  it('give nothing to who reads the last line only, unless it is told there', async () => {
    const { shares, gap, gapClosed } = await judged('lastLine', 'lastLine');
    expect(shares).toEqual({ untold: 0, rule: 0, told: 1, after: 0 });
    expect(gap.low).toBeGreaterThan(0);
    expect(gapClosed).toBe(0);
  });

  it('give a quarter to chance', async () => {
    const { shares, gapClosed } = await judged('chance', 'chance');
    expect(shares.untold).toBeGreaterThan(0.1);
    expect(shares.untold).toBeLessThan(0.4);
    expect(gapClosed).toBeNull();
  });

  it('are counted by distance, with the mean, the middle and the mean without tails', async () => {
    const { byDistance, margins, pairs: all } = await judged('idea', 'direction');
    expect(byDistance.map(({ distance, pairs: own }) => [distance, own])).toEqual([
      ['1', 30],
      ['2', 30],
    ]);
    expect(all).toBe(60);
    expect(margins.untold?.median).toBeCloseTo(-1, 5);
    expect(margins.after?.trimmed).toBeCloseTo(1, 5);
  });

  it('have a defence gap where the own idea is in the way, and none where it is not', async () => {
    const { defenceGap } = await judged('idea', 'direction');
    // Without the idea only the direction is left, which "idea" then takes for one.
    expect(defenceGap.before).toBeCloseTo(2, 5);
    expect(defenceGap.change.observations).toBe(10);
  });

  it('say nothing of a gap that may be none', () => {
    const score = (i: number, told: number): PairScore => ({
      ...{ id: `${i}`, cluster: `${i}`, distance: '0' },
      margins: { untold: [-1, 1], after: [1, 1], told: [told, told] },
    });
    const few = [score(0, 1), score(1, -1), score(2, -1)];
    expect(listeningOf(few, { resamples: 300 }).gapClosed).toBeNull();
  });
});

describe('contexts that begin alike', () => {
  let tiny: TinyReading;
  beforeAll(async () => {
    tiny = await openTinyReading();
  });
  afterAll(() => tiny.close());

  it('are scored as if each were run by itself, and run their beginning once', async () => {
    const weights = nudged(tiny.base, 'night');
    const two = pairs.slice(0, 2);
    const arms = { parent: tiny.base, candidate: weights };
    let tokens = 0;
    const counting: Reader = {
      ...tiny.reader,
      prefill(ids, under, onto) {
        tokens += ids.length;
        return tiny.reader.prefill(ids, under, onto);
      },
    };
    const apart: Reader = {
      ...tiny.reader,
      async prefill(ids, under, onto) {
        const all = [...known(onto), ...ids];
        return remembered(await tiny.reader.prefill(all, under), all);
      },
    };
    const shared = await scorePairs(two, arms, {
      ...options,
      renderer: smallRenderer,
      reader: counting,
    });
    const single = await scorePairs(two, arms, {
      ...options,
      renderer: smallRenderer,
      reader: apart,
    });
    for (const [i, { margins }] of shared.entries()) {
      for (const [reading, both] of Object.entries(margins)) {
        const other = single[i]?.margins[reading as 'untold'] ?? [];
        expect(both[0]).toBeCloseTo(other[0] ?? Number.NaN, 4);
        expect(both[1]).toBeCloseTo(other[1] ?? Number.NaN, 4);
      }
    }
    const whole = two.flatMap(({ sides }) =>
      sides.map(({ scenario: { messages } }) => smallRenderer.renderChat(messages).ids.length),
    );
    // Six contexts a side, of which whole ones would be six times this.
    expect(tokens).toBeLessThan(4 * whole.reduce((a, b) => a + b, 0));
  });

  it('of which two are the same are both used', async () => {
    const used: string[] = [];
    const items = [
      { contextIds: [7, 8, 9], name: 'a' },
      { contextIds: [7, 8, 9], name: 'b' },
      { contextIds: [6, 8], name: 'c' },
    ];
    await overSharedPrefixes(tiny.reader, items, tiny.base, async ({ tokens }, { name }) => {
      used.push(`${name}${tokens}`);
    });
    expect(used).toEqual(['a3', 'b3', 'c2']);
  });
});
