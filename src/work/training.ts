// The training phase: the real arm and the deaf arm, on the same scenarios, from the same weights.
import { join } from 'node:path';
import { openAppendFile } from '../base/append-file.ts';
import { AttuneError } from '../base/errors.ts';
import type { Folder } from '../base/file-ops.ts';
import { writeDelta } from '../model/delta.ts';
import type { Model } from '../model/model.ts';
import { loadVersion } from '../model/versions.ts';
import { DEAF_DELTA, FILE, WORK } from '../record/files.ts';
import type { NightPlan } from '../record/message.ts';
import { isDrawn } from '../record/moment.ts';
import type { Executor } from '../runtime/executor.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { placeboScenarios } from '../train/placebo.ts';
import type { StepRecord, TrainResult } from '../train/train-settings.ts';
import { trainDelta } from '../train/trainer.ts';
import type { Courtesy } from './courtesy.ts';

export interface TrainingParts {
  readonly plan: NightPlan;
  readonly folder: Folder;
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  readonly executor: Executor;
  readonly courtesy: Courtesy;
  readonly signal: AbortSignal;
  readonly onStep: (record: StepRecord) => void;
}

export interface TrainingInput {
  readonly scenarios: readonly Scenario[];
  /** Talk that is held as it is. */
  readonly replays: readonly Scenario[];
  /** A placebo takes exactly as many steps as the weights it is compared with, without early stop. */
  readonly steps?: number;
}

/** With fewer scenarios than this, none is spared for the early stop. */
const HELD_OUT_FROM = 32;
const HELD_OUT_ONE_IN = 8;

/** Trains one arm and writes its delta; one that was cut off is resumed. */
export async function trainArm(
  parts: TrainingParts,
  input: TrainingInput,
  arm: 'real' | 'deaf',
): Promise<{ result: TrainResult; deltaHash: string }> {
  const { plan, folder, model, tokenizer, executor, courtesy, signal, onStep } = parts;
  const { path, ops } = folder;
  await ops.makeFolder(join(path, WORK));
  const before = await loadVersion(model, plan.deltas, { ops });
  const { scenarios, heldOut } = split(input.scenarios);
  const { executor: _executor, ...settings } = plan.config.train;
  const { stepsMax, minutesMax } = plan.config.night;
  const steps = arm === 'real' ? await openSteps(folder) : undefined;
  const result = await trainDelta({
    model,
    executor,
    renderer: tokenizer,
    scenarios: arm === 'real' ? scenarios : placeboScenarios(scenarios, plan.seed),
    heldOut: input.steps === undefined ? heldOut : [],
    replays: input.replays,
    settings: {
      ...settings,
      stepsMax: input.steps ?? Math.min(settings.stepsMax, stepsMax),
      minutesMax: Math.min(settings.minutesMax, minutesMax),
    },
    seed: plan.seed,
    startFrom: before.weights,
    resumePath: join(path, WORK, `${arm}.checkpoint`),
    ops,
    beforeMicroStep: () => courtesy.turn(),
    signal,
    onStep(record) {
      onStep(record);
      steps?.add(record);
    },
  }).finally(() => steps?.close());
  if (result.stop === 'aborted') {
    throw new AttuneError('night-failed', 'The night was stopped between two micro-steps.');
  }
  const file = join(path, arm === 'real' ? FILE.delta : DEAF_DELTA);
  const content = {
    baseHash: model.baseHash,
    tensors: result.delta,
    metadata: { night: plan.night, arm },
  };
  return { result, deltaHash: await writeDelta(file, content, ops) };
}

/** The record of the steps; what could not be written is told when it is closed. */
async function openSteps({ path, ops }: Folder) {
  const file = await openAppendFile(join(path, FILE.steps), {
    ops,
    isSound: () => true,
    onRecord: () => undefined,
  });
  let last: Promise<unknown> = Promise.resolve();
  return {
    add(record: StepRecord): void {
      last = last.then(() => file.append(record));
      // Nobody waits for it yet; a full disk must not end the process.
      last.catch(() => undefined);
    },
    async close(): Promise<void> {
      try {
        await last;
      } finally {
        await file.close();
      }
    },
  };
}

/** By cluster, so that no source is on both sides. */
function split(all: readonly Scenario[]): { scenarios: Scenario[]; heldOut: Scenario[] } {
  if (all.length < HELD_OUT_FROM) return { scenarios: [...all], heldOut: [] };
  const isHeldOut = (scenario: Scenario): boolean =>
    isDrawn(`early-stop:${scenario.source.cluster}`, HELD_OUT_ONE_IN);
  const scenarios = all.filter((scenario) => !isHeldOut(scenario));
  if (scenarios.length === 0) return { scenarios: [...all], heldOut: [] };
  return { scenarios, heldOut: all.filter(isHeldOut) };
}
