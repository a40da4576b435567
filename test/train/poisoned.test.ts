import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { trainSection } from '../../src/config/section/learning.ts';
import { gateSection } from '../../src/config/section/night.ts';
import { decideGate, type GateVerdict, gateEvidence } from '../../src/measure/gate.ts';
import { measureWeights } from '../../src/measure/measure.ts';
import { renderMeasuringSet } from '../../src/measure/measuring-set.ts';
import type { Scenario } from '../../src/scenario/scenario.ts';
import { placeboScenarios } from '../../src/train/placebo.ts';
import { trainDelta } from '../../src/train/trainer.ts';
import {
  LIMITS,
  openTinyReading,
  renderer,
  type TinyReading,
  wordScenario,
} from '../reading/tiny-reading.ts';

// A model is trained.
vi.setConfig({ testTimeout: 60_000 });

let tiny: TinyReading;
beforeAll(async () => {
  tiny = await openTinyReading();
});
afterAll(() => tiny.close());

const settings = {
  ...trainSection.parse({}),
  learningRate: 0.02,
  batchSize: 4,
  epochsMax: 6,
  retentionWeight: 0,
  contextTokensMax: 50,
  replyTokensMax: 10,
};
const taught = Array.from({ length: 10 }, (_, i) => wordScenario(i));
const heldOut = Array.from({ length: 12 }, (_, i) => wordScenario(20 + i));

/** The same scenario with its labels exchanged. */
function flipped(scenario: Scenario): Scenario {
  const { chosen, rejected = chosen } = scenario;
  return { ...scenario, id: `${scenario.id}~flipped`, chosen: rejected, rejected: chosen };
}

/** A night in small: train real and placebo, measure on held-out talk, judge. */
async function night(scenarios: readonly Scenario[]): Promise<GateVerdict> {
  const train = (list: readonly Scenario[]) =>
    trainDelta({ ...tiny, renderer, scenarios: list, settings, seed: 1 });
  const real = await train(scenarios);
  const placebo = await train(placeboScenarios(scenarios, 1));
  const everyday = heldOut.map((s) => ({ ...s, id: `${s.id}e`, kind: 'ordinary' as const }));
  const measures = await measureWeights(
    renderMeasuringSet({ scenarios: heldOut, everyday }, { renderer, limits: LIMITS }),
    { parent: tiny.base, candidate: real.weights, placebo: placebo.weights },
    {
      reader: tiny.reader,
      controlIds: new Set([1, 2, 3, 4, 5]),
      statistics: { resamples: 200 },
      attentionExamplesMax: 2,
    },
  );
  const { delta: tensors, sources } = real;
  const evidence = gateEvidence(measures, { tensors, sources, night: 1, passedNights: [] });
  return decideGate(evidence, gateSection.parse({}));
}

const failedRules = ({ reasons }: GateVerdict): string[] =>
  reasons.filter((reason) => !reason.passes).map((reason) => reason.rule);

describe('the gate after a poisoned night', { timeout: 120_000 }, () => {
  it('refuses labels that were flipped, since the margin on held-out talk falls', async () => {
    const verdict = await night(taught.map(flipped));
    expect(verdict.passes).toBe(false);
    expect(failedRules(verdict)).toContain('margin');
    expect(verdict.reasons.find(({ rule }) => rule === 'margin')?.text).toMatch(/gain −/);
  });

  it('refuses a single example, however well it was learnt', async () => {
    const verdict = await night(taught.slice(0, 1));
    expect(verdict.passes).toBe(false);
    expect(failedRules(verdict)).toContain('sources');
  });
});
