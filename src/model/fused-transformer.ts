// The transformer for chat prefill and decode: fused kernels, so it is fast and has no gradient.
import { product } from '../graph/dimension.ts';
import { fusedRmsNorm, groupQueryAttention, rotaryEmbedding } from '../graph/fused.ts';
import { concat, gather, slice } from '../graph/indexing.ts';
import { logSoftmax, reshape, subtract } from '../graph/operations.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { ModelConfig } from './config.ts';
import {
  type Attention,
  BATCH,
  GraphBuilder,
  LENGTH,
  type TransformerGraph,
  type WeightOptions,
} from './graph-builder.ts';
import { linear, needed, type Weights } from './layers.ts';
import type { Model } from './model.ts';

export interface FusedOptions extends WeightOptions {
  /**
   * What a run gives back of its keys and values: `own`, those of its new tokens (cheap where
   * outputs are copied home), or `present`, the whole cache (where it stays on the device).
   */
  readonly keep?: 'own' | 'present';
}

/** ONNX Runtime 1.30 refuses to rotate heads of other sizes inside the attention kernel. */
const ROTARY_HEAD_DIM_MULTIPLE = 16;

/**
 * Several new tokens upon a past need a batch of one: a limit of the kernel.
 *
 * Inputs:
 * - `ids` i32 (batch, length)
 * - `positions` i32 (batch, length), below windowTokens; absent where the kernel itself rotates
 * - `lengths` i32 (batch), tokens of each row, past and new, less one
 * - `total` i32 (), the most tokens of any row
 * - `last` i32 (rows), indices into batch * length of the tokens after which logits are wanted
 * - `past.<i>.key|value` (batch, kvHeads, past, headDim), keys rotated, each row's tokens first;
 *   it may be longer than any row
 * - the trainable weights, by name, or their factors
 *
 * Outputs:
 * - `logits` (rows, vocabSize)
 * - `logSums` (rows), `log Σ exp(logits)` of each row
 * - `own` (batch, length, layers * 2 * kvHeads * headDim): the keys, then the values of the first
 *   layer, and so on (one output, since each costs a run some time), or
 *   `present.<i>.key|value` (batch, kvHeads, past + length, headDim)
 */
export function fusedGraph(model: Model, options: FusedOptions = {}): TransformerGraph {
  const { config } = model;
  const { numAttentionHeads: heads, numKeyValueHeads: kvHeads, headDim } = config;
  const isOwn = options.keep !== 'present';
  const isRotatedInside = !isOwn && headDim % ROTARY_HEAD_DIM_MULTIPLE === 0;
  const build = new GraphBuilder(model, options);
  const ids = build.input('ids', 'i32', [BATCH, LENGTH]);
  const positions = build.input('positions', 'i32', [BATCH, LENGTH]);
  const lengths = build.input('lengths', 'i32', [BATCH]);
  const total = build.input('total', 'i32', []);
  const last = build.input('last', 'i32', ['rows']);
  const tables = build.ropeTables();
  const rows = product(BATCH, LENGTH);
  const own: Tensor[] = [];

  const attention: Attention = (layer, x, weights) => {
    const isRotated = !config.unrotatedLayers.includes(layer);
    const rotate = (x: Tensor, count: number): Tensor =>
      isRotated && !isRotatedInside ? rotaryEmbedding(x, positions, tables, count) : x;
    const query = rotate(flatHeads(x, weights, 'q', config), heads);
    const key = rotate(flatHeads(x, weights, 'k', config), kvHeads);
    const value = flatHeads(x, weights, 'v', config);
    const past = build.pastOf(layer);
    const attended = groupQueryAttention(
      {
        ...{ query, key, value, lengths, total },
        ...{ pastKey: past.key, pastValue: past.value },
        ...(isRotated && isRotatedInside ? { rotary: tables } : {}),
      },
      { heads, kvHeads, scale: config.scales.attention },
    );
    const present = { key: attended.presentKey, value: attended.presentValue };
    if (isOwn) own.push(key, value);
    else build.outputKeyValues(`present.${layer}`, present);
    return reshape(attended.output, [rows, heads * headDim]); // (rows, heads * headDim)
  };
  const hidden = build.layers(reshape(ids, [rows]), attention, fusedRmsNorm); // (rows, hiddenSize)

  const logits = build.logits(gather(hidden, last)); // (rows, vocabSize)
  build.output('logits', logits);
  build.output('logSums', logSumExp(logits));
  if (isOwn) build.output('own', concat(own, 2));
  return build.done();
}

/**
 * `log Σ exp(x)` over the last axis: (batch, n) → (batch). By way of one entry of the logarithm of
 * softmax, whose kernel works row by row; sums round otherwise for one row than for several.
 */
function logSumExp(x: Tensor): Tensor {
  const first = (of: Tensor): Tensor => slice(of, 1, 0, 1); // (batch, 1)
  return reshape(subtract(first(x), first(logSoftmax(x))), x.shape.slice(0, 1)); // (batch)
}

/** Queries, keys or values of (batch * length, hiddenSize): (batch, length, heads * headDim). */
function flatHeads(x: Tensor, weights: Weights, which: 'q' | 'k' | 'v', config: ModelConfig) {
  const { numAttentionHeads, numKeyValueHeads, headDim, hasQkNorm, rmsNormEps } = config;
  const heads = which === 'q' ? numAttentionHeads : numKeyValueHeads;
  const projected = linear(x, weights, `${which}Proj`); // (batch * length, heads * headDim)
  const flat = [BATCH, LENGTH, heads * headDim];
  if (which === 'v' || !hasQkNorm) return reshape(projected, flat); // (b, l, heads * headDim)
  const perHead = reshape(projected, [BATCH, LENGTH, heads, headDim]); // (b, l, heads, headDim)
  const normed = fusedRmsNorm(perHead, needed(weights, `${which}Norm`), rmsNormEps);
  return reshape(normed, flat); // (batch, length, heads * headDim)
}
