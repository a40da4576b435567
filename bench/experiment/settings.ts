// Settings of the training experiment: what the sweep chooses, what every cell shares, remedies.
import { trainSection } from '../../src/config/section/learning.ts';
import type { CompileOptions, Executor } from '../../src/runtime/executor.ts';
import type { TrainSettings } from '../../src/train/train-settings.ts';
import type { Cell } from './cells.ts';

/** What the sweep chooses. */
export interface Choice {
  readonly learningRate: number;
  readonly retentionWeight: number;
  readonly preferenceBeta: number;
}

const { executor: _, ...DEFAULTS } = trainSection.parse({});

/** Where nothing was swept. */
export const DEFAULT_CHOICE: Choice = {
  learningRate: DEFAULTS.learningRate,
  // What the registered experiment was run with; nights hold talk harder since.
  retentionWeight: 2,
  preferenceBeta: DEFAULTS.preferenceBeta,
};

/** What is tried when W_q does nothing beyond the deaf arm; none of it is pre-registered. */
export const REMEDIES = {
  'double-rate': (s: TrainSettings) => ({ learningRate: 2 * s.learningRate }),
  'three-epochs': () => ({ epochsMax: 3 }),
  'fresh-contexts': () => ({ contextRefreshSteps: 4, contextRefreshKlMax: 0.005 }),
  'sharp-preference': (s: TrainSettings) => ({ preferenceBeta: 5 * s.preferenceBeta }),
  'early-layers': () => ({ layers: [0, 4] }),
} as const satisfies Record<string, (settings: TrainSettings) => Partial<TrainSettings>>;

export type Remedy = keyof typeof REMEDIES;

/** @param dose scenarios of an epoch */
export function settingsOf(
  choice: Choice,
  dose: number,
  { optimizer, remedy }: Pick<Cell, 'optimizer' | 'remedy'> = {},
): TrainSettings {
  const settings: TrainSettings = {
    ...DEFAULTS,
    ...choice,
    // As it was registered; nights learn by IPO since.
    preference: 'dpo',
    ...(optimizer === undefined ? {} : { optimizer }),
    epochsMax: 1,
    stepsMax: 10_000,
    minutesMax: 600,
    tokensMax: 1e9,
    replyTokensMax: 96,
    replayTokens: 48,
    replaysPerStep: 2,
    // Contexts are run again with each epoch, or when they are clearly behind.
    contextRefreshSteps: Math.ceil(dose / DEFAULTS.batchSize),
    contextRefreshKlMax: 0.1,
  };
  return { ...settings, ...(remedy === undefined ? {} : REMEDIES[remedy](settings)) };
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
