// The one description of the transformer, as a primitive graph (it has gradients) and a fused one.
import { type Dimension, product, sum } from '../graph/dimension.ts';
import { fusedRmsNorm, groupQueryAttention, rotaryEmbedding } from '../graph/fused.ts';
import { concat, gather, pick, range, sizeOf } from '../graph/indexing.ts';
import { add, logSoftmax, multiply, reshape, transpose } from '../graph/operations.ts';
import type { Tensor } from '../graph/tensor.ts';
import { attend, attentionBias, type KeyValues } from './attention.ts';
import type { ModelConfig } from './config.ts';
import {
  BATCH,
  GraphBuilder,
  LENGTH,
  PAST,
  type TransformerGraph,
  type WeightOptions,
} from './graph-builder.ts';
import { linear, needed, projectHeads, type Weights } from './layers.ts';
import type { Model } from './model.ts';
import { valueNorms } from './value-norms.ts';

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
    readonly valueNorms?: boolean;
    /** Keys and values of this run alone. */
    readonly own?: boolean;
    /** Past and own keys and values in one tensor, which costs a copy of the past. */
    readonly present?: boolean;
  };
}

/**
 * Scoring, attention capture, training, and chat where no fused kernel is faster. Differentiable;
 * the past is a constant of the run.
 *
 * Inputs: `ids` i32 (batch, length), below vocabSize. `positions` i32 (batch, length), below
 * windowTokens. `keyMask` bool (batch, past + length), true = may be attended, the past first;
 * that a row sees no later key of this run is added here. `past.<i>.key|value` (batch or 1, kvHeads,
 * past, headDim), keys rotated. `rows` i32 (batch, rows), with chosen rows. `targets` i32 (batch,
 * length or rows), with log-probabilities. The trainable weights.
 *
 * Outputs, each row being one of `length` or of the chosen `rows`: `logits` (batch, row, vocabSize).
 * `logProbabilities` (batch, row): log p(target) read at its row, so a target is the token after
 * it. `attention.<i>` (batch, heads, row, past + length); a row that sees no key has equal weights.
 * `valueNorms.<i>` (batch, heads, past + length). `own.<i>.key|value` (batch, kvHeads, length,
 * headDim). `present.<i>.key|value` (batch, kvHeads, past + length, headDim).
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
  const bias = attentionBias(keyMask, LENGTH, pastSize);
  const { cos, sin } = build.ropeOf(positions);

  const hidden = build.layers(ids, (layer, x, weights) => {
    const heads = projectHeads(x, weights, config);
    const pastOfLayer =
      past === 'none' ? undefined : build.pastOf(layer, past === 'shared' ? 1 : BATCH);
    const { output, attention, own } = attend(heads, { past: pastOfLayer, cos, sin, bias }, config);
    if (wanted.attention) build.output(`attention.${layer}`, attentionOf(attention, rows));
    if (wanted.own) build.outputKeyValues(`own.${layer}`, own);
    if (wanted.present || wanted.valueNorms) {
      const present = joined(pastOfLayer, own);
      if (wanted.present) build.outputKeyValues(`present.${layer}`, present);
      const norms = () => valueNorms(present.value, needed(weights, 'oProj'), config);
      if (wanted.valueNorms) build.output(`valueNorms.${layer}`, norms());
    }
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
 * Chat prefill and decode, with the fused kernels; no gradient.
 *
 * Inputs: `ids` i32 (batch, length). `lengths` i32 (batch): tokens of each row, past and new, less
 * one. `total` i32 (): the most tokens of any row. `last` i32 (batch): index into length of the row
 * whose logits are wanted. `past.<i>.key|value` (batch, kvHeads, past, headDim), keys rotated, each
 * row's tokens first; it may be longer than any row. The trainable weights. `positions` i32 (batch,
 * length), below windowTokens, unless the kernel itself rotates.
 *
 * Outputs: `logits` (batch, vocabSize), and `own.<i>.key|value` (batch, length, kvHeads * headDim)
 * or `present.<i>.key|value` (batch, kvHeads, length + past, headDim). Several new tokens upon a
 * past need a batch of one: a limit of the kernel.
 */
