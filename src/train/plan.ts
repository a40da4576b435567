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
import { assertFits, type TrainOptions, type TrainSettings } from './train-settings.ts';

export interface Plan {
  readonly examples: readonly Example[];
  readonly heldOut: readonly Example[];
  readonly replays: readonly Example[];
  readonly refused: readonly { readonly id: string; readonly reason: string }[];
  readonly parameters: readonly Parameter[];
  /** Optimizer steps that examples and budget allow. */
  readonly steps: number;
  readonly optimizer: Optimizer;
  /** Equal for trainings that would do the same. */
  readonly identity: string;
  /** Examples of step `step`, from 0. */
  batch(step: number): readonly Example[];
  /** Replayed turns of step `step`. */
  replayBatch(step: number): readonly Example[];
}

/** @throws training-impossible when nothing can be trained */
export function planTraining(
  options: TrainOptions,
  before: Readonly<Record<string, HostTensor>>,
): Plan {
  const { model, renderer, settings, seed } = options;
  const { numHiddenLayers: layers, numAttentionHeads: heads } = model.config;
  assertFits(settings, { layers, heads });
  const refused: { id: string; reason: string }[] = [];
  const limits = exampleLimits(settings, model);
  const rendered = (scenarios: readonly Scenario[]): Example[] =>
    render(scenarios, { renderer, limits }, refused);
  const examples = rendered(options.scenarios);
  if (examples.length === 0) {
    const reason = refused[0]?.reason ?? 'none was given';
    const message = `no scenario to train on (${refused.length} left out: ${reason})`;
    throw new AttuneError('training-impossible', message, { refused: refused.length });
  }
  const heldOut = rendered(options.heldOut ?? []).filter((e) => e.rejected !== undefined);
  const replays = rendered(options.replays ?? []).map((e) => toReplay(e, settings.replayTokens));
  const { batchSize, epochsMax, stepsMax } = settings;
  const seen = examples.length * epochsMax;
  const steps = Math.min(stepsMax, Math.ceil(seen / batchSize));
  const order = orderOf(
    examples.map((e) => e.scenario),
    seed,
  );
  const replayOrder = orderOf(
    replays.map((e) => e.scenario),
    `replay:${seed}`,
  );
  const count = replays.length === 0 ? 0 : settings.replaysPerStep;
  const parameters = parametersOf(options, before);
  const at = (list: readonly Example[], indices: number[]): Example[] =>
    indices.map((index) => list[index] as Example);
  return {
    examples,
    heldOut,
    replays,
    refused,
    parameters,
    steps,
    optimizer: optimizerOf(settings, seed),
    identity: identityOf(options, parameters, before),
    batch: (step) => at(examples, range(step * batchSize, batchSize, seen).map(order)),
    replayBatch: (step) =>
      at(replays, range(step * count, count, Number.POSITIVE_INFINITY).map(replayOrder)),
  };
}

/** How long an example of a training may be, in tokens. */
export function exampleLimits(settings: TrainSettings, model: Model): ExampleLimits {
  const { contextTokensMax, replyTokensMax } = settings;
  const windowTokens = Math.min(model.windowTokens, contextTokensMax + replyTokensMax);
  return { windowTokens, replyTokensMax };
}

/**
 * The example with its last `tokens` tokens as decision tokens: the reply and, where it is shorter,
 * the end of the prompt. Every row counts; rows in the prompt predict the prompt's own next token.
 * At least one token stays context.
 */
function toReplay(example: Example, tokens: number): Example {
  const { contextIds, chosen } = example;
  const all = [...contextIds, ...chosen.ids];
  const next = [...all.slice(1), chosen.targets.at(-1) as number];
  const from = Math.max(1, all.length - tokens);
  const ids = all.slice(from);
  const { rejected: _, ...rest } = example;
  return {
    ...rest,
    scenario: { ...example.scenario, id: `${example.scenario.id}~replay` },
    contextIds: all.slice(0, from),
    chosen: { ids, targets: next.slice(from), lossMask: ids.map(() => 1) },
  };
}

function range(from: number, size: number, end: number): number[] {
  return Array.from({ length: Math.max(0, Math.min(size, end - from)) }, (_, i) => from + i);
}

/** Position in an endless run of epochs → index. */
function orderOf(scenarios: readonly Scenario[], seed: number | string): (at: number) => number {
  const epochs = new Map<number, number[]>();
  return (at) => {
    const epoch = Math.floor(at / scenarios.length);
    const order = epochs.get(epoch) ?? epochOrder(scenarios, epoch, seed);
    epochs.set(epoch, order);
    return order[at % scenarios.length] as number;
  };
}

/** The matrices that learn, within the layers and heads of the settings. */
function parametersOf(
  { model, settings, trainable = isQProj }: TrainOptions,
  before: Readonly<Record<string, HostTensor>>,
): Parameter[] {
  const { layers, heads } = settings;
  const [from = 0, to = Number.POSITIVE_INFINITY] = layers;
  const parameters: Parameter[] = [];
  for (const [name, { shape }] of model.weights) {
    const layer = Number(/^layers\.(\d+)\./.exec(name)?.[1] ?? -1);
    if (!trainable(name) || layer < from || layer >= to || shape.length !== 2) continue;
    const [rows, columns] = shape as [number, number];
    const isMasked = heads.length > 0 && isQProj(name);
    const rowMask = isMasked ? headRows(heads, rows, model.config.headDim) : undefined;
    parameters.push({
      name,
      shape: [rows, columns],
      unit: rootMeanSquare(before[name] as HostTensor),
      ...(rowMask === undefined ? {} : { rowMask }),
    });
  }
  if (parameters.length === 0) {
    const message = `no matrix to train: layers [${layers}] of ${model.config.numHiddenLayers}`;
    throw new AttuneError('training-impossible', message);
  }
  return parameters;
}

/** Of the entries; of a matrix of zeros the size that a fresh one would have. */
function rootMeanSquare({ data, shape }: HostTensor): number {
  let total = 0;
  for (const value of data) total += value * value;
  return Math.sqrt(total / data.length) || 1 / Math.sqrt(shape[1] as number);
}

function headRows(heads: readonly number[], rows: number, headDim: number): Float32Array {
  const mask = new Float32Array(rows);
  for (const head of heads) mask.fill(1, head * headDim, (head + 1) * headDim);
  return mask;
}

/** APOLLO-Mini is APOLLO of rank 1, with one factor for the whole matrix. */
function optimizerOf(
  { optimizer, rank, projectionSteps }: TrainSettings,
  seed: number | string,
): Optimizer {
  const drawn = { projectionSteps, seed };
  if (optimizer === 'adamw') return adamw;
  if (optimizer === 'apollo-mini') return apollo({ rank: 1, scaling: 'tensor', ...drawn });
  return apollo({ rank, scaling: 'channel', ...drawn });
}

function identityOf(
  { model, settings, seed, scenarios, heldOut, replays }: TrainOptions,
  parameters: readonly Parameter[],
  before: Readonly<Record<string, HostTensor>>,
): string {
  return sha256Json({
    base: model.baseHash,
    first: Object.keys(before)
      .sort()
      .map((name) => [name, hashOf(before[name] as HostTensor)]),
    settings,
    seed,
    parameters: parameters.map(({ name }) => name),
    scenarios: [scenarios, heldOut ?? [], replays ?? []].map((list) => sha256Json(list)),
  });
}

function hashOf({ data }: HostTensor): string {
  return sha256(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}
