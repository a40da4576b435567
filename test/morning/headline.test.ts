import { describe, expect, it } from 'vitest';
import { decideGate, type GateEvidence } from '../../src/measure/gate.ts';
import { headlineOf } from '../../src/morning/headline.ts';
import { around, GOOD, SETTINGS } from '../measure/gate-evidence.ts';

const steady = around(0, 0.01, 0.5);
const fallen = around(-0.1, 0.01, 1);
const headline = (changed: Partial<GateEvidence>): string =>
  headlineOf({
    verdict: 'refused',
    number: 3,
    measured: undefined,
    reasons: [...decideGate({ ...GOOD, ...changed }, SETTINGS).reasons],
  });

describe('the headline of a refused night', () => {
  it('names what failed in plain words, and nothing that held', () => {
    expect(headline({ pushBack: fallen })).toBe(
      'Night 3 was refused by the gate: push-back may have suffered.',
    );
    expect(headline({ margin: steady, pushBack: fallen, ordinary: fallen })).toBe(
      'Night 3 was refused by the gate: listening did not gain enough, ' +
        'push-back may have suffered and everyday turns may have suffered.',
    );
  });

  it('says once what two rules mean', () => {
    const worse = { ratio: 1.1, high: 1.2 };
    expect(headline({ perplexityParent: worse, perplexityBase: worse })).toBe(
      'Night 3 was refused by the gate: everyday conversation is predicted worse.',
    );
  });

  it('has words for every rule of the gate', () => {
    const bad = { ratio: Number.NaN, high: Number.NaN };
    const { reasons } = decideGate(
      {
        ...GOOD,
        margin: fallen,
        realMinusDeaf: fallen,
        pushBack: fallen,
        invite: fallen,
        ordinary: fallen,
        perplexityParent: bad,
        perplexityBase: bad,
        sources: 0,
        isFinite: false,
        isOnlyQueryMoved: false,
      },
      SETTINGS,
    );
    for (const reason of reasons) {
      const text = headlineOf({
        verdict: 'refused',
        number: 1,
        measured: undefined,
        reasons: [reason],
      });
      expect(text).not.toContain(`: ${reason.rule}.`);
    }
  });
});
