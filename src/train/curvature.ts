// How far a change of each query projection moves what is predicted in moments that are held:
// Kronecker-factored curvature. Martens and Grosse, arXiv:1503.05671, section 3.
import { at } from '../base/at.ts';
import { yieldToEventLoop } from '../base/clock.ts';
import { createRandom, type Random } from '../base/random.ts';
import { gradients } from '../graph/gradient.ts';
import * as op from '../graph/operations.ts';
import { type Tensor, topological } from '../graph/tensor.ts';
import type { Model } from '../model/model.ts';
import { primitiveGraph } from '../model/transformer.ts';
import { isQProj } from '../model/weight-names.ts';
import { logSoftmaxRow } from '../reading/logits.ts';
import { decisionFeeds } from '../reading/reader.ts';
import type { Executor, HostTensor, Value } from '../runtime/executor.ts';
import type { Candidate, Example } from '../scenario/example.ts';

/**
 * Of a matrix W (rows, columns) with y = W x: a change Δ moves predictions by a KL of about
 * `½ Σ (output ⊗ input) vec(Δ)²`, nats a predicted token.
 */
export interface Curvature {
  /** (columns, columns): mean of x xᵀ over all tokens. */
  readonly input: Float64Array;
  /**
   * (heads, headDim, headDim): sum of g gᵀ with g = ∂ log p / ∂y, each head by itself, divided by
   * the number of predicted tokens.
   */
  readonly output: Float64Array;
}

export interface CurvatureOptions {
  readonly model: Model;
  readonly executor: Executor;
  /** The weights at which it is read, every fed one. */
  readonly weights: Readonly<Record<string, HostTensor | Value>>;
  /** What is predicted for an example's reply: (rows, vocabulary). */
  readonly predict: (example: Example) => Promise<HostTensor>;
  readonly seed: number | string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The whole sequence is run with gradient, since a context that is served is read by the new
 * weights as well. Its replies are drawn from what the model itself predicts at each token.
 * @returns undefined when it was aborted
 */
export async function curvatureOf(
  examples: readonly Example[],
  { model, executor, weights, predict, seed, signal }: CurvatureOptions,
): Promise<Readonly<Record<string, Curvature>> | undefined> {
  const program = await executor.compile(curvatureGraph(model), {});
  const sums = new Map<string, Float64Array>();
  const count = { tokens: 0, predicted: 0 };
  try {
    for (const example of examples) {
      if (signal?.aborted === true) return undefined;
      const random = createRandom(`curvature:${seed}`).split(example.scenario.id);
      const drawn = drawnFrom(await predict(example), example.chosen, random);
      const whole = wholeOf(example, drawn);
      const { keyMask, ids, positions, targets, lossMask } = decisionFeeds([whole], 0);
      const feeds = { ...weights, keyMask, ids, positions, targets, lossMask };
      for (const [name, value] of Object.entries(await program.run(feeds))) {
        addTo(sums, name, (await value.read()).data);
        value.release();
      }
      count.tokens += whole.ids.length;
      count.predicted += drawn.length;
      await yieldToEventLoop();
    }
  } finally {
    await program.close();
  }
  const mean = (name: string, by: number): Float64Array =>
    (sums.get(name) ?? new Float64Array()).map((value) => value / Math.max(1, by));
  const names = [...model.weights.keys()].filter(isQProj);
  return Object.fromEntries(
    names.map((name) => [
      name,
      {
        input: mean(`input.${name}`, count.tokens),
        output: mean(`output.${name}`, count.predicted),
      },
    ]),
  );
}

/**
 * Inputs: those of `primitiveGraph` without a past. Outputs, for each query projection:
 * `input.<name>` (columns, columns), Σ x xᵀ, and `output.<name>` (heads, headDim, headDim), Σ g gᵀ.
 */
export function curvatureGraph(model: Model): Record<string, Tensor> {
  const graph = primitiveGraph(model, { past: 'none', outputs: { logProbabilities: true } });
  const { logProbabilities } = graph.outputs as { logProbabilities: Tensor }; // (batch, length)
  const lossMask = op.input('lossMask', 'f32', logProbabilities.shape);
  const loss = op.reduceSum(op.multiply(logProbabilities, lossMask));
  const products = productsOf(loss, graph.parameters);
  const parts = gradients(
    loss,
    products.map(([, product]) => product),
    { isRecomputing: true },
  );
  return Object.fromEntries(
    products.flatMap(([name, product], i) => [
      [`input.${name}`, outer(at(product.inputs, 0))],
      [`output.${name}`, outerByHead(at(parts, i), model.config.headDim)],
    ]),
  );
}

/** Of each weight the product that it is a factor of. */
function productsOf(
  loss: Tensor,
  parameters: Readonly<Record<string, Tensor>>,
): [name: string, product: Tensor][] {
  const names = new Map(Object.entries(parameters).map(([name, tensor]) => [tensor, name]));
  return topological([loss]).flatMap((tensor): [string, Tensor][] => {
    const name = tensor.operation.kind === 'matMul' ? names.get(at(tensor.inputs, 1)) : undefined;
    return name === undefined ? [] : [[name, tensor]];
  });
}

/** (batch, length, width) → (width, width). */
const outer = (x: Tensor): Tensor => op.reduceSum(op.matMul(x, x, { transposeA: true }), [0]);

/** (batch, length, heads · size) → (heads, size, size). */
function outerByHead(x: Tensor, size: number): Tensor {
  const [batch = 0, length = 0, width = 0] = x.shape;
  const heads = (width as number) / size;
  const split = op.transpose(op.reshape(x, [batch, length, heads, size]), [0, 2, 1, 3]);
  return op.reduceSum(op.matMul(split, split, { transposeA: true }), [0]);
}

function addTo(sums: Map<string, Float64Array>, name: string, values: HostTensor['data']): void {
  const sum = sums.get(name) ?? new Float64Array(values.length);
  sums.set(name, sum);
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (values[i] as number);
}

/** A token for each row that counts, drawn from what is predicted there. */
function drawnFrom(
  { data, shape }: HostTensor,
  { lossMask }: Candidate,
  random: Random,
): { row: number; id: number }[] {
  const [, vocabulary] = shape as [number, number];
  return lossMask.flatMap((counts, row) => {
    if (counts === 0) return [];
    const logP = logSoftmaxRow(
      (data as Float32Array).subarray(row * vocabulary, (row + 1) * vocabulary),
    );
    let left = random.uniform();
    const id = logP.findIndex((value) => {
      left -= Math.exp(value);
      return left <= 0;
    });
    return [{ row, id: id < 0 ? vocabulary - 1 : id }];
  });
}

/** Context and reply as one run of tokens; what counts are the drawn ones. */
function wholeOf(
  { contextIds, chosen }: Example,
  drawn: readonly { row: number; id: number }[],
): Candidate {
  const ids = [...contextIds, ...chosen.ids];
  const targets = ids.map(() => 0);
  const lossMask = ids.map(() => 0);
  for (const { row, id } of drawn) {
    targets[contextIds.length + row] = id;
    lossMask[contextIds.length + row] = 1;
  }
  return { ids, targets, lossMask };
}
