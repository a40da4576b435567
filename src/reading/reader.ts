// Reads scenarios under given weights: prefill, log-probabilities, attention. It never changes any.
import type { AttentionCapture } from '../engine/engine.ts';
import { topological } from '../graph/tensor.ts';
import type { TransformerGraph } from '../model/graph-builder.ts';
import type { Model } from '../model/model.ts';
import { type PrimitiveOptions, primitiveGraph } from '../model/transformer.ts';
import type { Executor, HostTensor, Program, Value } from '../runtime/executor.ts';
import { ascending, bool, f32, i32, takeAll } from '../runtime/host-tensor.ts';
import type { Candidate } from '../scenario/example.ts';

/** The trainable weights by name; whoever made them owns them. */
export type TrainableWeights = Readonly<Record<string, HostTensor | Value>>;

/** Keys and values of a context, as the inputs `past.<i>.key|value` (1, kvHeads, past, headDim). */
export interface ContextCache {
  readonly tokens: number;
  readonly values: Readonly<Record<string, Value>>;
  readonly bytes: number;
  release(): void;
}

/** One model on one executor. Its programs are compiled when first used; `close` frees them. */
export interface Reader {
  readonly model: Model;
  /**
   * Runs a context without gradient, in chunks, so that memory grows with its length and not with
   * its square. The caller releases the cache.
   * @param onto a cache that the tokens continue; it stays as it is, and the caller's
   */
  prefill(
    contextIds: readonly number[],
    weights: TrainableWeights,
    onto?: ContextCache,
  ): Promise<ContextCache>;
  /**
   * log p of every target of every candidate, given one context: one array per candidate. Padding
   * is left out.
   */
  logProbabilities(
    cache: ContextCache,
    candidates: readonly Candidate[],
    weights: TrainableWeights,
  ): Promise<Float32Array[]>;
  /** Logits (rows, vocabulary) of one candidate's rows. */
  logits(cache: ContextCache, candidate: Candidate, weights: TrainableWeights): Promise<HostTensor>;
  /** Attention of the given rows of one candidate; keys are context + decision. */
  capture(
    cache: ContextCache,
    candidate: Candidate,
    weights: TrainableWeights,
    rows: readonly number[],
  ): Promise<AttentionCapture>;
  close(): Promise<void>;
}

export interface ReaderOptions {
  readonly model: Model;
  readonly executor: Executor;
  readonly prefillChunkTokens?: number;
}

const PREFILL_CHUNK_TOKENS = 256;

export function createReader(options: ReaderOptions): Reader {
  const { model, prefillChunkTokens: chunk = PREFILL_CHUNK_TOKENS } = options;
  const programs = new Programs(options);
  return {
    model,

    async prefill(contextIds, weights, onto) {
      let cache = await extend(programs, onto, contextIds.slice(0, chunk), weights);
      for (let from = chunk; from < contextIds.length; from += chunk) {
        const longer = await extend(programs, cache, contextIds.slice(from, from + chunk), weights);
        cache.release();
        cache = longer;
      }
      return cache;
    },

    async logProbabilities(cache, candidates, weights) {
      const run = await programs.get('score', {
        past: 'shared',
        outputs: { logProbabilities: true },
      });
      const feeds = decisionFeeds(candidates, cache.tokens);
      const { logProbabilities } = await run({ ...weights, ...cache.values, ...feeds });
      const { data, shape } = await (logProbabilities as Value).read();
      logProbabilities?.release();
      const length = shape[1] as number;
      return candidates.map((candidate, row) =>
        (data as Float32Array).slice(row * length, row * length + candidate.ids.length),
      );
    },

    async logits(cache, candidate, weights) {
      const run = await programs.get('logits', { past: 'shared', outputs: { logits: true } });
      const feeds = decisionFeeds([candidate], cache.tokens);
      const { logits } = await run({ ...weights, ...cache.values, ...feeds });
      const { data, shape, dtype } = await (logits as Value).read();
      logits?.release();
      return { data, dtype, shape: shape.slice(1) };
    },

    async capture(cache, candidate, weights, rows) {
      const run = await programs.get('capture', {
        past: 'own',
        rows: 'chosen',
        outputs: { attention: true },
      });
      const feeds = decisionFeeds([candidate], cache.tokens);
      const chosen = i32([1, rows.length], Int32Array.from(rows));
      const results = await run({ ...weights, ...cache.values, ...feeds, rows: chosen });
      const { numHiddenLayers: layers, numAttentionHeads: heads } = model.config;
      const keys = cache.tokens + candidate.ids.length;
      return {
        layers,
        heads,
        rows: rows.map((row) => cache.tokens + row),
        keys,
        weights: await stackedAttention(results, layers),
      };
    },

    close: () => programs.close(),
  };
}

