// What an optimizer is, and one step of it over many matrices: state, graph, and what is fed.
import * as op from '../graph/operations.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { HostTensor } from '../runtime/executor.ts';
import { number } from '../runtime/host-tensor.ts';

/** A matrix that is trained. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly [rows: number, columns: number];
  /** What a learning rate of 1 means for an entry of this matrix; 1 when absent. */
  readonly unit?: number;
}

/** What every optimizer gets a step, as scalars (). */
export interface StepScalars {
  /** Learning rate of this step. */
  readonly rate: Tensor;
  /** `sqrt(1 − β₂ᵗ) / (1 − β₁ᵗ)`. */
  readonly correction: Tensor;
}

/**
 * An optimizer of matrices as pure functions: state in, state out. State and feeds go by part; in
 * the graph of a step the part of a matrix is the input `<part>.<matrix>`.
 * Source: the shape of Optax's gradient transformations.
 */
export interface Optimizer {
  /** The state of a matrix before the first step: zeros, f32. The caller owns it. */
  init(parameter: Parameter): Readonly<Record<string, HostTensor>>;
  /** One update of a matrix; weight and gradient are (rows, columns). @returns both after it */
  update(
    parameter: Parameter,
    tensors: { readonly weight: Tensor; readonly gradient: Tensor },
    scalars: StepScalars,
  ): { readonly weight: Tensor; readonly state: Readonly<Record<string, Tensor>> };
  /**
   * What `update` reads of a matrix at step `step` (from 0) beside its state; the same tensor while
   * it stays the same, which is then not moved to a device again. Nobody writes it.
   */
  feeds(parameter: Parameter, step: number): Readonly<Record<string, HostTensor>>;
}

/** Moments of every optimizer here decay by these. */
export const BETAS = { beta1: 0.9, beta2: 0.999 } as const;

/** `β m + (1 − β) x`. */
export const moving = (moment: Tensor, x: Tensor, beta: number): Tensor =>
  op.add(op.multiply(moment, op.scalar(beta)), op.multiply(x, op.scalar(1 - beta)));

/** `√(1 − β₂ᵗ)` after step `step` (from 0). */
export const rootCorrection = (step: number): number => Math.sqrt(1 - BETAS.beta2 ** (step + 1));

type HostTensors = Record<string, HostTensor>;

const byMatrix = (
  parameters: readonly Parameter[],
  of: (parameter: Parameter) => Readonly<HostTensors>,
): HostTensors =>
  Object.fromEntries(
    parameters.flatMap((parameter) =>
      Object.entries(of(parameter)).map(([part, tensor]) => [`${part}.${parameter.name}`, tensor]),
    ),
  );

/** The state of all matrices before the first step, `<part>.<matrix>`. The caller owns it. */
export function initState(optimizer: Optimizer, parameters: readonly Parameter[]): HostTensors {
  return byMatrix(parameters, (parameter) => optimizer.init(parameter));
}

export interface StepRates {
  readonly rate: number;
  /** Turns summed gradients into a mean. */
  readonly gradientScale: number;
}

/** What the graph of step `step` (from 0) is fed beside weights, state and gradients. */
export function stepFeeds(
  optimizer: Optimizer,
  parameters: readonly Parameter[],
  { step, rate, gradientScale }: StepRates & { readonly step: number },
): HostTensors {
  return {
    rate: number(rate),
    correction: number(rootCorrection(step) / (1 - BETAS.beta1 ** (step + 1))),
    gradientScale: number(gradientScale),
    ...byMatrix(parameters, (parameter) => optimizer.feeds(parameter, step)),
  };
}

/**
 * The graph of one step over all matrices.
 * Inputs: those of `stepFeeds`; per matrix its weight by name (rows, columns), `sum.<name>` (rows,
 * columns) the summed gradient, and the state.
 * Outputs: weights and state as `next.<same name>`, `gradientNorm` (), and
 * `updateNorm` () = ‖W_after − W_before‖ over all matrices.
 */
export function updateGraph(
  optimizer: Optimizer,
  parameters: readonly Parameter[],
): Record<string, Tensor> {
  const scalar = (name: string): Tensor => op.input(name, 'f32', []);
  const scale = scalar('gradientScale');
  const [rate, correction] = [scalar('rate'), scalar('correction')];
  const gradients = parameters.map(({ name, shape }) =>
    op.multiply(op.input(`sum.${name}`, 'f32', shape), scale),
  );
  const outputs: Record<string, Tensor> = { gradientNorm: op.sqrt(sumOfSquares(gradients)) };
  const moves = parameters.map((parameter, i) => {
    const weight = op.input(parameter.name, 'f32', parameter.shape);
    const updated = optimizer.update(
      parameter,
      { weight, gradient: gradients[i] as Tensor },
      { rate: op.multiply(rate, op.scalar(parameter.unit ?? 1)), correction },
    );
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
