// Settings of the training experiment: what the sweep chooses, and what every cell shares.
import { trainSection } from '../src/config/section/learning.ts';
import type { CompileOptions, Executor } from '../src/runtime/executor.ts';
import type { TrainSettings } from '../src/train/train-settings.ts';

/** What the sweep chooses. */
export interface Choice {
  readonly learningRate: number;
  readonly retentionWeight: number;
  readonly preferenceBeta: number;
  readonly optimizer: TrainSettings['optimizer'];
  readonly epochs: number;
}

export function settingsOf(
  { epochs, ...choice }: Choice,
  dose: number,
  optimizer?: 'adamw',
): TrainSettings {
  const { executor: _, ...defaults } = trainSection.parse({});
  return {
    ...defaults,
    ...choice,
    ...(optimizer === undefined ? {} : { optimizer }),
    epochsMax: epochs,
    stepsMax: 10_000,
    minutesMax: 600,
    tokensMax: 1e9,
    replyTokensMax: 96,
    replayTokens: 48,
    replaysPerStep: 2,
    // Contexts are run again with each epoch, or when they are clearly behind.
    contextRefreshSteps: Math.ceil(dose / defaults.batchSize),
    contextRefreshKlMax: 0.1,
  };
}

/** Packs weights for the kernels: a private copy of each program for some speed. */
export function packing(executor: Executor): Executor {
  return {
    name: executor.name,
    device: executor.device,
    hasFusedAttention: executor.hasFusedAttention,
    compile: (outputs, options: CompileOptions = {}) =>
      executor.compile(outputs, { ...options, isPrepacked: true }),
    upload: (tensor) => executor.upload(tensor),
    close: () => executor.close(),
  };
}
