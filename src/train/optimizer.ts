// One optimizer over many matrices: state, the update graph, and what the host feeds each step.
import { createRandom } from '../base/random.ts';
import * as op from '../graph/operations.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { HostTensor } from '../runtime/executor.ts';
import { ADAMW_DEFAULTS, adamwUpdate } from './adamw.ts';
import {
  APOLLO_DEFAULTS,
  type ApolloSettings,
  adamSizedScale,
  apolloShapes,
  apolloUpdate,
  type StepScalars,
} from './apollo.ts';

export type OptimizerName = 'apollo' | 'apollo-mini' | 'adamw';

/** A matrix that is trained. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly [rows: number, columns: number];
  /** Rows that may move, 1 or 0 (rows); all when absent. */
  readonly rowMask?: Float32Array;
  /** What a learning rate of 1 means for an entry of this matrix; 1 when absent. */
  readonly unit?: number;
}

export interface OptimizerSettings {
  readonly optimizer: OptimizerName;
  /** Rank of APOLLO's projections. */
  readonly rank: number;
  /** Replaces the scale that gives updates of AdamW's size (smaller side / rank). */
  readonly scale?: number;
  /** Steps between two draws of the projections. */
  readonly projectionSteps: number;
  /** Recorded; projections depend on it, the matrix' name and the number of the draw alone. */
  readonly seed: number | string;
  /** Gradients of all matrices together are cut to this norm; 0 = off. */
  readonly gradientNormMax: number;
  /** 0 = no limiter. */
  readonly growthMax?: number;
  readonly growthFloor?: number;
}

type Feeds = Record<string, HostTensor>;

const zeros = (shape: readonly number[]): HostTensor => ({
  dtype: 'f32',
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
});

/** APOLLO's settings for one matrix. */
export function apolloSettings(settings: OptimizerSettings, parameter: Parameter): ApolloSettings {
  const isMini = settings.optimizer === 'apollo-mini';
  const [rows, columns] = parameter.shape;
  const rank = isMini ? 1 : Math.min(settings.rank, rows, columns);
  return {
    ...APOLLO_DEFAULTS,
    rank,
    scaling: isMini ? 'tensor' : 'channel',
    scale: settings.scale ?? adamSizedScale(rows, columns, rank),
    ...(settings.growthMax === undefined ? {} : { growthMax: settings.growthMax }),
    ...(settings.growthFloor === undefined ? {} : { growthFloor: settings.growthFloor }),
  };
}

const isAdamW = (settings: OptimizerSettings): boolean => settings.optimizer === 'adamw';

/** The state before the first step: zeros, named `<part>.<matrix>`; fp32. Caller owns it. */
export function initState(settings: OptimizerSettings, parameters: readonly Parameter[]): Feeds {
  const state: Feeds = {};
  for (const parameter of parameters) {
    const { name, shape } = parameter;
    const moment = isAdamW(settings)
      ? shape
      : apolloShapes(shape[0], shape[1], apolloSettings(settings, parameter).rank).moment;
    state[`first.${name}`] = zeros(moment);
    state[`second.${name}`] = zeros(moment);
    if (!isAdamW(settings)) state[`norm.${name}`] = zeros([]);
  }
  return state;
}

/** Number of the draw that step `step` (from 0) uses. */
export function drawIndex(settings: OptimizerSettings, step: number): number {
  return Math.floor(step / settings.projectionSteps);
}

/**
 * The projections of a draw, `projection.<matrix>`, entries N(0, 1 / rank). They depend on the
 * recorded seed, the matrix' name and the draw's number alone, so nothing of them is stored.
 */
export function drawProjections(
  settings: OptimizerSettings,
  parameters: readonly Parameter[],
  draw: number,
): Feeds {
  if (isAdamW(settings)) return {};
  const random = createRandom(`projection:${settings.seed}`);
  const feeds: Feeds = {};
  for (const parameter of parameters) {
    const { rank } = apolloSettings(settings, parameter);
    const shape = apolloShapes(parameter.shape[0], parameter.shape[1], rank).projection;
    const tensor = zeros(shape);
    random
      .split(parameter.name)
      .split(draw)
      .fillGaussian(tensor.data as Float32Array, 1 / Math.sqrt(rank));
    feeds[`projection.${parameter.name}`] = tensor;
  }
  return feeds;
}

const scalarOf = (value: number): HostTensor => ({
  dtype: 'f32',
  shape: [],
  data: Float32Array.of(value),
});

