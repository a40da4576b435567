// The training phase: the night's lessons and those of its placebo, from the same weights.
import { join } from 'node:path';
import { openAppendFile } from '../base/append-file.ts';
import { writeJsonAtomic } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import type { Folder } from '../base/file-ops.ts';
import { writeDelta } from '../model/delta.ts';
import type { Model } from '../model/model.ts';
import { loadVersion } from '../model/versions.ts';
import { FILE, PLACEBO_DELTA, readHolds, readScenarioFile, WORK } from '../record/files.ts';
import type { Trained } from '../record/phase-result.ts';
import type { Executor } from '../runtime/executor.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { placeboLessons } from '../teach/teach.ts';
import { asLesson } from '../teach/teacher.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Arm, StepRecord, TrainResult } from '../train/train-settings.ts';
import { Trainer } from '../train/trainer.ts';
import type { ChatPriority } from './chat-priority.ts';
import type { Night, Tell } from './phase.ts';

export interface TrainingTools {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  readonly executor: Executor;
  readonly priority: ChatPriority;
}

/** What one arm gets beside what it learns. */
type Rest = Omit<Arm, 'lessons' | 'minutesMax' | 'resumePath'>;

/** Trains on the night's lessons and, where it is wanted, on a placebo's; writes the deltas. */
export async function trainNight(night: Night, tools: TrainingTools, tell: Tell): Promise<Trained> {
  const { plan, folder } = night;
  const { measure, night: limits } = plan.config;
  const lessons = (await readScenarioFile(folder, 'scenarios')).map(asLesson);
  const holds = await readHolds(folder);
  const arms = measure.hasPlacebo ? 2 : 1;
  const onStep = (arm: number) => (record: StepRecord) =>
    tell(arm * record.steps + record.step, arms * record.steps, { 'teacher KL': record.teacherKl });
  const before = await loadVersion(tools.model, plan.deltas, { ops: folder.ops });
  const { device: _, ...settings } = plan.config.train;
  const trainer = await Trainer.open({
    ...{ model: tools.model, executor: tools.executor, renderer: tools.tokenizer },
    ...{ settings, seed: plan.seed, startFrom: before.weights, ops: folder.ops },
    beforeMicroStep: () => tools.priority.untilIdle(),
    signal: tools.priority.signal,
  });
  const run = (name: ArmName, of: readonly Scenario[], rest: Rest) =>
    trainArm(night, { trainer, base: tools.model.baseHash, name }, { lessons: of, ...rest });
  try {
    const file = await openSteps(folder);
    const real = await run('real', lessons, {
      holds,
      stepsMax: limits.stepsMax,
      onStep(record) {
        onStep(0)(record);
        file.add(record);
      },
    }).finally(() => file.close());
    const { result } = real;
    const others = measure.hasPlacebo ? placeboLessons(lessons) : [];
    // Exactly as many steps; what told it nothing agrees less, and is made to move as far.
    const { steps, outputKl: outputKlMin } = result;
    const rest = { holds, stepsMax: steps, steps, outputKlMin, onStep: onStep(1) };
    const placebo = others.length === 0 ? undefined : await run('deaf', others, rest);
    const { refused } = result;
    await writeJsonAtomic(join(folder.path, FILE.training), { refused }, folder.ops);
    return {
      deltaHash: real.deltaHash,
      deafHash: placebo?.deltaHash ?? null,
      steps: result.steps,
      tokens: result.tokens + (placebo?.result.tokens ?? 0),
      seconds: result.seconds + (placebo?.result.seconds ?? 0),
      stop: result.stop,
      relativeNorm: result.movedShare,
      rank: result.rank,
      lostShare: result.lostShare,
      deafRelativeNorm: placebo?.result.movedShare ?? null,
      outputKl: result.outputKl,
      placeboOutputKl: placebo?.result.outputKl ?? null,
      sources: result.sources,
      examples: lessons.length,
      refused: refused.length,
      memoryBytes: process.memoryUsage().rss,
    };
  } finally {
    await trainer.close();
  }
}

/** As files and deltas of an arm are named. */
type ArmName = 'real' | 'deaf';

/** Trains one arm and writes its delta; one that was cut off is resumed. */
async function trainArm(
  { plan, folder: { path, ops } }: Night,
  { trainer, base, name }: { trainer: Trainer; base: string; name: ArmName },
  arm: Omit<Arm, 'minutesMax' | 'resumePath'>,
): Promise<{ result: TrainResult; deltaHash: string }> {
  await ops.makeFolder(join(path, WORK));
  const result = await trainer.train({
    ...arm,
    minutesMax: plan.config.night.minutesMax,
    resumePath: join(path, WORK, `${name}.checkpoint`),
  });
  if (result.stop === 'aborted') {
    throw new AttuneError('night-failed', 'The night was stopped between two micro-steps.');
  }
  const file = join(path, name === 'real' ? FILE.delta : PLACEBO_DELTA);
  const metadata = { night: plan.night, arm: name };
  const content = { baseHash: base, tensors: result.delta, metadata };
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
