// The one description of the transformer, as a primitive graph (it has gradients) and a fused one.
import { type Dimension, product, sum } from '../graph/dimension.ts';
import { groupQueryAttention } from '../graph/fused.ts';
import { gather, pick, range, sizeOf } from '../graph/indexing.ts';
import { add, logSoftmax, multiply, reshape } from '../graph/operations.ts';
import type { Tensor } from '../graph/tensor.ts';
import { attend, attentionBias, valueNorms } from './attention.ts';
import { BATCH, GraphBuilder, LENGTH, PAST, type TransformerGraph } from './graph-builder.ts';
import { needed, projectHeads } from './layers.ts';
import type { Model } from './model.ts';
import { isQProj } from './weight-names.ts';

export interface PrimitiveOptions {
  /** Which weights are inputs instead of constants; the query projections by default. */
  readonly trainable?: (name: string) => boolean;
  /** Whether there are inputs `past.<i>.key|value`; true by default (the past may be empty). */
  readonly hasPast?: boolean;
  /** Rows that logits and log-probabilities are computed for; all by default. */
  readonly rows?: 'all' | 'chosen';
  readonly outputs: {
    readonly logits?: boolean;
    readonly logProbabilities?: boolean;
    readonly attention?: boolean;
    readonly valueNorms?: boolean;
    readonly present?: boolean;
  };
}

/**
 * Scoring, attention capture and training. Differentiable; the past is a constant of the run.
 *
 * Inputs: `ids` i32 (batch, length), below vocabSize. `positions` i32 (batch, length), below
 * windowTokens. `keyMask` bool (batch, length + past), true = may be attended, the past first.
 * `past.<i>.key|value` (batch, kvHeads, past, headDim), keys rotated. `rows` i32 (batch, rows), with
 * chosen rows. `targets` i32 (batch, length or rows), with log-probabilities. The trainable weights.
 *
 * Outputs: `logits` (batch, length or rows, vocabSize). `logProbabilities` (batch, length or rows),
 * `log p(target)` read at its row, so a target is the token after it. `attention.<i>` (batch, heads,
 * length, length + past). `valueNorms.<i>` (batch, heads, length + past).
 * `present.<i>.key|value` (batch, kvHeads, length + past, headDim).
 */
export function primitiveGraph(model: Model, options: PrimitiveOptions): TransformerGraph {
  const { hasPast = true, rows = 'all', outputs: wanted } = options;
  const { config } = model;
  const build = new GraphBuilder(model, options.trainable ?? isQProj);
  const past = hasPast ? PAST : 0;
  const ids = build.input('ids', 'i32', [BATCH, LENGTH]);
  const positions = build.input('positions', 'i32', [BATCH, LENGTH]);
  const keyMask = build.input('keyMask', 'bool', [BATCH, sum(LENGTH, past)]);
  const bias = attentionBias(keyMask, LENGTH, past);
  const { cos, sin } = build.ropeOf(positions);

  const hidden = build.layers(ids, (layer, x, weights) => {
    const heads = projectHeads(x, weights, config);
    const pastOfLayer = hasPast ? build.pastOf(layer) : undefined;
    const result = attend(heads, { past: pastOfLayer, cos, sin, bias }, config);
    if (wanted.attention) build.output(`attention.${layer}`, result.attention);
    if (wanted.present) build.presentOf(layer, result.present);
    if (wanted.valueNorms) {
      const norms = valueNorms(result.present.value, needed(weights, 'oProj'), config);
      build.output(`valueNorms.${layer}`, norms);
    }
    return result.output;
  });

  if (wanted.logits || wanted.logProbabilities) {
    const read =
      rows === 'chosen' ? rowsOf(hidden, build.input('rows', 'i32', [BATCH, 'rows'])) : hidden;
    const logits = build.logits(read); // (batch, length | rows, vocabSize)
    if (wanted.logits) build.output('logits', logits);
    if (wanted.logProbabilities) {
      const targets = build.input('targets', 'i32', read.shape.slice(0, 2));
      build.output('logProbabilities', pick(logSoftmax(logits), targets)); // (batch, length | rows)
    }
  }
  return build.done();
}

/**
 * Chat prefill and decode, with the fused attention kernel; no gradient.
 *
 * Inputs: `ids` i32 (batch, length). `lengths` i32 (batch): tokens of each row, past and new, less
 * one. `total` i32 (): the most tokens of any row. `last` i32 (batch): index into length of the row
 * whose logits are wanted. `past.<i>.key|value` (batch, kvHeads, past, headDim), keys rotated, each
 * row's tokens first. The trainable weights.
 *
 * Outputs: `logits` (batch, vocabSize), `present.<i>.key|value` (batch, kvHeads, length + past,
 * headDim). Several new tokens upon a past need a batch of one: a limit of the kernel.
 */
export function fusedGraph(
  model: Model,
  { trainable = isQProj }: Pick<PrimitiveOptions, 'trainable'> = {},
): TransformerGraph {
  const { config } = model;
  const { numAttentionHeads, numKeyValueHeads, headDim, vocabSize } = config;
  const settings = {
    heads: numAttentionHeads,
    kvHeads: numKeyValueHeads,
    scale: 1 / Math.sqrt(headDim),
  };
  const build = new GraphBuilder(model, trainable);
  const ids = build.input('ids', 'i32', [BATCH, LENGTH]);
  const lengths = build.input('lengths', 'i32', [BATCH]);
  const total = build.input('total', 'i32', []);
  const last = build.input('last', 'i32', [BATCH]);
  const { cos, sin } = build.ropeTables();

  const hidden = build.layers(ids, (layer, x, weights) => {
    const { query, key, value } = projectHeads(x, weights, config);
    const past = build.pastOf(layer);
    const result = groupQueryAttention(
      {
        query: reshape(query, [BATCH, LENGTH, numAttentionHeads * headDim]),
        key: reshape(key, [BATCH, LENGTH, numKeyValueHeads * headDim]),
        value: reshape(value, [BATCH, LENGTH, numKeyValueHeads * headDim]),
        pastKey: past.key,
        pastValue: past.value,
        lengths,
        total,
        cos,
        sin,
      },
      settings,
    );
    build.presentOf(layer, { key: result.presentKey, value: result.presentValue });
    return result.output; // (batch, length, heads·headDim)
  });

  const lastRow = rowsOf(hidden, reshape(last, [BATCH, 1])); // (batch, 1, hiddenSize)
  build.output('logits', reshape(build.logits(lastRow), [BATCH, vocabSize])); // (batch, vocabSize)
  return build.done();
}

/** Chosen rows of each sequence: (batch, length, width), i32 (batch, rows) → (batch, rows, width). */
function rowsOf(x: Tensor, rows: Tensor): Tensor {
  const [batch, length, width] = x.shape as [Dimension, Dimension, Dimension];
  const firstRows = multiply(range(batch), sizeOf(length)); // (batch)
  const flatRows = add(rows, reshape(firstRows, [batch, 1])); // (batch, rows)
  return gather(reshape(x, [product(batch, length), width]), flatRows); // (batch, rows, width)
}
