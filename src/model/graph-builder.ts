// Lays the layers that both graphs share and collects their inputs, weights and outputs.
import type { Dimension } from '../graph/dimension.ts';
import { gather } from '../graph/indexing.ts';
import { add, constant, input, matMul, multiply, reshape, scalar } from '../graph/operations.ts';
import { scope, type Tensor, topological } from '../graph/tensor.ts';
import type { KeyValues } from './attention.ts';
import { type Factors, linear, mlp, needed, rmsNorm, type Weights } from './layers.ts';
import type { Model } from './model.ts';
import { ropeTables } from './rope.ts';
import { isQProj } from './weight-names.ts';

/** Symbolic dimensions of every input. */
export const BATCH = 'batch';
export const LENGTH = 'length';
export const PAST = 'past';

/** A graph to compile: its inputs are fed by name, its outputs fetched by name. */
export interface TransformerGraph {
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** The trainable weights, which are among the inputs; ask the gradient for these. */
  readonly parameters: Readonly<Record<string, Tensor>>;
}

export interface WeightOptions {
  /**
   * Which weights are inputs instead of constants; the query projections by default. Where the
   * model is quantised they stay constants, and factors of what is added to them are the inputs.
   */
  readonly trainable?: (name: string) => boolean;
  /**
   * A sequence gets the same bits alone and in a batch, also from the weights that are fed; for
   * an executor whose constants are packed. Costs a copy of the rows; false by default.
   */
  readonly isRepeatable?: boolean;
}

/** Attention of one layer: normed (…, hiddenSize) → (…, heads · headDim). */
export type Attention = (layer: number, x: Tensor, weights: Weights) => Tensor;

/** `x / sqrt(mean(x²) + ε) · weight`, primitive or fused. */
export type Norm = (x: Tensor, weight: Tensor, epsilon: number) => Tensor;

const scaled = (x: Tensor, by: number): Tensor => (by === 1 ? x : multiply(x, scalar(by)));

/** Collects inputs and outputs while the layers are laid; each weight becomes one node. */
export class GraphBuilder {
  readonly #model: Model;
  readonly #trainable: (name: string) => boolean;
  readonly #isRepeatable: boolean;
  readonly #inputs: Record<string, Tensor> = {};
  readonly #outputs: Record<string, Tensor> = {};
  readonly #parameters: Record<string, Tensor> = {};
  readonly #weights = new Map<string, Tensor>();

  constructor(model: Model, { trainable = isQProj, isRepeatable = false }: WeightOptions) {
    this.#model = model;
    this.#trainable = trainable;
    this.#isRepeatable = isRepeatable;
  }

  input(name: string, dtype: Tensor['dtype'], shape: readonly Dimension[]): Tensor {
    const tensor = input(name, dtype, shape);
    this.#inputs[name] = tensor;
    return tensor;
  }

  output(name: string, tensor: Tensor): void {
    this.#outputs[name] = tensor;
  }

