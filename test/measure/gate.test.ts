import { describe, expect, it } from 'vitest';
import { decideGate, type GateEvidence } from '../../src/measure/gate.ts';
import { around, GOOD, SETTINGS } from './gate-evidence.ts';

const decided = (changes: Partial<GateEvidence>) => decideGate({ ...GOOD, ...changes }, SETTINGS);
const failed = (changes: Partial<GateEvidence>): string[] => {
  const verdict = decided(changes);
  expect(verdict.passes).toBe(false);
  return verdict.reasons.filter((reason) => !reason.passes).map((reason) => reason.rule);
};

describe('the gate', () => {
  it('passes a night that gains, beats its placebo and harms nothing', () => {
    const verdict = decided({});
    expect(verdict).toMatchObject({ passes: true, isOffered: false });
    expect(verdict.reasons).toHaveLength(8);
  });

  it.each<[string, Partial<GateEvidence>, string]>([
    ['a gain that may be chance', { bothRight: around(0.1, 0.2, 0.03) }, 'listening'],
    ['no gain', { bothRight: around(0, 0, 1) }, 'listening'],
    ['a loss', { bothRight: around(-0.3, 0.1, 1) }, 'listening'],
    ['a gain that is no number', { bothRight: around(Number.NaN, 0, Number.NaN) }, 'listening'],
    ['as much in the placebo', { beyondPlacebo: around(0, 0.05, 0.5) }, 'beyond the placebo'],
    ['no placebo', { beyondPlacebo: null }, 'beyond the placebo'],
    [
      'a placebo that moved less than half as much',
      { outputKl: { real: 0.2, placebo: 0.09 } },
      'beyond the placebo',
    ],
    ['replies that may be worse', { lossBound: 0.06 }, 'held replies'],
    ['replies that nobody counted', { lossBound: Number.NaN }, 'held replies'],
    ['a kind that moved far', { heldKl: { kind: 'feelings', kl: 0.3 } }, 'held replies, KL'],
    [
      'forgetting against the parent',
      { perplexityParent: { ratio: 1.005, high: 1.02 } },
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
    ['weights that are not finite', { isFinite: false }, 'finite'],
    ['another tensor that moved', { isOnlyQueryMoved: false }, 'only W_q moved'],
  ])('refuses %s', (_title, changes, rule) => {
    expect(failed(changes)).toEqual([rule]);
    expect(decided(changes).isOffered).toBe(false);
  });

  it('takes a placebo as one where nobody measured how far it moved', () => {
    expect(decided({ outputKl: { real: 0.2, placebo: null } }).passes).toBe(true);
  });

  it('asks for more on a later night after many refusals', () => {
    expect(failed({ night: 20, bothRight: around(0.1, 0.05, 0.004) })).toEqual(['listening']);
    expect(decided({ night: 20, passedNights: [19] }).passes).toBe(true);
  });
});

describe('a night of few flags', () => {
  const unsure = { flags: 3, bothRight: around(0.05, 0.06, 0.06) };

  it('offers itself for a trial where it fails for want of power alone', () => {
    expect(decided(unsure)).toMatchObject({ passes: false, isOffered: true });
    const both = { ...unsure, beyondPlacebo: around(0.04, 0.06, 0.1) };
    expect(decided(both)).toMatchObject({ passes: false, isOffered: true });
  });

  it.each<[string, Partial<GateEvidence>]>([
    ['gained nothing', { bothRight: around(0, 0.06, 0.5) }],
    ['gained no more than its placebo', { beyondPlacebo: around(-0.01, 0.06, 0.6) }],
    ['has no placebo', { beyondPlacebo: null }],
    ['has one that is none', { outputKl: { real: 0.2, placebo: 0.01 } }],
    ['made replies worse', { lossBound: 0.08 }],
    ['moved replies far', { heldKl: { kind: 'absent', kl: 1 } }],
    ['forgets', { perplexityParent: { ratio: 1.02, high: 1.03 } }],
    ['has many flags', { flags: 9 }],
    ['has none', { flags: 0 }],
  ])('does not when it %s', (_, changes) => {
    expect(decided({ ...unsure, ...changes })).toMatchObject({ passes: false, isOffered: false });
  });

  it('passes like any other where the gain is sure', () => {
    expect(decided({ flags: 1 })).toMatchObject({ passes: true, isOffered: false });
  });
});
