import { describe, expect, it } from 'vitest';
import { decideGate, type GateEvidence } from '../../src/measure/gate.ts';
import { type HeadlineInput, headlineOf } from '../../src/morning/summary.ts';
import type { FlaggedView } from '../../src/protocol/summary.ts';
import { adviceOf, adviceText, changeText } from '../../src/protocol/verdict-text.ts';
import { around, GOOD, SETTINGS } from '../measure/gate-evidence.ts';
import { listening, night } from '../web/night-example.ts';

const NIGHT: HeadlineInput = {
  ...{ verdict: 'refused', number: 3, flagged: [] },
  ...{ listening: listening(), reasons: [] },
};
const refused = (changed: Partial<GateEvidence>): string =>
  headlineOf({ ...NIGHT, reasons: [...decideGate({ ...GOOD, ...changed }, SETTINGS).reasons] });
const unsure = around(0.1, 0.2, 0.2);

describe('the headline of a night', () => {
  const moment = (before: boolean, after: boolean) => {
    const [one] = night('waiting').flagged as [FlaggedView];
    return { ...one, does: { before, after } };
  };
  const reasons = [...decideGate(GOOD, SETTINGS).reasons];

  it("counts the person's own moments before anything else", () => {
    const flagged = [moment(false, true), moment(true, true), moment(false, false)];
    expect(headlineOf({ ...NIGHT, verdict: 'swapped', flagged, reasons })).toBe(
      'Night 3: In 2 of your 3 moments it now does what you said (1 before). ' +
        'Everyday conversation is unchanged.',
    );
  });

  it.each([
    [false, true, 'it now does'],
    [true, true, 'it still does'],
    [true, false, 'it no longer does'],
    [false, false, 'it still does not do'],
  ])('has words for a single moment: %s before, %s after', (before, after, words) => {
    expect(changeText({ ...NIGHT, flagged: [moment(before, after)] })).toBe(
      `In your moment ${words} what you said.`,
    );
  });

  it('says how it listens in the tests where nobody can read the moments', () => {
    expect(headlineOf({ ...NIGHT, verdict: 'awaiting-review' })).toBe(
      'Night 3: In 25 % of 80 tests it does what was asked (10 % before).',
    );
  });

  it('of a refusal names what failed in plain words, and nothing that held', () => {
    expect(refused({ lossBound: 0.2 })).toMatch(
      /before\)\. Not recommended: other replies may have become worse\.$/,
    );
    expect(refused({ bothRight: unsure })).toMatch(
      /before\)\. Not recommended: tests do not show that it listens better\.$/,
    );
  });

  it('of a refusal says once what two rules mean', () => {
    const worse = { ratio: 1.1, high: 1.2 };
    expect(refused({ perplexityParent: worse, perplexityBase: worse })).toMatch(
      /Not recommended: everyday conversation may have become worse\.$/,
    );
  });

  it.each([
    ['use', {}, {}],
    ['leave', { lossBound: 1 }, {}],
    ['leave', {}, { isVeto: true }],
    ['try', {}, { isOffered: true }],
    ['try', {}, { flagged: [moment(true, false)] }],
    ['leave', { lossBound: 1 }, { flagged: [moment(true, false)] }],
    ['leave', { lossBound: 1 }, { isOffered: true, flagged: [moment(true, false)] }],
  ] as const)('recommends to %s, and never against what it says', (advice, changed, more) => {
    const { isVeto = false, ...rest } = { isVeto: false, ...more };
    const gate = [...decideGate({ ...GOOD, ...changed }, SETTINGS).reasons];
    const came = {
      ...NIGHT,
      isOffered: false,
      reasons: gate,
      ...rest,
      flagged: [...(('flagged' in rest && rest.flagged) || [])],
    };
    expect(adviceOf(came, { isVeto })).toBe(advice);
    expect(adviceText(came, { isVeto })).toMatch(
      advice === 'leave' ? /leave it/ : advice === 'try' ? /try it/ : /use it/,
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
