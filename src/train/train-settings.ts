// What a training is told, what it tells at each step, and what it gives.
import type { Clock } from '../base/clock.ts';
import { AttuneError } from '../base/errors.ts';
import type { FileOps } from '../base/file-ops.ts';
import type { Config } from '../config/schema.ts';
import type { Model } from '../model/model.ts';
import type { Executor, HostTensor } from '../runtime/executor.ts';
import type { ChatRenderer } from '../scenario/example.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { FloatTensor } from './difference.ts';

/** The `train` section of the configuration; the executor is chosen by the caller. */
export type TrainSettings = Omit<Config['train'], 'executor'>;

/**
 * Settings that name parts of a model name some that it has.
 * @throws config-invalid with the model's numbers
 */
export function assertFits(
  { layers: range, heads: chosen }: Pick<TrainSettings, 'layers' | 'heads'>,
  { layers, heads }: { readonly layers: number; readonly heads: number },
): void {
  const [from = 0, to = layers] = range;
  if (from >= to || to > layers) {
    const message =
      `train.layers: [${range.join(', ')}] is no range of layers of this model, which has ` +
      `${layers}: from 0 to ${layers}, the second one past the last that learns.`;
    throw new AttuneError('config-invalid', message, { layers });
  }
  const unknown = chosen.find((head) => head >= heads);
  if (unknown === undefined) return;
  const message = `train.heads: there is no head ${unknown}; this model has ${heads}, from 0 to ${heads - 1}.`;
  throw new AttuneError('config-invalid', message, { heads, head: unknown });
}

/** One optimizer step. Means are over the step's scenarios. */
export interface StepRecord {
  /** Steps done, from 1. */
  readonly step: number;
  readonly steps: number;
  readonly rate: number;
  /** `loss`, `chosen`, `guard`, `preference`, `margin` (nats a token), `retention`; each apart. */
  readonly terms: Readonly<Record<string, number>>;
  readonly gradientNorm: number;
  readonly updateNorm: number;
  /** Tokens run so far, contexts and decisions. */
  readonly tokens: number;
  readonly seconds: number;
  readonly scenarios: readonly string[];
  /** KL of kept contexts against fresh ones, where it was probed. */
  readonly contextKl?: number;
  /** Mean margin on held-out scenarios, where it was measured, nats a token. */
  readonly heldOutMargin?: number;
}

export interface TrainOptions {
  readonly model: Model;
  readonly executor: Executor;
  readonly renderer: ChatRenderer;
  readonly scenarios: readonly Scenario[];
  /** Watched for the early stop; never trained on. */
  readonly heldOut?: readonly Scenario[];
  /** Ordinary talk, replayed against forgetting. */
  readonly replays?: readonly Scenario[];
  readonly settings: TrainSettings;
  readonly seed: number | string;
  /** Weights to start from, as `loadVersion` gives them; the base when absent. */
  readonly startFrom?: Readonly<Record<string, HostTensor>>;
  /** What may move: the query projections, or more in an ablation. */
  readonly trainable?: (name: string) => boolean;
  /** File of the state between two steps; one that is there is resumed. */
  readonly resumePath?: string;
  /** The disk of that file. */
  readonly ops?: FileOps;
  readonly onStep?: (record: StepRecord) => void;
  /** Awaited before each micro-step: resolves at once, or after a pause. */
  readonly beforeMicroStep?: () => Promise<void>;
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
}

export type TrainStop = 'done' | 'steps' | 'minutes' | 'tokens' | 'no-progress' | 'aborted';

export interface TrainResult {
  readonly stop: TrainStop;
  /** Steps done in all, over every resumption. */
  readonly steps: number;
  readonly tokens: number;
  readonly seconds: number;
  /** Step whose weights these are: the last whose held-out margin is above the start's. */
  readonly keptStep: number;
  readonly heldOutMarginBefore?: number;
  readonly heldOutMargin?: number;
  /** Every fed weight after training. The caller owns it. */
  readonly weights: Readonly<Record<string, HostTensor>>;
  /** After − before, of the matrices that learnt. */
  readonly delta: Readonly<Record<string, FloatTensor>>;
  /** ‖delta‖ ÷ ‖before‖ over the matrices that learnt. */
  readonly movedShare: number;
  /** Ids of scenarios that were left out, with the reason. */
  readonly refused: readonly { readonly id: string; readonly reason: string }[];
  /** Distinct clusters trained on. */
  readonly sources: number;
}
