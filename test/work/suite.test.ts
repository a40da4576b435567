import { describe, expect, it } from 'vitest';
import type { Scenario } from '../../src/scenario/scenario.ts';
import { nightSuite, readSuite, toAnswer } from '../../src/work/suite.ts';

const suite = await readSuite('suites/companion');
const count = (scenarios: readonly Scenario[], kind: string): number =>
  scenarios.filter((scenario) => scenario.kind === kind).length;

describe('what a night measures on', () => {
  it('holds many test conversations of the kinds that the gate judges, and some of the others', () => {
    const drawn = nightSuite(suite, { gated: 200, ungated: 20 });
    for (const kind of ['listen', 'push-back', 'invite', 'ordinary']) {
      expect(count(drawn, kind)).toBeGreaterThanOrEqual(200);
      expect(count(drawn, kind)).toBeLessThanOrEqual(201);
    }
    for (const kind of ['undercurrent', 'compressed', 'longing', 'hostile']) {
      expect(count(drawn, kind)).toBeGreaterThanOrEqual(20);
      expect(count(drawn, kind)).toBeLessThanOrEqual(21);
    }
  });

  it('never holds more of the other kinds than of those that the gate judges', () => {
    const drawn = nightSuite(suite, { gated: 4, ungated: 20 });
    expect(count(drawn, 'hostile')).toBe(4);
  });

  it('keeps crossed pairs whole and is the same every night', () => {
    const drawn = nightSuite(suite, { gated: 31, ungated: 7 });
    for (const { pair } of drawn) {
      if (pair === undefined) continue;
      const sides = (list: readonly Scenario[]) =>
        list.filter((one) => one.pair?.id === pair.id).map((one) => one.pair?.side);
      const kinds = new Set(suite.filter((one) => one.pair?.id === pair.id).map((s) => s.kind));
      if (kinds.size === 1) expect(sides(drawn).sort()).toEqual(sides(suite).sort());
    }
    const again = nightSuite([...suite].reverse(), { gated: 31, ungated: 7 });
    expect(new Set(again.map(({ id }) => id))).toEqual(new Set(drawn.map(({ id }) => id)));
  });
});

describe('what the model answers by itself', () => {
  const drawn = nightSuite(suite, { gated: 31, ungated: 7 });
  const heldBack = suite.slice(0, 1);

  it('are a few of each kind that the gate judges, the same every night, and held-back flags', () => {
    const asked = toAnswer(drawn, heldBack, 12);
    for (const kind of ['listen', 'push-back', 'invite', 'ordinary']) {
      expect(count(asked.slice(0, -1), kind)).toBeGreaterThanOrEqual(12);
      expect(count(asked.slice(0, -1), kind)).toBeLessThanOrEqual(13);
    }
    expect(count(asked, 'hostile')).toBe(0);
    expect(asked.at(-1)).toBe(heldBack[0]);
    const again = toAnswer([...drawn].reverse(), [], 12);
    expect(new Set(again.map(({ id }) => id))).toEqual(
      new Set(asked.slice(0, -1).map(({ id }) => id)),
    );
  });

  it('is nothing at all when none is wanted', () => {
    expect(toAnswer(drawn, heldBack, 0)).toEqual([]);
  });
});
