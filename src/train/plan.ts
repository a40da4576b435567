// What a training will do, fixed before it begins: examples, matrices, number of steps, order.
import { AttuneError } from '../base/errors.ts';
import { sha256, sha256Json } from '../base/hash.ts';
import type { Model } from '../model/model.ts';
import { isQProj } from '../model/weight-names.ts';
import { render } from '../reading/render.ts';
import type { HostTensor } from '../runtime/executor.ts';
import type { Example, ExampleLimits } from '../scenario/example.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { adamw } from './adamw.ts';
import { apollo } from './apollo.ts';
import type { Optimizer, Parameter } from './optimizer.ts';
import { epochOrder } from './schedule.ts';
import type { Arm, TrainerOptions, TrainSettings } from './train-settings.ts';

export interface Plan {
  readonly lessons: readonly Example[];
  readonly holds: readonly Example[];
  readonly refused: readonly { readonly id: string; readonly reason: string }[];
  /** Optimizer steps that lessons and budget allow. */
  readonly steps: number;
  /** Equal for trainings that would do the same. */
  readonly identity: string;
  /** Examples of step `step`, from 0. */
  batch(step: number): { readonly lessons: readonly Example[]; readonly holds: readonly Example[] };
}

/** @throws training-impossible when nothing can be trained */
export function planTraining(
  { model, renderer, settings, seed }: TrainerOptions,
  arm: Arm,
  before: Readonly<Record<string, HostTensor>>,
): Plan {
  const refused: { id: string; reason: string }[] = [];
  const rendering = { renderer, limits: exampleLimits(settings, model) };
  const lessons = render(arm.lessons, rendering, refused).filter(({ scenario, ...example }) => {
    const tokens = (example.teacherIds?.length ?? 0) + example.chosen.ids.length;
    if (tokens <= model.windowTokens) return true;
    const reason = `its teacher has ${tokens} tokens, the window ${model.windowTokens}`;
    refused.push({ id: scenario.id, reason });
    return false;
  });
  if (lessons.length === 0) {
    const reason = refused[0]?.reason ?? 'none was given';
    const message = `no lesson to train on (${refused.length} left out: ${reason})`;
    throw new AttuneError('training-impossible', message, { refused: refused.length });
  }
  const holds = render(arm.holds, rendering, refused);
  const { batchSize, holdsPerStep, epochsMax } = settings;
  const seen = arm.steps === undefined ? lessons.length * epochsMax : arm.steps * batchSize;
  const lessonAt = endless(lessons, seed);
  const holdAt = endless(holds, `hold:${seed}`);
  const heldPerStep = holds.length === 0 ? 0 : holdsPerStep;
  return {
    lessons,
    holds,
    refused,
    steps: Math.min(arm.stepsMax, Math.ceil(seen / batchSize)),
    identity: sha256Json({
      base: model.baseHash,
      first: Object.keys(before)
        .sort()
        .map((name) => [name, hashOf(before[name] as HostTensor)]),
      // How many contexts are kept changes no number.
      settings: { ...settings, contextCacheBytesMax: 0 },
      seed,
      rate: arm.rate ?? null,
      stepsMax: arm.stepsMax,
      ...(arm.steps === undefined ? {} : { steps: arm.steps }),
      scenarios: [arm.lessons, arm.holds].map((list) => sha256Json(list)),
    }),
    batch: (step) => ({
      lessons: range(step * batchSize, batchSize, seen).map(lessonAt),
      holds: range(step * heldPerStep, heldPerStep, Number.POSITIVE_INFINITY).map(holdAt),
    }),
  };
}

/** How long an example of a training may be, in tokens. */
export function exampleLimits(settings: TrainSettings, model: Model): ExampleLimits {
  const { contextTokensMax, replyTokensMax } = settings;
  const windowTokens = Math.min(model.windowTokens, contextTokensMax + replyTokensMax);
  return { windowTokens, replyTokensMax };
}

function range(from: number, size: number, end: number): number[] {
  return Array.from({ length: Math.max(0, Math.min(size, end - from)) }, (_, i) => from + i);
}

/** Position in an endless run of epochs → example. */
function endless(examples: readonly Example[], seed: number | string): (at: number) => Example {
  const ids = examples.map(
    ({ scenario }: { scenario: Scenario }) => scenario.pair?.id ?? scenario.id,
  );
  const epochs = new Map<number, number[]>();
  return (at) => {
    const epoch = Math.floor(at / examples.length);
    const order = epochs.get(epoch) ?? epochOrder(ids, epoch, seed);
    epochs.set(epoch, order);
    return examples[order[at % examples.length] as number] as Example;
  };
}

/** The matrices that learn: the query projections. */
export function parametersOf(model: Model): Parameter[] {
  const learning = [...model.weights.values()].filter(({ name }) => isQProj(name));
  return learning.map(({ name, shape }) => {
    const [rows, columns] = shape as [number, number];
    // An optimizer's update has entries of about 1: all matrices together move by the rate.
    return { name, shape: [rows, columns], unit: 1 / Math.sqrt(rows * columns * learning.length) };
  });
}

export function optimizerOf({ optimizer, rank }: TrainSettings, seed: number | string): Optimizer {
  return optimizer === 'adamw' ? adamw : apollo({ rank, scaling: 'tensor', seed });
}

function hashOf({ data }: HostTensor): string {
  return sha256(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}
