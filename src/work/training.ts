// The training phase: the night's scenarios and their placebo, from the same weights.
import { join } from 'node:path';
import { openAppendFile } from '../base/append-file.ts';
import { writeJsonAtomic } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import type { Folder } from '../base/file-ops.ts';
import { writeDelta } from '../model/delta.ts';
import type { Model } from '../model/model.ts';
import { loadVersion } from '../model/versions.ts';
import { FILE, PLACEBO_DELTA, readScenarioFile, WORK } from '../record/files.ts';
import { isDrawn, measuresForgetting } from '../record/moment.ts';
import type { Trained } from '../record/phase-result.ts';
import type { Executor } from '../runtime/executor.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { placeboScenarios } from '../train/placebo.ts';
import type { StepRecord, TrainResult } from '../train/train-settings.ts';
import { trainDelta } from '../train/trainer.ts';
import type { ChatPriority } from './chat-priority.ts';
import type { Night, Tell } from './phase.ts';

export interface TrainingTools {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  readonly executor: Executor;
  readonly priority: ChatPriority;
}

/** What one training gets. */
interface Arm {
  /** As its files and its delta are named. */
  readonly name: 'real' | 'deaf';
  readonly scenarios: readonly Scenario[];
  readonly heldOut: readonly Scenario[];
  /** Talk that is held as it is. */
  readonly replays: readonly Scenario[];
  readonly stepsMax: number;
  readonly onStep: (record: StepRecord) => void;
}

/** With fewer scenarios than this, none is spared for the early stop. */
const HELD_OUT_FROM = 32;
const HELD_OUT_ONE_IN = 8;

/** Trains on the night's scenarios and, where it is wanted, a placebo; writes the deltas. */
export async function trainNight(night: Night, tools: TrainingTools, tell: Tell): Promise<Trained> {
  const { plan, folder } = night;
  const { train, measure, night: limits } = plan.config;
  const all = await readScenarioFile(folder, 'scenarios');
  const { scenarios, heldOut } = split(all);
  const replays = await readReplays(folder);
  const arms = measure.hasPlacebo ? 2 : 1;
  const onStep = (arm: number) => (record: StepRecord) =>
    tell(arm * record.steps + record.step, arms * record.steps, { loss: record.terms.loss ?? 0 });
  const steps = await openSteps(folder);
  const real = await trainArm(night, tools, {
    name: 'real',
    scenarios,
    heldOut,
    replays,
    stepsMax: Math.min(train.stepsMax, limits.stepsMax),
    onStep(record) {
      onStep(0)(record);
      steps.add(record);
    },
  }).finally(() => steps.close());
  const { result } = real;
  const placebo = measure.hasPlacebo
    ? await trainArm(night, tools, {
        name: 'deaf',
        scenarios: placeboScenarios(scenarios, plan.seed),
        // Exactly as many steps as the weights that it is compared with, without early stop.
        heldOut: [],
        stepsMax: Math.max(1, result.keptStep),
        replays,
        onStep: onStep(1),
      })
    : undefined;
  const { refused, heldOutMarginBefore = null, heldOutMargin = null } = result;
  const report = { refused, heldOutMarginBefore, heldOutMargin };
  await writeJsonAtomic(join(folder.path, FILE.training), report, folder.ops);
  return {
    deltaHash: real.deltaHash,
    deafHash: placebo?.deltaHash ?? null,
    steps: result.steps,
    tokens: result.tokens + (placebo?.result.tokens ?? 0),
    seconds: result.seconds + (placebo?.result.seconds ?? 0),
    stop: result.stop,
    relativeNorm: result.movedShare,
    deafRelativeNorm: placebo?.result.movedShare ?? null,
    sources: result.sources,
    examples: all.length,
    refused: refused.length,
    memoryBytes: process.memoryUsage().rss,
  };
}

/** Half of the talks' own turns, what the model says when nobody asks, and what it does well. */
async function readReplays(folder: Folder): Promise<Scenario[]> {
  const everyday = await readScenarioFile(folder, 'everyday');
  const rehearsal = await readScenarioFile(folder, 'rehearsal');
  const easy = await readScenarioFile(folder, 'easy');
  return [...everyday.filter((turn) => !measuresForgetting(turn)), ...rehearsal, ...easy];
}

/** Trains one arm and writes its delta; one that was cut off is resumed. */
async function trainArm(
  { plan, folder: { path, ops } }: Night,
  { model, tokenizer, executor, priority }: TrainingTools,
  { name, stepsMax, ...arm }: Arm,
): Promise<{ result: TrainResult; deltaHash: string }> {
  await ops.makeFolder(join(path, WORK));
  const before = await loadVersion(model, plan.deltas, { ops });
  const { executor: _, ...settings } = plan.config.train;
  const minutesMax = Math.min(settings.minutesMax, plan.config.night.minutesMax);
  const result = await trainDelta({
    ...arm,
    model,
    executor,
    renderer: tokenizer,
    settings: { ...settings, stepsMax, minutesMax },
    seed: plan.seed,
    startFrom: before.weights,
    resumePath: join(path, WORK, `${name}.checkpoint`),
    ops,
    beforeMicroStep: () => priority.untilIdle(),
    signal: priority.signal,
  });
  if (result.stop === 'aborted') {
    throw new AttuneError('night-failed', 'The night was stopped between two micro-steps.');
  }
  const file = join(path, name === 'real' ? FILE.delta : PLACEBO_DELTA);
  const content = {
    baseHash: model.baseHash,
    tensors: result.delta,
    metadata: { night: plan.night, arm: name },
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
