// Measures the context-frozen step: the loss of a decision and its gradient for every W_q.
import { gradients } from '../src/graph/gradient.ts';
import { multiply, reduceSum, scalar } from '../src/graph/operations.ts';
import type { Tensor } from '../src/graph/tensor.ts';
import type { Model } from '../src/model/model.ts';
import { primitiveGraph } from '../src/model/transformer.ts';
import { loadVersion } from '../src/model/versions.ts';
import type { Executor, HostTensor, Program } from '../src/runtime/executor.ts';
import { bool, f32, i32 } from '../src/runtime/host-tensor.ts';
import { benchIds } from './serve.ts';

export const DECISION_TOKENS = 64;

export interface Step {
  /** Runs it once against a cache of this many tokens. @returns the loss */
  run(context: number): Promise<number>;
  close(): Promise<void>;
}

export async function createStep(
  executor: Executor,
  model: Model,
  isPrepacked: boolean,
): Promise<Step> {
  const graph = primitiveGraph(model, { outputs: { logProbabilities: true } });
  const total = reduceSum(graph.outputs.logProbabilities as Tensor);
  const loss = multiply(total, scalar(-1 / DECISION_TOKENS));
  const names = Object.keys(graph.parameters);
  const slopes = gradients(loss, Object.values(graph.parameters), { isRecomputing: true });
  const outputs = Object.fromEntries(
    names.map((name, i) => [`slope.${name}`, slopes[i] as Tensor]),
  );
  const program: Program = await executor.compile({ loss, ...outputs }, { isPrepacked });
  const { weights } = await loadVersion(model, []);
  const caches = new Map<number, Record<string, HostTensor>>();
  return {
    async run(context) {
      const past = caches.get(context) ?? pastOf(model, context);
      caches.set(context, past);
      const values = await program.run({ ...weights, ...past, ...decisionOf(model, context) });
      const home = await values.loss?.read();
      for (const value of Object.values(values)) value.release();
      return home?.data[0] as number;
    },
    close: () => program.close(),
  };
}

/** A cache at hand, as on both sides of the comparison; its values do not matter to the time. */
function pastOf(model: Model, context: number): Record<string, HostTensor> {
  const { numHiddenLayers, numKeyValueHeads, headDim } = model.config;
  const shape = [1, numKeyValueHeads, context, headDim];
  const past: Record<string, HostTensor> = {};
  for (let layer = 0; layer < numHiddenLayers; layer++) {
    for (const part of ['key', 'value']) {
      const data = new Float32Array(numKeyValueHeads * context * headDim);
      for (let i = 0; i < data.length; i++) data[i] = Math.sin(i * 12.9898 + layer);
      past[`past.${layer}.${part}`] = f32(shape, data);
    }
  }
  return past;
}

function decisionOf(model: Model, context: number): Record<string, HostTensor> {
  const shape = [1, DECISION_TOKENS];
  const row = (values: readonly number[]): HostTensor => i32(shape, Int32Array.from(values));
  const ids = benchIds(DECISION_TOKENS + 1, model.config.vocabSize);
  const keys = context + DECISION_TOKENS;
  return {
    ids: row(ids.slice(0, -1)),
    targets: row(ids.slice(1)),
    positions: row(ids.slice(1).map((_, i) => context + i)),
    keyMask: bool([1, keys], new Uint8Array(keys).fill(1)),
  };
}