type Feeds = Readonly<Record<string, HostTensor | Value>>;
/** Feeds that a program does not read are left out. */
type Run = (feeds: Feeds) => Promise<Record<string, Value>>;

/** The programs of a reader, each compiled when it is first asked for. */
class Programs {
  readonly #options: ReaderOptions;
  readonly #compiled = new Map<string, Promise<{ program: Program; run: Run }>>();

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** @param keep prefixes of the outputs that stay on the device */
  async get(name: string, options: PrimitiveOptions, keep: readonly string[] = []): Promise<Run> {
    const compiled = this.#compiled.get(name) ?? this.#compile(options, keep);
    this.#compiled.set(name, compiled);
    return (await compiled).run;
  }

  async #compile(
    options: PrimitiveOptions,
    keep: readonly string[],
  ): Promise<{ program: Program; run: Run }> {
    const { model, executor } = this.#options;
    const { outputs } = primitiveGraph(model, options);
    const keepOnDevice = Object.keys(outputs).filter((output) =>
      keep.some((prefix) => output.startsWith(prefix)),
    );
    const program = await executor.compile(outputs, { keepOnDevice });
    const inputs = inputNames(outputs);
    const run: Run = (feeds) =>
      program.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => inputs.has(name))));
    return { program, run };
  }

  async close(): Promise<void> {
    for (const compiled of this.#compiled.values()) await (await compiled).program.close();
    this.#compiled.clear();
  }
}

/** Names of the inputs that the outputs depend on (keys need no query of the last layer). */
function inputNames(outputs: TransformerGraph['outputs']): Set<string> {
  const nodes = topological(Object.values(outputs)).map(({ operation }) => operation);
  return new Set(
    nodes.flatMap((operation) => (operation.kind === 'input' ? [operation.name] : [])),
  );
}

/** Keys and values of a cache's tokens and of `ids` after them. */
async function extend(
  programs: Programs,
  cache: ContextCache | undefined,
  ids: readonly number[],
  weights: TrainableWeights,
): Promise<ContextCache> {
  const run =
    cache === undefined
      ? await programs.get('prefill', { past: 'none', outputs: { own: true } }, ['own.'])
      : await programs.get('extend', { past: 'own', outputs: { present: true } }, ['present.']);
  const past = cache?.tokens ?? 0;
  const total = past + ids.length;
  const results = await run({
    ...weights,
    ...cache?.values,
    ids: i32([1, ids.length], Int32Array.from(ids)),
    positions: ascending([1, ids.length], past),
    keyMask: bool([1, total], new Uint8Array(total).fill(1)),
  });
  return cacheOf(results, total);
}

/** The outputs `attention.<layer>` (1, heads, rows, keys), one after the other. */
async function stackedAttention(
  results: Readonly<Record<string, Value>>,
  layers: number,
): Promise<Float32Array> {
  const tensors = Object.values(await takeAll(results));
  const size = tensors[0]?.data.length ?? 0;
  const all = new Float32Array(layers * size);
  for (const [layer, { data }] of tensors.entries()) all.set(data as Float32Array, layer * size);
  return all;
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

// Feeds for decision tokens that run against a context's keys and values; shapes and masks only.

/**
 * Candidates as one batch that shares a context of `past` tokens.
 * `ids`, `positions`, `targets` i32 (batch, length); `keyMask` bool (batch, past + length), true =
 * may be attended, the past first; `lossMask` (batch, length), 1 = counts.
 */
export function decisionFeeds(
  candidates: readonly Candidate[],
  past: number,
): Record<'ids' | 'positions' | 'targets' | 'keyMask' | 'lossMask', HostTensor> {
  const batch = candidates.length;
  const length = Math.max(...candidates.map((candidate) => candidate.ids.length));
  const shape = [batch, length];
  const ids = new Int32Array(batch * length);
  const positions = new Int32Array(batch * length);
  const targets = new Int32Array(batch * length);
  const lossMask = new Float32Array(batch * length);
  const keyMask = new Uint8Array(batch * (past + length));
  for (const [row, candidate] of candidates.entries()) {
    const at = row * length;
    ids.set(candidate.ids, at);
    targets.set(candidate.targets, at);
    lossMask.set(candidate.lossMask, at);
    for (let i = 0; i < length; i++) {
      positions[at + i] = past + Math.min(i, candidate.ids.length - 1);
    }
    const maskAt = row * (past + length);
    keyMask.fill(1, maskAt, maskAt + past + candidate.ids.length);
  }
  return {
    ids: i32(shape, ids),
    positions: i32(shape, positions),
    targets: i32(shape, targets),
    keyMask: bool([batch, past + length], keyMask),
    lossMask: f32(shape, lossMask),
  };
}
