// What the gate says of a night on given scenarios: real, flipped labels, a single example.
import { decideGate, type GateVerdict } from '../../src/measure/gate.ts';
import { measureWeights } from '../../src/measure/measure.ts';
import type { Scenario } from '../../src/scenario/scenario.ts';
import { flipped } from '../../src/scenario/variant.ts';
import { isFiniteDelta } from '../../src/train/arms.ts';
import type { Laboratory } from './laboratory.ts';
import type { Choice } from './settings.ts';

export const NIGHTS = ['listening', 'flipped', 'single'] as const;
export type Night = (typeof NIGHTS)[number];

export interface NightVerdict extends GateVerdict {
  readonly movedShare: number;
  readonly measures: object;
}

/** A single example is seen as often as the others see all of theirs. */
function taught(night: Night, drawn: readonly Scenario[]): readonly Scenario[] {
  if (night === 'flipped') return drawn.map(flipped);
  const [only] = drawn;
  return night === 'single' && only !== undefined ? drawn.map(() => only) : drawn;
}

/** Trains real and deaf, measures on dev pairs and suites, and lets the gate judge. */
export async function nightVerdict(
  laboratory: Laboratory,
  {
    night,
    scenarios: drawn,
    choice,
  }: { night: Night; scenarios: readonly Scenario[]; choice: Choice },
): Promise<NightVerdict> {
  const { model, tokenizer, executor, data } = laboratory;
  const scenarios = taught(night, drawn);
  const cell = { name: night, group: 'gate', dose: scenarios.length, seed: 1 };
  const real = await laboratory.train({ ...cell, arm: 'real' }, scenarios, choice);
  const deaf = await laboratory.train({ ...cell, arm: 'deaf' }, scenarios, choice);
  const measures = await measureWeights({
    model,
    executor,
    renderer: tokenizer,
    controlIds: tokenizer.controlIds,
    parent: await laboratory.first(),
    candidate: real.weights,
    deaf: deaf.weights,
    scenarios: [
      ...data.dev.filter((_, i) => i % 4 < 2),
      ...data.suites.filter(({ kind }) => kind === 'listen'),
      ...data.guards,
    ],
    everyday: data.everyday,
    limits: { windowTokens: model.windowTokens, replyTokensMax: 96 },
    attentionExamplesMax: 24,
  });
  const verdict = decideGate({
    ...measures.gate,
    ...(measures.realMinusDeaf === undefined ? {} : { realMinusDeaf: measures.realMinusDeaf }),
    perplexityParent: measures.retention.parent.perplexity,
    perplexityBase: measures.retention.base.perplexity,
    sources: new Set(scenarios.map((s) => s.source.cluster)).size,
    isFinite: isFiniteDelta(real.delta),
    isOnlyQueryMoved: Object.keys(real.delta).every((name) => name.endsWith('.qProj')),
    night: 1,
    passedNights: [],
  });
  const { scores: _, attention: __, refused: ___, ...told } = measures;
  return { ...verdict, movedShare: real.movedShare, measures: told };
}
