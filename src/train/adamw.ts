// AdamW as tensor graph: the baseline optimizer; it knows nothing of models.
import * as op from '../graph/operations.ts';
import type { Tensor } from '../graph/tensor.ts';
import { moving, type StepScalars } from './apollo.ts';

/** Source: Loshchilov & Hutter 2019, arXiv:1711.05101. */
export interface AdamWSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

export const ADAMW_DEFAULTS: AdamWSettings = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

export interface AdamWState {
  /** Moments of the gradient, both (rows, columns). */
  readonly first: Tensor;
  readonly second: Tensor;
}

/**
 * `W ← W − decay W;  W ← W − rate · (M / (1 − β₁ᵗ)) / (√(V / (1 − β₂ᵗ)) + ε)`, all (rows, columns).
 * With `correction = √(1 − β₂ᵗ) / (1 − β₁ᵗ)` and `rootCorrection = √(1 − β₂ᵗ)` the step is
 * `rate · correction · M / (√V + ε · rootCorrection)`.
 */
export function adamwUpdate(
  tensors: { weight: Tensor; gradient: Tensor; state: AdamWState },
  scalars: StepScalars & { readonly rootCorrection: Tensor },
  settings: AdamWSettings,
): { weight: Tensor; state: AdamWState } {
  const { weight, gradient, state } = tensors;
  const first = moving(state.first, gradient, settings.beta1);
  const second = moving(state.second, op.multiply(gradient, gradient), settings.beta2);
  const floor = op.multiply(op.scalar(settings.epsilon), scalars.rootCorrection);
  const direction = op.divide(first, op.add(op.sqrt(second), floor));
  const kept = op.subtract(weight, op.multiply(scalars.decay, weight));
  const step = op.multiply(op.multiply(scalars.rate, scalars.correction), direction);
  return { weight: op.subtract(kept, step), state: { first, second } };
}
