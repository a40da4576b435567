// What a training is told, what it tells at each step, and what it gives.
import type { Clock } from '../base/clock.ts';
import type { FileOps } from '../base/file-ops.ts';
import type { Config } from '../config/schema.ts';
import type { DeltaTensor } from '../model/delta.ts';
import type { Model } from '../model/model.ts';
import type { Executor, HostTensor } from '../runtime/executor.ts';
import type { ChatRenderer } from '../scenario/example.ts';
import type { Scenario } from '../scenario/scenario.ts';

/** The `train` section of the configuration; the device is chosen by the caller. */
export type TrainSettings = Omit<Config['train'], 'device'>;

/** One optimizer step. */
export interface StepRecord {
  /** Steps done, from 1. */
  readonly step: number;
  readonly steps: number;
  readonly rate: number;
  /** Mean KL to the teacher over the step's lessons, before the step, nats a token. */
  readonly teacherKl: number;
  /** Mean KL to the start over the step's holds, before the step; null: there are none. */
  readonly holdKl: number | null;
  readonly gradientNorm: number;
  readonly updateNorm: number;
  /** Tokens run so far, contexts and decisions. */
  readonly tokens: number;
  readonly seconds: number;
  readonly lessons: readonly string[];
}

export interface TrainerOptions {
  readonly model: Model;
  readonly executor: Executor;
  readonly renderer: ChatRenderer;
  readonly settings: TrainSettings;
  readonly seed: number | string;
  /** Weights to start from, as `loadVersion` gives them; the base when absent. */
  readonly startFrom?: Readonly<Record<string, HostTensor>> | undefined;
  /** The disk of resume states. */
  readonly ops?: FileOps | undefined;
  /** Awaited before each micro-step: resolves at once, or after a pause. */
  readonly beforeMicroStep?: () => Promise<void>;
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
}

/** What one training learns from. */
export interface Arm {
  /** Scenarios with a teacher. */
  readonly lessons: readonly Scenario[];
  /** Scenarios whose predictions are to stay those of the start. */
  readonly holds: readonly Scenario[];
  readonly stepsMax: number;
  /** Exact number of steps, whatever number of epochs that takes. */
  readonly steps?: number | undefined;
  readonly minutesMax: number;
  /** A fixed peak learning rate; found and controlled by `klPerStep` where absent. */
  readonly rate?: number | undefined;
  /** Where it moves less than this, nats a token on its lessons, its delta is made that much longer. */
  readonly outputKlMin?: number;
  /** File of the state between two steps; one that is there is resumed. */
  readonly resumePath?: string;
  readonly onStep?: (record: StepRecord) => void;
}

export type TrainStop = 'done' | 'steps' | 'minutes' | 'aborted';

export interface TrainResult {
  readonly stop: TrainStop;
  /** Steps done in all, over every resumption. */
  readonly steps: number;
  readonly tokens: number;
  readonly seconds: number;
  /** The last peak learning rate: share of a matrix' root mean square by which entries move. */
  readonly rate: number;
  /** Every fed weight after training. The caller owns it. */
  readonly weights: Readonly<Record<string, HostTensor>>;
  /** After − before, of the matrices that learnt, in the form that is measured and kept. */
  readonly delta: Readonly<Record<string, DeltaTensor>>;
  /** Of its factors; null: dense. */
  readonly rank: number | null;
  /** KL from the full delta's predictions to those of the factors, as a share of what it moved. */
  readonly lostShare: number;
  /** ‖delta‖ ÷ ‖before‖ over the matrices that learnt. */
  readonly movedShare: number;
  /** Mean KL from the start to the trained weights on the lessons' replies, nats a token. */
  readonly outputKl: number;
  /** Ids of scenarios that were left out, with the reason. */
  readonly refused: readonly { readonly id: string; readonly reason: string }[];
  /** Distinct clusters of the lessons. */
  readonly sources: number;
}
