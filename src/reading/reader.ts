// Reads scenarios under given weights: prefill, log-probabilities, attention. It never changes any.
import type { AttentionCapture } from '../engine/engine.ts';
import { topological } from '../graph/tensor.ts';
import type { TransformerGraph } from '../model/graph-builder.ts';
import type { Model } from '../model/model.ts';
import { type PrimitiveOptions, primitiveGraph } from '../model/transformer.ts';
import type { Executor, HostTensor, Program, Value } from '../runtime/executor.ts';
import { bool, i32 } from '../runtime/host-tensor.ts';
import type { Candidate } from '../scenario/example.ts';
import { type DecisionOptions, decisionFeeds } from './decision.ts';

/** The trainable weights by name; whoever made them owns them. */
export type TrainableWeights = Readonly<Record<string, HostTensor | Value>>;

/** Keys and values of a context, as the inputs `past.<i>.key|value` (1, kvHeads, past, headDim). */
export interface ContextCache {
  readonly tokens: number;
  readonly values: Readonly<Record<string, Value>>;
  readonly bytes: number;
  release(): void;
}

export interface ReaderOptions {
  readonly model: Model;
  readonly executor: Executor;
  /** Which weights are fed; the query projections by default. */
  readonly trainable?: (name: string) => boolean;
  readonly prefillChunkTokens?: number;
}

const PREFILL_CHUNK_TOKENS = 256;

/** One model on one executor. Its programs are compiled when first used; `close` frees them. */
export class Reader {
  readonly #options: ReaderOptions;
  readonly #programs = new Map<string, Promise<CompiledProgram>>();

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  get model(): Model {
    return this.#options.model;
  }

