import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { attentionChanges, knockOutDrops } from '../../src/measure/attention-change.ts';
import { checkBaseline } from '../../src/measure/candidate-baseline.ts';
import { changeMapSvg } from '../../src/measure/map-svg.ts';
import {
  type MeasuredWeights,
  type MeasureOptions,
  type Measures,
  measureWeights,
} from '../../src/measure/measure.ts';
import { type MeasuredScenarios, renderMeasuringSet } from '../../src/measure/measuring-set.ts';
import { freeReplies, passShares } from '../../src/measure/reply-change.ts';
import { retention } from '../../src/measure/retention.ts';
import { klOfLogits, logSoftmaxRow } from '../../src/reading/logits.ts';
import { scoreExamples, scoreOf } from '../../src/reading/scenario-margin.ts';
import { f32 } from '../../src/runtime/host-tensor.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import {
  example,
  LIMITS,
  nudged,
  openTinyReading,
  renderer,
  type TinyReading,
  wordScenario,
} from '../reading/tiny-reading.ts';

// A model is measured on many scenarios.
vi.setConfig({ testTimeout: 60_000 });

let tiny: TinyReading;
beforeAll(async () => {
  tiny = await openTinyReading();
});
afterAll(() => tiny.close());

const scenarios = [0, 1, 2, 3, 4].map((i) => wordScenario(i));
const everyday = [7, 8].map((i) => wordScenario(i, { kind: 'ordinary' }));

const measure = (
  measured: MeasuredScenarios,
  weights: Omit<MeasuredWeights, 'parent'>,
  options: Partial<MeasureOptions> = {},
): Promise<Measures> =>
  measureWeights(
    renderMeasuringSet(measured, { renderer, limits: LIMITS }),
    { parent: tiny.base, ...weights },
    {
      reader: tiny.reader,
      controlIds: new Set([1, 2]),
      statistics: { resamples: 200 },
      ...options,
    },
  );

describe('measuring weights', () => {
  it('finds no change at all between equal weights', async () => {
    const measures = await measure({ scenarios, everyday }, { candidate: tiny.base });
    expect(measures.kinds.listen?.change).toMatchObject({ mean: 0, clusters: 5 });
    expect(measures.gate.margin.p).toBe(1);
    expect(measures.retention.parent.perplexity.ratio).toBeCloseTo(1, 6);
    expect(measures.attention.direction?.window.mean).toBe(0);
    expect(measures.knockOut.change.mean).toBe(0);
    expect(measures.defenceGap.change.mean).toBe(0);
    expect(measures.realMinusDeaf).toBeUndefined();
    expect(JSON.parse(JSON.stringify(measures))).toEqual(measures);
  });

  it.each([
    [11, false],
    [12, true],
  ])('with %i talks of the person lets them judge listening: %s', async (talks, isOwn) => {
    const own = Array.from({ length: talks }, (_, i) =>
      wordScenario(20 + i, { source: { origin: 'log', cluster: `talk-${i}`, domain: 'talk' } }),
    );
    const measures = await measure(
      { scenarios: [...scenarios, ...own], everyday },
      { candidate: nudged(tiny.base, 'night'), placebo: nudged(tiny.base, 'placebo') },
    );
    const { gate, realMinusDeaf } = measures;
    expect(gate.margin.clusters).toBe(isOwn ? talks : talks + scenarios.length);
    expect(realMinusDeaf?.clusters).toBe(gate.margin.clusters);
    expect(gate.elsewhere?.clusters).toBe(isOwn ? scenarios.length : undefined);
  });

  it('tells parent, candidate, base and placebo apart, and both cache conditions', async () => {
    const candidate = nudged(tiny.base, 'night');
    const seen: number[] = [];
    const measures = await measure(
      { scenarios, everyday, trained: scenarios.slice(0, 1) },
      { candidate, placebo: nudged(tiny.base, 'placebo') },
      { onProgress: (done) => seen.push(done) },
    );
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(measures.kinds.listen?.change.mean).not.toBe(0);
    expect(measures.conditions.kept.after).not.toBeCloseTo(
      measures.conditions.reprefilled.after,
      6,
    );
    expect(measures.gate.margin.low).toBe(
      Math.min(measures.conditions.kept.change.low, measures.conditions.reprefilled.change.low),
    );
    expect(measures.realMinusDeaf?.observations).toBe(5);
    expect(measures.trainedKl).toBeGreaterThan(0);
    expect(measures.retention.parent.kl).toBeGreaterThan(0);
    expect(measures.attention.direction?.before.values).toHaveLength(8);
    expect(measures.attention.direction?.windowBeyondDeaf).toBeDefined();
    expect(measures.breadth.seen.observations).toBe(3);
    expect(measures.scores[0]).toMatchObject({ id: 's0', kind: 'listen' });
  });

  it('names what does not fit, and asks before each part whether to wait', async () => {
    let waits = 0;
    const long = wordScenario(9, { chosen: 'w '.repeat(40).trim(), id: 'long' });
    const measures = await measure(
      { scenarios: [...scenarios.slice(0, 2), long], everyday: [] },
      { candidate: tiny.base },
      {
        beforePart: async () => {
          waits++;
        },
      },
    );
    expect(measures.refused.map(({ id }) => id)).toEqual(['long']);
    expect(waits).toBe(8);
    expect(measures.retention.parent.perplexity.ratio).toBe(Number.MAX_VALUE);
  });
});

