// Runs the graphs of a model on an executor with plain arrays, for tests.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { readSafetensors, readTensor } from '../../src/model/checkpoint/safetensors.ts';
import type { TransformerGraph } from '../../src/model/graph-builder.ts';
import { type Model, readModel } from '../../src/model/model.ts';
import { type PrimitiveOptions, primitiveGraph } from '../../src/model/transformer.ts';
import { loadVersion } from '../../src/model/versions.ts';
import type { Executor, HostTensor, Program } from '../../src/runtime/executor.ts';

export const FIXTURES = new URL('../fixtures/transformers/', import.meta.url).pathname;
export const FIXTURE_NAMES = [
  'llama',
  'llama-biased-sharded',
  'llama3',
  'llama3-words-of-4',
  'linear-rope',
  'mistral',
  'qwen2',
  'qwen3',
  'qwen2-yarn',
  'smollm3',
  'granite',
];

export interface Expected {
  readonly ids: number[];
  readonly promptTokens: number;
  readonly greedy: number[];
  readonly contextTokens: number;
  readonly decisionTokens: number;
  readonly lossMask: number[];
  readonly loss: number;
  readonly tensors: ReadonlyMap<string, Float32Array>;
}

export type Results = Readonly<Record<string, HostTensor>>;
export type Feeds = Record<string, HostTensor>;

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

/** Gone when the test file that imports this has ended. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'attune-model-'));
  folders.push(folder);
  return folder;
}

export async function readFixture(name: string): Promise<{ model: Model; expected: Expected }> {
  const dir = join(FIXTURES, name);
  const model = await readModel(dir, { cacheDir: await temporaryFolder() });
  const json = JSON.parse(await readFile(join(dir, 'expected.json'), 'utf8'));
  const tensors = new Map<string, Float32Array>();
  for (const [key, stored] of (await readSafetensors(join(dir, 'expected.safetensors'))).tensors) {
    tensors.set(key, (await readTensor(stored)) as Float32Array);
  }
  return { model, expected: { ...json, tensors } };
}

export const f32 = (shape: number[], data: ArrayLike<number>): HostTensor => ({
  dtype: 'f32',
  shape,
  data: Float32Array.from(data),
});
export const i32 = (shape: number[], data: ArrayLike<number>): HostTensor => ({
  dtype: 'i32',
  shape,
  data: Int32Array.from(data),
});
export const bool = (shape: number[], data: ArrayLike<number>): HostTensor => ({
  dtype: 'bool',
  shape,
  data: Uint8Array.from(data),
});

export const valuesOf = (results: Results, name: string): Float32Array => {
  const tensor = results[name];
  if (tensor === undefined) throw new Error(`no output ${name}`);
  return tensor.data as Float32Array;
};

/** The largest absolute difference; infinite when the lengths differ or a value is NaN. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs((a[i] as number) - (b[i] as number));
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Infinity : difference;
  }
  return largest;
}

export function largest(values: ArrayLike<number>): number {
  return Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

export function argmax(values: ArrayLike<number>, row: number, width: number): number {
  let best = 0;
  for (let i = 1; i < width; i++) {
    if ((values[row * width + i] as number) > (values[row * width + best] as number)) best = i;
  }
  return best;
}

/** A graph compiled with the base weights at hand. Feeds that it does not need are left out. */
export class Runner {
  readonly #program: Program;
  readonly #inputs: ReadonlySet<string>;
  readonly #weights: Feeds;

  private constructor(program: Program, graph: TransformerGraph, weights: Feeds) {
    this.#program = program;
    this.#inputs = new Set(Object.keys(graph.inputs));
    this.#weights = weights;
  }

  static async of(executor: Executor, model: Model, graph: TransformerGraph): Promise<Runner> {
    const { weights } = await loadVersion(model, [], { trainable: (name) => name in graph.inputs });
    return new Runner(await executor.compile(graph.outputs), graph, weights);
  }

  static primitive(executor: Executor, model: Model, options: PrimitiveOptions): Promise<Runner> {
    return Runner.of(executor, model, primitiveGraph(model, options));
  }

  async run(feeds: Feeds): Promise<Results> {
    const all = Object.entries({ ...this.#weights, ...feeds });
    const needed = Object.fromEntries(all.filter(([name]) => this.#inputs.has(name)));
    const outputs = await this.#program.run(needed);
    const results: Record<string, HostTensor> = {};
    for (const [name, value] of Object.entries(outputs)) {
      results[name] = await value.read();
      value.release();
    }
    return results;
  }
}

/** One sequence whose first `pastTokens` tokens are in the cache. */
export function sequence(ids: readonly number[], pastTokens = 0): Feeds {
  const length = ids.length;
  return {
    ids: i32([1, length], ids),
    positions: i32(
      [1, length],
      ids.map((_, i) => pastTokens + i),
    ),
    keyMask: bool([1, pastTokens + length], new Array(pastTokens + length).fill(1)),
  };
}

/** `present.<i>` (or `own.<i>`) of one run as `past.<i>` of the next. */
export function pastFrom(results: Results, output: 'present' | 'own' = 'present'): Feeds {
  const entries = Object.entries(results).filter(([name]) => name.startsWith(`${output}.`));
  return Object.fromEntries(
    entries.map(([name, tensor]) => [name.replace(output, 'past'), tensor]),
  );
}

export function emptyPast({ config }: Model, batch = 1): Feeds {
  const { numHiddenLayers, numKeyValueHeads, headDim } = config;
  const empty = f32([batch, numKeyValueHeads, 0, headDim], []);
  return Object.fromEntries(
    Array.from({ length: numHiddenLayers }, (_, layer) => [
      [`past.${layer}.key`, empty],
      [`past.${layer}.value`, empty],
    ]).flat(),
  );
}
