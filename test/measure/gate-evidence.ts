// Evidence of a night that the gate passes, to be spoilt one number at a time.
import { gateSection } from '../../src/config/section/night.ts';
import type { GateEvidence } from '../../src/measure/gate.ts';
import type { Estimate } from '../../src/measure/statistics.ts';

export const around = (mean: number, half: number, p: number): Estimate => ({
  mean,
  low: mean - half,
  high: mean + half,
  level: 0.95,
  p,
  observations: 80,
  clusters: 20,
});

/** As configured when nobody says otherwise. */
export const SETTINGS = gateSection.parse({});

export const GOOD: GateEvidence = {
  bothRight: around(0.15, 0.06, 0.0005),
  beyondPlacebo: around(0.14, 0.06, 0.002),
  outputKl: { real: 0.2, placebo: 0.15 },
  lossBound: 0.03,
  heldKl: { kind: 'accepted', kl: 0.02 },
  perplexityParent: { ratio: 1.002, high: 1.008 },
  perplexityBase: { ratio: 1.02, high: 1.03 },
  isFinite: true,
  isOnlyQueryMoved: true,
  flags: 24,
  night: 1,
  passedNights: [],
};
