// The transformer for scoring, capture and training: primitive operations, so it has a gradient.
import { product, sum } from '../graph/dimension.ts';
import { concat, gather, pick, range, sizeOf } from '../graph/indexing.ts';
import { add, logSoftmax, multiply, reshape, transpose } from '../graph/operations.ts';
import type { Tensor } from '../graph/tensor.ts';
import { attend, attentionBias, type KeyValues, packedAttentionBias } from './attention.ts';
import {
  BATCH,
  GraphBuilder,
  LENGTH,
  PAST,
  type TransformerGraph,
  type WeightOptions,
} from './graph-builder.ts';
import { projectHeads } from './layers.ts';
import type { Model } from './model.ts';

export interface PrimitiveOptions extends WeightOptions {
  /**
   * The inputs `past.<i>.key|value`: one past for each row of the batch (`own`, the default), one
   * that all rows read (`shared`), or `none`. An own or shared past may be empty.
   */
  readonly past?: 'own' | 'shared' | 'none';
  /** Rows that logits, log-probabilities and attention are given for; all by default. */
  readonly rows?: 'all' | 'chosen';
  readonly outputs: {
    readonly logits?: boolean;
    readonly logProbabilities?: boolean;
    readonly attention?: boolean;
    /** Keys and values of this run alone. */
    readonly own?: boolean;
    /** Past and own keys and values in one tensor, which costs a copy of the past. */
    readonly present?: boolean;
  };
}

/**
 * Differentiable; the past is a constant of the run. A row is one of `length`, or of the chosen.
 *
 * Inputs:
 * - `ids` i32 (batch, length), below vocabSize
 * - `positions` i32 (batch, length), below windowTokens
 * - `keyMask` bool (batch, past + length), true = may be attended, the past first; that a row sees
 *   no later key of this run is added here
 * - `past.<i>.key|value` (batch or 1, kvHeads, past, headDim), keys rotated
 * - `rows` i32 (batch, rows), indices into length, where rows are chosen
 * - `targets` i32 (batch, row), the token after each row, where log-probabilities are wanted
 * - the trainable weights, by name, or their factors (a quantised model has no gradient)
 *
 * Outputs:
 * - `logits` (batch, row, vocabSize)
 * - `logProbabilities` (batch, row), `log p(target)` read at its row
 * - `attention.<i>` (batch, heads, row, past + length); equal weights where a row sees no key
 * - `own.<i>.key|value` (batch, kvHeads, length, headDim)
 * - `present.<i>.key|value` (batch, kvHeads, past + length, headDim)
 */
export function primitiveGraph(model: Model, options: PrimitiveOptions): TransformerGraph {
  const { past = 'own', outputs: wanted } = options;
  const { config } = model;
  const build = new GraphBuilder(model, options);
  const ids = build.input('ids', 'i32', [BATCH, LENGTH]);
  const positions = build.input('positions', 'i32', [BATCH, LENGTH]);
  const pastSize = past === 'none' ? 0 : PAST;
  const keyMask = build.input('keyMask', 'bool', [BATCH, sum(pastSize, LENGTH)]);
  const rows = options.rows === 'chosen' ? build.input('rows', 'i32', [BATCH, 'rows']) : undefined;
  const biasOf = past === 'shared' ? packedAttentionBias : attentionBias;
  const bias = biasOf(keyMask, LENGTH, pastSize);
  const angles = build.ropeOf(positions);

  const hidden = build.layers(ids, (layer, x, weights) => {
    const heads = projectHeads(x, weights, config);
    const pastOfLayer =
      past === 'none' ? undefined : build.pastOf(layer, past === 'shared' ? 1 : BATCH);
    const ofLayer = config.unrotatedLayers.includes(layer) ? undefined : angles;
    const inputs = { past: pastOfLayer, angles: ofLayer, bias };
    const { output, attention, own } = attend(heads, inputs, config);
    if (wanted.attention) build.output(`attention.${layer}`, rowsOfAttention(attention, rows));
    if (wanted.own) build.outputKeyValues(`own.${layer}`, own);
    if (wanted.present) build.outputKeyValues(`present.${layer}`, joined(pastOfLayer, own));
    return output;
  });

  if (wanted.logits || wanted.logProbabilities) {
    const read = rows === undefined ? hidden : rowsOf(hidden, rows); // (batch, row, hiddenSize)
    const logits = build.logits(read); // (batch, row, vocabSize)
    if (wanted.logits) build.output('logits', logits);
    if (wanted.logProbabilities) {
      const targets = build.input('targets', 'i32', read.shape.slice(0, 2));
      build.output('logProbabilities', pick(logSoftmax(logits), targets)); // (batch, row)
    }
  }
  return build.done();
}

/** Past and own keys in one tensor: (batch, kvHeads, past + length, headDim). */
function joined(past: KeyValues | undefined, own: KeyValues): KeyValues {
  if (past === undefined) return own;
  return { key: concat([past.key, own.key], 2), value: concat([past.value, own.value], 2) };
}

/** (batch, length, width), i32 (batch, rows): indices into length → (batch, rows, width). */
function rowsOf(x: Tensor, rows: Tensor): Tensor {
  const [batch = 0, length = 0, width = 0] = x.shape;
  const firstRows = multiply(range(batch), sizeOf(length)); // (batch)
  const flatRows = add(rows, reshape(firstRows, [batch, 1])); // (batch, rows)
  return gather(reshape(x, [product(batch, length), width]), flatRows); // (batch, rows, width)
}

/** (batch, heads, length, keys) → (batch, heads, rows, keys), or as it is without a choice. */
function rowsOfAttention(attention: Tensor, rows: Tensor | undefined): Tensor {
  if (rows === undefined) return attention;
  const [batch = 0, heads = 0, length = 0, keys = 0] = attention.shape;
  const byRow = transpose(attention, [0, 2, 1, 3]); // (batch, length, heads, keys)
  const width = product(heads, keys);
  const flat = reshape(byRow, [batch, length, width]); // (batch, length, heads * keys)
  const chosen = rowsOf(flat, rows); // (batch, rows, heads * keys)
  const split = reshape(chosen, [...rows.shape, heads, keys]); // (batch, rows, heads, keys)
  return transpose(split, [0, 2, 1, 3]); // (batch, heads, rows, keys)
}
