// AdamW without weight decay as tensor graph: the baseline optimizer; it knows nothing of models.
import * as op from '../graph/operations.ts';
import { number, zeros } from '../runtime/host-tensor.ts';
import { BETAS, moving, type Optimizer, rootCorrection } from './optimizer.ts';

const EPSILON = 1e-8;

/**
 * `W ← W − rate · (M / (1 − β₁ᵗ)) / (√(V / (1 − β₂ᵗ)) + ε)`, all (rows, columns).
 * With `correction = √(1 − β₂ᵗ) / (1 − β₁ᵗ)` and `rootCorrection = √(1 − β₂ᵗ)` the step is
 * `rate · correction · M / (√V + ε · rootCorrection)`.
 * State: `first` and `second`, the moments M and V of the gradient.
 * Source: Loshchilov & Hutter 2019, arXiv:1711.05101.
 */
export const adamw: Optimizer = {
  init: ({ shape }) => ({ first: zeros(shape), second: zeros(shape) }),

  update({ name, shape }, { weight, gradient }, { rate, correction }) {
    const root = op.input(`rootCorrection.${name}`, 'f32', []);
    const first = moving(op.input(`first.${name}`, 'f32', shape), gradient, BETAS.beta1);
    const squares = op.multiply(gradient, gradient);
    const second = moving(op.input(`second.${name}`, 'f32', shape), squares, BETAS.beta2);
    const floor = op.multiply(op.scalar(EPSILON), root);
    const direction = op.divide(first, op.add(op.sqrt(second), floor));
    const step = op.multiply(op.multiply(rate, correction), direction);
    return { weight: op.subtract(weight, step), state: { first, second } };
  },

  feeds: (_, step) => ({ rootCorrection: number(rootCorrection(step)) }),
};