  #program(
    name: string,
    options: PrimitiveOptions,
    keep: readonly string[] = [],
  ): Promise<CompiledProgram> {
    const known = this.#programs.get(name);
    const program = known ?? this.#compile(options, keep);
    this.#programs.set(name, program);
    return program;
  }

  async #compile(options: PrimitiveOptions, keep: readonly string[]): Promise<CompiledProgram> {
    const { model, executor, trainable } = this.#options;
    const graph = primitiveGraph(model, {
      ...options,
      ...(trainable === undefined ? {} : { trainable }),
    });
    const keepOnDevice = Object.keys(graph.outputs).filter((output) =>
      keep.some((prefix) => output.startsWith(prefix)),
    );
    const program = await executor.compile(graph.outputs, { keepOnDevice });
    return { program, inputs: inputNames(graph.outputs) };
  }

  /**
   * Runs a context without gradient, in chunks, so that memory grows with its length and not with
   * its square. The caller releases the cache.
   */
  async prefill(contextIds: readonly number[], weights: TrainableWeights): Promise<ContextCache> {
    const size = this.#options.prefillChunkTokens ?? PREFILL_CHUNK_TOKENS;
    let cache = await this.#extend(undefined, contextIds.slice(0, size), weights);
    for (let from = size; from < contextIds.length; from += size) {
      const longer = await this.#extend(cache, contextIds.slice(from, from + size), weights);
      cache.release();
      cache = longer;
    }
    return cache;
  }

  /** Keys and values of a cache's tokens and of `ids` after them. */
  async #extend(
    cache: ContextCache | undefined,
    ids: readonly number[],
    weights: TrainableWeights,
  ): Promise<ContextCache> {
    const compiled =
      cache === undefined
        ? await this.#program('prefill', { past: 'none', outputs: { own: true } }, ['own.'])
        : await this.#program('extend', { past: 'own', outputs: { present: true } }, ['present.']);
    const past = cache?.tokens ?? 0;
    const total = past + ids.length;
    const results = await run(compiled, {
      ...weights,
      ...cache?.values,
      ids: i32([1, ids.length], Int32Array.from(ids)),
      positions: i32(
        [1, ids.length],
        Int32Array.from(ids, (_, i) => past + i),
      ),
      keyMask: bool([1, total], new Uint8Array(total).fill(1)),
    });
    return cacheOf(results, total);
  }

  /**
   * log p of every target of every candidate, given one context: one array per candidate. Padding
   * is left out.
   */
  async logProbabilities(
    cache: ContextCache,
    candidates: readonly Candidate[],
    weights: TrainableWeights,
    options: Omit<DecisionOptions, 'past'> = {},
  ): Promise<Float32Array[]> {
    const compiled = await this.#program('score', {
      past: 'shared',
      outputs: { logProbabilities: true },
    });
    const { lossMask: _, ...feeds } = decisionFeeds(candidates, { past: cache.tokens, ...options });
    const { logProbabilities } = await run(compiled, { ...weights, ...cache.values, ...feeds });
    const { data, shape } = await (logProbabilities as Value).read();
    logProbabilities?.release();
    const length = shape[1] as number;
    return candidates.map((candidate, row) =>
      (data as Float32Array).slice(row * length, row * length + candidate.ids.length),
    );
  }

  /** Logits (rows, vocabulary) of one candidate's rows. */
  async logits(
    cache: ContextCache,
    candidate: Candidate,
    weights: TrainableWeights,
  ): Promise<HostTensor> {
    const compiled = await this.#program('logits', { past: 'shared', outputs: { logits: true } });
    const {
      lossMask: _,
      targets: __,
      ...feeds
    } = decisionFeeds([candidate], { past: cache.tokens });
    const { logits } = await run(compiled, { ...weights, ...cache.values, ...feeds });
    const { data, shape, dtype } = await (logits as Value).read();
    logits?.release();
    return { data, dtype, shape: shape.slice(1) };
  }

  /** Attention and value norms of the given rows of one candidate; keys are context + decision. */
  async capture(
    cache: ContextCache,
    candidate: Candidate,
    weights: TrainableWeights,
    rows: readonly number[],
  ): Promise<AttentionCapture> {
    const compiled = await this.#program('capture', {
      past: 'own',
      rows: 'chosen',
      outputs: { attention: true, valueNorms: true },
    });
    const {
      lossMask: _,
      targets: __,
      ...feeds
    } = decisionFeeds([candidate], { past: cache.tokens });
    const chosen = i32([1, rows.length], Int32Array.from(rows));
    const results = await run(compiled, { ...weights, ...cache.values, ...feeds, rows: chosen });
    const { numHiddenLayers: layers, numAttentionHeads: heads } = this.model.config;
    const keys = cache.tokens + candidate.ids.length;
    const stack = async (name: string, size: number): Promise<Float32Array> => {
      const all = new Float32Array(layers * size);
      for (let layer = 0; layer < layers; layer++) {
        const value = results[`${name}.${layer}`] as Value;
        all.set((await value.read()).data as Float32Array, layer * size);
        value.release();
      }
      return all;
    };
    return {
      layers,
      heads,
      rows: rows.map((row) => cache.tokens + row),
      keys,
      weights: await stack('attention', heads * rows.length * keys),
      valueNorms: await stack('valueNorms', heads * keys),
    };
  }

  async close(): Promise<void> {
    for (const compiled of this.#programs.values()) await (await compiled).program.close();
    this.#programs.clear();
  }
}

interface CompiledProgram {
  readonly program: Program;
  readonly inputs: ReadonlySet<string>;
}

/** Names of the inputs that the outputs depend on (keys need no query of the last layer). */
export function inputNames(outputs: TransformerGraph['outputs']): Set<string> {
  const nodes = topological(Object.values(outputs)).map(({ operation }) => operation);
  return new Set(
    nodes.flatMap((operation) => (operation.kind === 'input' ? [operation.name] : [])),
  );
}

function run(
  { program, inputs }: CompiledProgram,
  feeds: Readonly<Record<string, HostTensor | Value>>,
): Promise<Record<string, Value>> {
  return program.run(
    Object.fromEntries(Object.entries(feeds).filter(([name]) => inputs.has(name))),
  );
}

function cacheOf(results: Record<string, Value>, tokens: number): ContextCache {
  const values: Record<string, Value> = {};
  let bytes = 0;
  for (const [name, value] of Object.entries(results)) {
    values[name.replace(/^(own|present)\./, 'past.')] = value;
    bytes += 4 * value.shape.reduce((a, b) => a * b, 1);
  }
  return {
    tokens,
    values,
    bytes,
    release: () => {
      for (const value of Object.values(values)) value.release();
    },
  };
}
