import { describe, expect, it } from 'vitest';
import { decideGate, type GateEvidence } from '../../src/measure/gate.ts';
import { around, GOOD, SETTINGS } from './gate-evidence.ts';

const failed = (changes: Partial<GateEvidence>): string[] => {
  const verdict = decideGate({ ...GOOD, ...changes }, SETTINGS);
  expect(verdict.passes).toBe(false);
  return verdict.reasons.filter((reason) => !reason.passes).map((reason) => reason.rule);
};

describe('the gate', () => {
  it('passes a night that gains, beats its placebo and loses nothing', () => {
    const verdict = decideGate(GOOD, SETTINGS);
    expect(verdict.passes).toBe(true);
    expect(verdict.reasons).toHaveLength(10);
  });

  it.each<[string, Partial<GateEvidence>, string]>([
    ['a gain below the least', { margin: around(0.01, 0.001, 0.0001) }, 'margin'],
    ['a gain that may be chance', { margin: around(0.1, 0.2, 0.03) }, 'margin'],
    ['a loss, as after flipped labels', { margin: around(-0.3, 0.1, 1) }, 'margin'],
    ['the same gain in the placebo', { realMinusDeaf: around(0, 0.05, 0.5) }, 'real − placebo'],
    ['a loss in push-back', { pushBack: around(-0.02, 0.02, 0.9) }, 'push-back'],
    ['a loss in invite', { invite: around(0, 0.05, 0.9) }, 'invite'],
    ['a loss in ordinary turns', { ordinary: around(-0.05, 0.01, 0.9) }, 'ordinary'],
    [
      'forgetting against the parent',
      { perplexityParent: { ratio: 1.01, high: 1.03 } },
      'perplexity against the parent',
    ],
    [
      'forgetting that compounds',
      { perplexityBase: { ratio: 1.04, high: 1.06 } },
      'perplexity against the base',
    ],
    [
      'a perplexity that is not a number',
      { perplexityParent: { ratio: Number.NaN, high: Number.NaN } },
      'perplexity against the parent',
    ],
    ['a single example', { sources: 1 }, 'sources'],
    ['weights that are not finite', { isFinite: false }, 'finite'],
    ['another tensor that moved', { isOnlyQueryMoved: false }, 'only W_q moved'],
    ['margins that are not numbers', { margin: around(Number.NaN, 0, Number.NaN) }, 'margin'],
  ])('refuses %s', (_title, changes, rule) => {
    expect(failed(changes)).toEqual([rule]);
  });

  it('guards listening in the shipped conversations where the person’s own talks judge', () => {
    const verdict = decideGate({ ...GOOD, elsewhere: around(0, 0.01, 0.5) }, SETTINGS);
    expect(verdict.passes).toBe(true);
    expect(verdict.reasons).toHaveLength(11);
    expect(failed({ elsewhere: around(-0.015, 0.01, 0.99) })).toEqual(['listening elsewhere']);
  });

  it('refuses when no placebo was trained', () => {
    const { realMinusDeaf: _, ...rest } = GOOD;
    expect(decideGate(rest, SETTINGS).passes).toBe(false);
  });

  it('asks for more on a later night after many refusals', () => {
    expect(failed({ night: 20, margin: around(0.1, 0.05, 0.004) })).toEqual(['margin']);
    expect(decideGate({ ...GOOD, night: 20, passedNights: [19] }, SETTINGS).passes).toBe(true);
  });
});