export function fusedGraph(model: Model, options: FusedOptions = {}): TransformerGraph {
  const { config } = model;
  const { numAttentionHeads: heads, numKeyValueHeads: kvHeads, headDim, vocabSize } = config;
  const isOwn = options.keep !== 'present';
  const isRotatedInside = !isOwn && headDim % ROTARY_HEAD_DIM_MULTIPLE === 0;
  const settings = { heads, kvHeads, scale: 1 / Math.sqrt(headDim) };
  const build = new GraphBuilder(model, options);
  const ids = build.input('ids', 'i32', [BATCH, LENGTH]);
  const positions = build.input('positions', 'i32', [BATCH, LENGTH]);
  const lengths = build.input('lengths', 'i32', [BATCH]);
  const total = build.input('total', 'i32', []);
  const last = build.input('last', 'i32', [BATCH]);
  const tables = build.ropeTables();
  const rows = product(BATCH, LENGTH);

  const attention = (layer: number, x: Tensor, weights: Weights): Tensor => {
    const of = (name: string, width: number): Tensor =>
      reshape(linear(x, weights, name), [BATCH, LENGTH, width]); // (batch, length, width)
    const turn = (each: Tensor, count: number): Tensor =>
      isRotatedInside ? each : rotaryEmbedding(each, positions, tables, count);
    const normed = (each: Tensor, name: string, count: number): Tensor =>
      config.hasQkNorm ? normHeads(each, needed(weights, name), count, config) : each;
    const query = turn(normed(of('qProj', heads * headDim), 'qNorm', heads), heads);
    const key = turn(normed(of('kProj', kvHeads * headDim), 'kNorm', kvHeads), kvHeads);
    const value = of('vProj', kvHeads * headDim); // (batch, length, kvHeads * headDim)
    const past = build.pastOf(layer);
    const rotary = isRotatedInside ? { rotary: tables } : {};
    const inputs = { query, key, value, lengths, total, ...rotary };
    const result = groupQueryAttention(
      { ...inputs, pastKey: past.key, pastValue: past.value },
      settings,
    );
    if (isOwn) build.outputKeyValues(`own.${layer}`, { key, value });
    else {
      const present = { key: result.presentKey, value: result.presentValue };
      build.outputKeyValues(`present.${layer}`, present);
    }
    return reshape(result.output, [rows, heads * headDim]); // (rows, heads * headDim)
  };
  const hidden = build.layers(reshape(ids, [rows]), attention, fusedRmsNorm); // (rows, hiddenSize)

  const firstRows = multiply(range(BATCH), sizeOf(LENGTH)); // (batch)
  const lastRow = gather(hidden, add(firstRows, last)); // (batch, hiddenSize)
  build.output('logits', reshape(build.logits(lastRow), [BATCH, vocabSize])); // (batch, vocabSize)
  return build.done();
}

/** RMSNorm of each head: (batch, length, heads * headDim), weight (headDim); the shape stays. */
function normHeads(x: Tensor, weight: Tensor, heads: number, config: ModelConfig): Tensor {
  const perHead = reshape(x, [BATCH, LENGTH, heads, config.headDim]); // (b, l, heads, headDim)
  return reshape(fusedRmsNorm(perHead, weight, config.rmsNormEps), x.shape);
}

/** Chosen rows of each sequence: (batch, length, width), i32 (batch, rows) → (batch, rows, width). */
function rowsOf(x: Tensor, rows: Tensor): Tensor {
  const [batch, length, width] = x.shape as [Dimension, Dimension, Dimension];
  const firstRows = multiply(range(batch), sizeOf(length)); // (batch)
  const flatRows = add(rows, reshape(firstRows, [batch, 1])); // (batch, rows)
  return gather(reshape(x, [product(batch, length), width]), flatRows); // (batch, rows, width)
}

/** The same of attention: (batch, heads, length, keys) → (batch, heads, rows, keys). */
function attentionOf(attention: Tensor, rows: Tensor | undefined): Tensor {
  if (rows === undefined) return attention;
  const [batch, heads, length, keys] = attention.shape as [
    Dimension,
    Dimension,
    Dimension,
    Dimension,
  ];
  const byRow = transpose(attention, [0, 2, 1, 3]); // (batch, length, heads, keys)
  const flat = reshape(byRow, [batch, length, product(heads, keys)]); // (batch, length, heads * keys)
  const chosen = rowsOf(flat, rows); // (batch, rows, heads * keys)
  const split = reshape(chosen, [...chosen.shape.slice(0, 2), heads, keys]);
  return transpose(split, [0, 2, 1, 3]); // (batch, heads, rows, keys)
}

/** Past and own keys in one tensor: (batch, kvHeads, past + length, headDim). */
function joined(past: KeyValues | undefined, own: KeyValues): KeyValues {
  if (past === undefined) return own;
  return { key: concat([past.key, own.key], 2), value: concat([past.value, own.value], 2) };
}
