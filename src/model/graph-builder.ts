// Lays the layers that both graphs share and collects their inputs, weights and outputs.
import type { Dimension } from '../graph/dimension.ts';
import { gather } from '../graph/indexing.ts';
import { add, constant, input, matMul, reshape } from '../graph/operations.ts';
import { scope, type Tensor } from '../graph/tensor.ts';
import type { KeyValues } from './attention.ts';
import { linear, mlp, needed, rmsNorm, type Weights } from './layers.ts';
import type { Model } from './model.ts';
import { ropeTables } from './rope.ts';

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

/** Attention of one layer: normed (batch, length, hiddenSize) → (batch, length, heads · headDim). */
export type Attention = (layer: number, x: Tensor, weights: Weights) => Tensor;

/** Collects inputs and outputs while the layers are laid; each weight becomes one node. */
export class GraphBuilder {
  readonly #model: Model;
  readonly #trainable: (name: string) => boolean;
  readonly #inputs: Record<string, Tensor> = {};
  readonly #outputs: Record<string, Tensor> = {};
  readonly #parameters: Record<string, Tensor> = {};
  readonly #weights = new Map<string, Tensor>();

  constructor(model: Model, trainable: (name: string) => boolean) {
    this.#model = model;
    this.#trainable = trainable;
  }

  input(name: string, dtype: Tensor['dtype'], shape: readonly Dimension[]): Tensor {
    const tensor = input(name, dtype, shape);
    this.#inputs[name] = tensor;
    return tensor;
  }

  output(name: string, tensor: Tensor): void {
    this.#outputs[name] = tensor;
  }

  /** A weight by our name: a constant that points into its file, or an input where trainable. */
  weight(name: string): Tensor | undefined {
    const known = this.#weights.get(name);
    const weight = this.#model.weights.get(name);
    if (known !== undefined || weight === undefined) return known;
    const { shape, place } = weight;
    const source = { from: 'file', ...place, storedAs: 'f32' } as const;
    const isParameter = this.#trainable(name);
    const tensor = isParameter
      ? this.input(name, 'f32', shape)
      : constant(name, source, 'f32', shape);
    if (isParameter) this.#parameters[name] = tensor;
    this.#weights.set(name, tensor);
    return tensor;
  }

  /** Embedding, all layers, last norm: (batch, length, hiddenSize). */
  layers(ids: Tensor, attention: Attention): Tensor {
    const { numHiddenLayers, rmsNormEps } = this.#model.config;
    const whole: Weights = (name) => this.weight(name);
    let hidden = gather(needed(whole, 'embedTokens'), ids); // (batch, length, hiddenSize)
    for (let layer = 0; layer < numHiddenLayers; layer++) {
      const prefix = `layers.${layer}`;
      const weights: Weights = (name) => this.weight(`${prefix}.${name}`);
      const norm = (name: string, x: Tensor) => rmsNorm(x, needed(weights, name), rmsNormEps);
      hidden = scope(prefix, () => {
        const mixed = attention(layer, norm('inputLayernorm', hidden), weights);
        const attended = add(hidden, linear(mixed, weights, 'oProj')); // (b, length, hiddenSize)
        return add(attended, mlp(norm('postAttentionLayernorm', attended), weights));
      });
    }
    return rmsNorm(hidden, needed(whole, 'norm'), rmsNormEps);
  }

  /** (…, hiddenSize) → (…, vocabSize), with the embedding where it is tied. */
  logits(hidden: Tensor): Tensor {
    const isTied = this.#model.config.tieWordEmbeddings;
    const head = needed((name) => this.weight(name), isTied ? 'embedTokens' : 'lmHead');
    return matMul(hidden, head, { transposeB: true }); // (…, vocabSize)
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

  pastOf(layer: number): KeyValues {
    const { numKeyValueHeads, headDim } = this.#model.config;
    const shape = [BATCH, numKeyValueHeads, PAST, headDim];
    return {
      key: this.input(`past.${layer}.key`, 'f32', shape),
      value: this.input(`past.${layer}.value`, 'f32', shape),
    };
  }

  presentOf(layer: number, { key, value }: KeyValues): void {
    this.output(`present.${layer}.key`, key);
    this.output(`present.${layer}.value`, value);
  }

  done(): TransformerGraph {
    if (Object.keys(this.#outputs).length === 0) throw new Error('model: a graph of no outputs');
    return { inputs: this.#inputs, outputs: this.#outputs, parameters: this.#parameters };
  }
}