  #weightsOf(prefix: string): Weights {
    return {
      find: (name) => this.#weight(`${prefix}${name}`),
      factorsOf: (name) => this.#factorsOf(`${prefix}${name}`),
      isRepeatable: this.#isRepeatable,
    };
  }

  #factorsOf(name: string): Factors | undefined {
    const weight = this.#model.weights.get(name);
    if (weight === undefined || !this.#model.isQuantised || !this.#trainable(name))
      return undefined;
    const [out = 0, inner = 0] = weight.shape;
    const rank = `rank.${name}`;
    return {
      loraA: this.input(`${name}.loraA`, 'f32', [rank, inner]),
      loraB: this.input(`${name}.loraB`, 'f32', [out, rank]),
    };
  }

  /** A constant that points into its file, or an input where trainable; one node each. */
  #weight(name: string): Tensor | undefined {
    const known = this.#weights.get(name);
    const weight = this.#model.weights.get(name);
    if (known !== undefined || weight === undefined) return known;
    const isFed = this.#trainable(name) && !this.#model.isQuantised;
    const tensor = isFed
      ? this.input(name, 'f32', weight.shape)
      : constant(name, weight.source, 'f32', weight.shape);
    if (isFed) this.#parameters[name] = tensor;
    this.#weights.set(name, tensor);
    return tensor;
  }

  /** Embedding, all layers, last norm: (…ids, hiddenSize). */
  layers(ids: Tensor, attention: Attention, normalize: Norm = rmsNorm): Tensor {
    const { numHiddenLayers, rmsNormEps, scales } = this.#model.config;
    const whole = this.#weightsOf('');
    const embedded = gather(needed(whole, 'embedTokens'), ids); // (…, hiddenSize)
    let hidden = scaled(embedded, scales.embedding);
    for (let layer = 0; layer < numHiddenLayers; layer++) {
      const weights = this.#weightsOf(`layers.${layer}.`);
      const norm = (name: string, x: Tensor) => normalize(x, needed(weights, name), rmsNormEps);
      hidden = scope(`layers.${layer}`, () => {
        const mixed = attention(layer, norm('inputLayernorm', hidden), weights);
        const output = linear(mixed, weights, 'oProj'); // (…, hiddenSize)
        const attended = add(hidden, scaled(output, scales.residual));
        const inner = mlp(norm('postAttentionLayernorm', attended), weights);
        return add(attended, scaled(inner, scales.residual));
      });
    }
    return normalize(hidden, needed(whole, 'norm'), rmsNormEps);
  }

  /** (…, hiddenSize) → (…, vocabSize), with the embedding where it is tied. */
  logits(hidden: Tensor): Tensor {
    const { tieWordEmbeddings, scales } = this.#model.config;
    const head = needed(this.#weightsOf(''), tieWordEmbeddings ? 'embedTokens' : 'lmHead');
    const logits = matMul(hidden, head, { transposeB: true }); // (…, vocabSize)
    return scaled(logits, scales.logits);
  }

  /** Cosine and sine of all positions, each (windowTokens, headDim / 2). */
  ropeTables(): { readonly cos: Tensor; readonly sin: Tensor } {
    const { config, windowTokens } = this.#model;
    const { cos, sin } = ropeTables(config, windowTokens);
    const shape = [windowTokens, config.headDim / 2];
    return {
      cos: constant('rope.cos', { from: 'inline', data: cos }, 'f32', shape),
      sin: constant('rope.sin', { from: 'inline', data: sin }, 'f32', shape),
    };
  }

  /** Cosine and sine of positions i32 (batch, length), each (batch, length, 1, headDim / 2). */
  ropeOf(positions: Tensor): { readonly cos: Tensor; readonly sin: Tensor } {
    const { cos, sin } = this.ropeTables();
    const at = (table: Tensor): Tensor =>
      gather(table, reshape(positions, [...positions.shape, 1])); // (batch, length, 1, headDim / 2)
    return { cos: at(cos), sin: at(sin) };
  }

  /** `batch` is the literal 1 where all rows share one past. */
  pastOf(layer: number, batch: Dimension = BATCH): KeyValues {
    const { numKeyValueHeads, headDim } = this.#model.config;
    const shape = [batch, numKeyValueHeads, PAST, headDim];
    return {
      key: this.input(`past.${layer}.key`, 'f32', shape),
      value: this.input(`past.${layer}.value`, 'f32', shape),
    };
  }

  outputKeyValues(name: string, { key, value }: KeyValues): void {
    this.output(`${name}.key`, key);
    this.output(`${name}.value`, value);
  }

  /** Leaves out inputs that no output needs: the last layer's W_q when only keys are asked. */
  done(): TransformerGraph {
    const outputs = this.#outputs;
    const needed = new Set(topological(Object.values(outputs)));
    if (needed.size === 0) throw new Error('model: a graph of no outputs');
    const reached = (tensors: Record<string, Tensor>): Record<string, Tensor> =>
      Object.fromEntries(Object.entries(tensors).filter(([, tensor]) => needed.has(tensor)));
    return { inputs: reached(this.#inputs), outputs, parameters: reached(this.#parameters) };
  }
}