describe('scores', () => {
  it('are the same with a kept cache of the same weights, and the chosen’s log p without a rejected', async () => {
    const { rejected: _, ...alone } = wordScenario(3);
    const [scored] = await scoreExamples(tiny.reader, [example(alone)], tiny.base);
    const [kept] = await scoreExamples(tiny.reader, [example(alone)], tiny.base, tiny.base);
    expect(scored && scoreOf(scored)).toBe(scored?.margin.chosen);
    expect(kept?.margin).toEqual(scored?.margin);
  });

  it('of a knock-out differ from none only by what is hidden', async () => {
    const drops = await knockOutDrops(tiny.reader, scenarios.map(example), tiny.base, 'direction');
    expect(drops).toHaveLength(5);
    expect(drops.some(({ value }) => value !== 0)).toBe(true);
    expect(await knockOutDrops(tiny.reader, scenarios.map(example), tiny.base, 'emotion')).toEqual(
      [],
    );
  });

  it('of attention need marked spans', async () => {
    const arms = { before: tiny.base, after: tiny.base };
    const options = { features: ['emotion'], controlIds: new Set<number>() } as const;
    expect(await attentionChanges(tiny.reader, scenarios.map(example), arms, options)).toEqual({});
  });
});

describe('retention', () => {
  it('has KL zero between equal logits and the textbook value between others', () => {
    const p = f32([1, 2], Float32Array.of(0, 0));
    const q = f32([1, 2], Float32Array.of(0, Math.log(3)));
    expect(klOfLogits(p, p)).toBe(0);
    expect(klOfLogits(p, q)).toBeCloseTo(0.5 * Math.log(2) + 0.5 * Math.log(2 / 3), 6);
    expect(Math.exp(logSoftmaxRow([1000, 1000])[0] as number)).toBeCloseTo(0.5);
  });

  it('is the perplexity ratio of the later to the earlier weights', async () => {
    const after = nudged(tiny.base, 'worse', 0.3);
    const result = await retention(tiny.reader, everyday.map(example), {
      before: tiny.base,
      after,
    });
    const back = await retention(tiny.reader, everyday.map(example), {
      before: after,
      after: tiny.base,
    });
    expect(result.perplexity.ratio * back.perplexity.ratio).toBeCloseTo(1, 6);
    expect(result.perplexity.high).toBeGreaterThanOrEqual(result.perplexity.ratio);
  });
});

describe('beside the margins', () => {
  it('a bag of words is cross-validated by source and blind on crossed pairs', () => {
    const crossed = [0, 1, 2, 3].flatMap((i) => {
      const a = wordScenario(i, { id: `${i}a`, pair: { id: `p${i}`, side: 'a' } });
      const { chosen, rejected = '' } = a;
      return [
        a,
        {
          ...a,
          id: `${i}b`,
          chosen: rejected,
          rejected: chosen,
          pair: { id: `p${i}`, side: 'b' as const },
        },
      ];
    });
    expect(checkBaseline(crossed)).toMatchObject({ pairs: 8, bothRight: 0, crossedPairs: 4 });
    expect(checkBaseline([]).accuracy).toBe(0);
  });

  it('free replies are checked by kind', async () => {
    const tokenizer = {
      ...renderer,
      stopIds: [2],
      decode: (ids: readonly number[]) => ids.map((id) => (id === 9 ? 'ready' : 'idea')).join(' '),
    };
    const engine = new FakeEngine({ reply: () => [9, 9] });
    const asked = scenarios.slice(0, 2).map((s) => ({ ...s, facts: { needs: [['ready']] } }));
    const replies = await freeReplies(asked, {
      engine,
      tokenizer,
      replyTokensMax: 4,
    });
    expect(replies.map(({ passes }) => passes)).toEqual([true, true]);
    expect(passShares(replies)).toEqual({ listen: 1 });
  });

  it('draws maps as SVG with escaped titles', () => {
    const map = { layers: 2, heads: 2, values: [0, 0, 0, 0] };
    const svg = changeMapSvg('a < b', map, { ...map, values: [1, -1, 0, 2] });
    expect(svg.match(/<rect/g)).toHaveLength(4);
    expect(svg).toContain('a &lt; b');
  });
});
