// The parts of one transformer layer that both graphs share: norms, projections, rotation, MLP.
import { concat, slice } from '../graph/indexing.ts';
import {
  add,
  matMul,
  multiply,
  reciprocal,
  reduceSum,
  reshape,
  scalar,
  sigmoid,
  sqrt,
  subtract,
} from '../graph/operations.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { ModelConfig } from './config.ts';

/** The weights of one layer by their last name (`qProj`), or those outside the layers. */
export interface Weights {
  /** Undefined where the model has no such weight. */
  find(name: string): Tensor | undefined;
  /** What is added to a weight; undefined where nothing is. Ask once for each weight. */
  factorsOf(name: string): Factors | undefined;
  /** Asks that a row times a fed weight has the same bits whatever rows are beside it. */
  readonly isRepeatable: boolean;
}

/** The product B·A, of low rank, which may be 0. */
export interface Factors {
  /** A, (rank, in). */
  readonly loraA: Tensor;
  /** B, (out, rank). */
  readonly loraB: Tensor;
}

/**
 * `x / sqrt(mean(x²) + ε) · weight` over the last axis; the shape stays.
 * Source: Zhang and Sennrich, arXiv 1910.07467, eq. 4.
 */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor {
  const width = x.shape.at(-1) as number;
  const sumOfSquares = reduceSum(multiply(x, x), [-1], { keep: true }); // (…, 1)
  const meanSquare = multiply(sumOfSquares, scalar(1 / width));
  const scale = reciprocal(sqrt(add(meanSquare, scalar(epsilon))));
  return multiply(multiply(x, scale), weight); // (…, width)
}

/** `x (W + BA)ᵀ + b`: (…, in) → (…, out), with factors and a bias where the model has them. */
export function linear(x: Tensor, weights: Weights, name: string): Tensor {
  const times = (left: Tensor, right: Tensor): Tensor => {
    const isRepeatable = weights.isRepeatable && right.operation.kind === 'input';
    return matMul(left, right, { transposeB: true, isRepeatable });
  };
  const factors = weights.factorsOf(name);
  const own = times(x, needed(weights, name)); // (…, out)
  const projected =
    factors === undefined ? own : add(own, times(times(x, factors.loraA), factors.loraB));
  const bias = weights.find(`${name}Bias`);
  return bias === undefined ? projected : add(projected, bias);
}

/** `W_down (silu(W_gate x) ⊙ W_up x)`: SwiGLU. Source: Shazeer, arXiv 2002.05202, eq. 6. */
export function mlp(x: Tensor, weights: Weights): Tensor {
  const gate = linear(x, weights, 'gateProj'); // (batch, length, intermediateSize)
  const activated = multiply(gate, sigmoid(gate));
  const inner = multiply(activated, linear(x, weights, 'upProj'));
  return linear(inner, weights, 'downProj'); // (batch, length, hiddenSize)
}

export interface Heads {
  /** (batch, length, numAttentionHeads, headDim). */
  readonly query: Tensor;
  /** (batch, length, numKeyValueHeads, headDim). */
  readonly key: Tensor;
  /** (batch, length, numKeyValueHeads, headDim). */
  readonly value: Tensor;
}

/** Queries, keys and values of (batch, length, hiddenSize) before the rotation, q/k norm done. */
export function projectHeads(x: Tensor, weights: Weights, config: ModelConfig): Heads {
  const [batch, length] = x.shape as [string, string];
  const { numAttentionHeads, numKeyValueHeads, headDim, rmsNormEps } = config;
  const split = (name: string, heads: number): Tensor =>
    reshape(linear(x, weights, name), [batch, length, heads, headDim]); // (b, l, heads, headDim)
  const query = split('qProj', numAttentionHeads);
  const key = split('kProj', numKeyValueHeads);
  const value = split('vProj', numKeyValueHeads);
  if (!config.hasQkNorm) return { query, key, value };
  return {
    query: rmsNorm(query, needed(weights, 'qNorm'), rmsNormEps),
    key: rmsNorm(key, needed(weights, 'kNorm'), rmsNormEps),
    value,
  };
}

/** Of each position of a run: (batch, length, 1, headDim / 2), or of all positions. */
export interface Angles {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/**
 * Turns each pair (i, i + headDim/2) by its angle; the shape stays.
 * @param x (batch, length, heads, headDim)
 * Source: transformers 5.18, modeling_llama.py, rotate_half (halves, not neighbours, are paired).
 */
export function rotate(x: Tensor, { cos, sin }: Angles): Tensor {
  const half = (x.shape.at(-1) as number) / 2;
  const first = slice(x, 3, 0, half); // (batch, length, heads, headDim / 2)
  const second = slice(x, 3, half, half); // (batch, length, heads, headDim / 2)
  const turnedFirst = subtract(multiply(first, cos), multiply(second, sin));
  const turnedSecond = add(multiply(second, cos), multiply(first, sin));
  return concat([turnedFirst, turnedSecond], 3); // (batch, length, heads, headDim)
}

/** A weight that every model of the family has; its absence is a programmer's error. */
export function needed(weights: Weights, name: string): Tensor {
  const weight = weights.find(name);
  if (weight === undefined) throw new Error(`model: no weight ${name}`);
  return weight;
}
