import { describe, expect, it } from 'vitest';
import { decideGate, type GateEvidence } from '../../src/measure/gate.ts';
import { type HeadlineInput, headlineOf } from '../../src/morning/headline.ts';
import { around, GOOD, SETTINGS } from '../measure/gate-evidence.ts';
import { listening } from '../web/night-example.ts';

const NIGHT: HeadlineInput = {
  ...{ verdict: 'refused', number: 3, isOffered: false },
  ...{ listening: listening(), reasons: [] },
};
const refused = (changed: Partial<GateEvidence>): string =>
  headlineOf({ ...NIGHT, reasons: [...decideGate({ ...GOOD, ...changed }, SETTINGS).reasons] });
const unsure = around(0.1, 0.2, 0.2);

describe('the headline of a night', () => {
  it('says how it listens beside before and told', () => {
    const numbers = 'it listens in 25 % of 80 judged pairs, 10 % before, 59 % when told';
    expect(headlineOf({ ...NIGHT, verdict: 'awaiting-review' })).toBe(
      `Night 3 waits for you: ${numbers}.`,
    );
    expect(headlineOf({ ...NIGHT, verdict: 'swapped' })).toBe(`Night 3 is in force: ${numbers}.`);
    expect(headlineOf({ ...NIGHT, verdict: 'awaiting-review', isOffered: true })).toBe(
      `Night 3 offers itself for a day's trial: ${numbers}; too small a gain to be sure of.`,
    );
  });

  it('of a refusal names what failed in plain words, and nothing that held', () => {
    expect(refused({ lossBound: 0.2 })).toBe(
      'Night 3 was refused by the gate: replies elsewhere may have become worse.',
    );
    expect(refused({ bothRight: unsure, heldKl: { kind: 'absent', kl: 2 } })).toBe(
      'Night 3 was refused by the gate: listening did not gain enough and ' +
        'its replies moved too far elsewhere.',
    );
  });

  it('of a refusal says once what two rules mean', () => {
    const worse = { ratio: 1.1, high: 1.2 };
    expect(refused({ perplexityParent: worse, perplexityBase: worse })).toBe(
      'Night 3 was refused by the gate: everyday conversation is predicted worse.',
    );
  });

  it('has words for every rule of the gate', () => {
    const bad = { ratio: Number.NaN, high: Number.NaN };
    const { reasons } = decideGate(
      {
        ...GOOD,
        ...{ bothRight: unsure, beyondPlacebo: null, lossBound: 1 },
        ...{ heldKl: { kind: 'absent', kl: 2 }, perplexityParent: bad, perplexityBase: bad },
        ...{ isFinite: false, isOnlyQueryMoved: false },
      },
      SETTINGS,
    );
    expect(reasons.every(({ passes }) => !passes)).toBe(true);
    for (const reason of reasons) {
      expect(headlineOf({ ...NIGHT, reasons: [reason] })).not.toContain(`: ${reason.rule}.`);
    }
  });
});