/** The scalars of step `step` (from 0). `gradientScale` turns summed gradients into a mean. */
export function stepScalars(
  step: number,
  {
    rate,
    weightDecay,
    gradientScale,
  }: { rate: number; weightDecay: number; gradientScale: number },
): Feeds {
  const { beta1, beta2 } = APOLLO_DEFAULTS;
  const root = Math.sqrt(1 - beta2 ** (step + 1));
  return {
    rate: scalarOf(rate),
    correction: scalarOf(root / (1 - beta1 ** (step + 1))),
    rootCorrection: scalarOf(root),
    decay: scalarOf(rate * weightDecay),
    gradientScale: scalarOf(gradientScale),
  };
}

/**
 * The graph of one step over all matrices.
 * Inputs: the scalars of `stepScalars`; per matrix its weight by name (rows, columns),
 * `sum.<name>` (rows, columns) the summed gradient, the state, and the projections.
 * Outputs: weights and state as `next.<same name>`, `gradientNorm` () before the cut, and
 * `updateNorm` () = ‖W_after − W_before‖ over all matrices.
 */
export function updateGraph(
  settings: OptimizerSettings,
  parameters: readonly Parameter[],
): Record<string, Tensor> {
  const number = (name: string): Tensor => op.input(name, 'f32', []);
  const scale = number('gradientScale');
  const scalars = {
    rate: number('rate'),
    correction: number('correction'),
    decay: number('decay'),
    ...(isAdamW(settings) ? { rootCorrection: number('rootCorrection') } : {}),
  };
  const raw = parameters.map(({ name, shape, rowMask }) => {
    const mean = op.multiply(op.input(`sum.${name}`, 'f32', shape), scale);
    if (rowMask === undefined) return mean;
    const source = { from: 'inline', data: rowMask } as const;
    return op.multiply(mean, op.constant(`rows.${name}`, source, 'f32', [shape[0], 1]));
  });
  const gradientNorm = op.sqrt(sumOfSquares(raw));
  const gradients = raw.map((g) => cut(g, gradientNorm, settings.gradientNormMax));
  const outputs: Record<string, Tensor> = { gradientNorm };
  const moves = parameters.map((parameter, i) => {
    const weight = op.input(parameter.name, 'f32', parameter.shape);
    const gradient = gradients[i] as Tensor;
    const own = { ...scalars, rate: op.multiply(scalars.rate, op.scalar(parameter.unit ?? 1)) };
    const updated = isAdamW(settings)
      ? adamwOf(parameter, weight, gradient, own)
      : apolloOf(parameter, weight, gradient, { scalars: own, settings });
    outputs[`next.${parameter.name}`] = updated.weight;
    for (const [part, tensor] of Object.entries(updated.state)) {
      outputs[`next.${part}.${parameter.name}`] = tensor;
    }
    return op.subtract(updated.weight, weight);
  });
  return { ...outputs, updateNorm: op.sqrt(sumOfSquares(moves)) };
}

function sumOfSquares(tensors: readonly Tensor[]): Tensor {
  return tensors.map((t) => op.reduceSum(op.multiply(t, t))).reduce((a, b) => op.add(a, b));
}

function cut(gradient: Tensor, norm: Tensor, most: number): Tensor {
  if (most === 0) return gradient;
  return op.multiply(gradient, op.divide(op.scalar(most), op.maximum(norm, op.scalar(most))));
}

const stateInputs = (name: string, shape: readonly number[]) => ({
  first: op.input(`first.${name}`, 'f32', shape),
  second: op.input(`second.${name}`, 'f32', shape),
});

function adamwOf(
  { name, shape }: Parameter,
  weight: Tensor,
  gradient: Tensor,
  scalars: StepScalars & { rootCorrection?: Tensor },
): { weight: Tensor; state: object } {
  const state = stateInputs(name, shape);
  const { rootCorrection, ...rest } = scalars;
  if (rootCorrection === undefined) throw new Error('optimizer: AdamW needs rootCorrection');
  return adamwUpdate({ weight, gradient, state }, { ...rest, rootCorrection }, ADAMW_DEFAULTS);
}

function apolloOf(
  parameter: Parameter,
  weight: Tensor,
  gradient: Tensor,
  { scalars, settings }: { scalars: StepScalars; settings: OptimizerSettings },
): { weight: Tensor; state: object } {
  const { name, shape } = parameter;
  const own = apolloSettings(settings, parameter);
  const shapes = apolloShapes(shape[0], shape[1], own.rank);
  const state = { ...stateInputs(name, shapes.moment), norm: op.input(`norm.${name}`, 'f32', []) };
  const projection = op.input(`projection.${name}`, 'f32', shapes.projection);
  return apolloUpdate({ weight, gradient, projection, state }, scalars, own);
}
