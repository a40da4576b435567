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
  clusters: 40,
});

/** As configured when nobody says otherwise. */
export const SETTINGS = gateSection.parse({});

export const GOOD: GateEvidence = {
  margin: around(0.1, 0.03, 0.0005),
  realMinusDeaf: around(0.08, 0.03, 0.002),
  pushBack: around(0, 0.01, 0.5),
  invite: around(0.001, 0.01, 0.5),
  ordinary: around(-0.002, 0.01, 0.6),
  perplexityParent: { ratio: 1.005, high: 1.011 },
  perplexityBase: { ratio: 1.02, high: 1.03 },
  sources: 20,
  isFinite: true,
  isOnlyQueryMoved: true,
  night: 1,
  passedNights: [],
};
