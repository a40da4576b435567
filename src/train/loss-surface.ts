// The training objective as a function of the weights alone: fixed examples, their contexts frozen.
import { decisionFeeds, f32 } from '../reading/decision.ts';
import type { ContextCache, Reader, TrainableWeights } from '../reading/reader.ts';
import type { Executor, HostTensor, Program, Value } from '../runtime/executor.ts';
import type { Example } from '../scenario/example.ts';
import type { FloatTensor } from './difference.ts';
import { type ObjectiveSettings, objectiveGraph } from './objective.ts';
import { References } from './reference.ts';

export interface LossSurfaceOptions {
  readonly reader: Reader;
  readonly executor: Executor;
  /** Weights that are fed. */
  readonly fed: (name: string) => boolean;
  /** The matrices along which it is looked at. */
  readonly learns: (name: string) => boolean;
  readonly objective: ObjectiveSettings;
  readonly examples: readonly Example[];
  /** The first weights, which DPO and the guard refer to. */
  readonly first: TrainableWeights;
  /** Under these the contexts ran; they stay as they are. */
  readonly contexts: TrainableWeights;
}

interface Point {
  readonly example: Example;
  readonly cache: ContextCache;
  readonly reference: readonly number[];
}

/** What a training step sees, without the step. Examples have a `rejected`; not reentrant. */
export class LossSurface {
  readonly #program: Program;
  readonly #points: readonly Point[];
  readonly #sums: Readonly<Record<string, HostTensor>>;

  private constructor(
    program: Program,
    points: readonly Point[],
    sums: Readonly<Record<string, HostTensor>>,
  ) {
    this.#program = program;
    this.#points = points;
    this.#sums = sums;
  }

  static async open(options: LossSurfaceOptions): Promise<LossSurface> {
    const { reader, executor, fed, learns, objective, first, contexts } = options;
    const graph = objectiveGraph(reader.model, { fed, learns }, true, objective);
    const sums: Record<string, HostTensor> = {};
    for (const [name, { shape }] of Object.entries(graph)) {
      if (!name.startsWith('next.sum.')) continue;
      const sizes = shape as readonly number[];
      const size = sizes.reduce((a, b) => a * b, 1);
      sums[name.slice('next.'.length)] = f32(sizes, new Float32Array(size));
    }
    const references = new References(reader, first, 0);
    const points: Point[] = [];
    for (const example of options.examples) {
      const reference = await references.sums(example);
      const cache = await reader.prefill(example.contextIds, contexts);
      points.push({ example, cache, reference });
    }
    const program = await executor.compile(graph);
    return new LossSurface(program, points, sums);
  }

  #feeds({ example, cache, reference }: Point): Record<string, HostTensor | Value> {
    const { chosen, rejected = chosen } = example;
    return {
      ...cache.values,
      ...decisionFeeds([chosen, rejected], { past: cache.tokens }),
      reference: f32([2], Float32Array.from(reference)),
    };
  }

  /** Mean objective over the examples at `weights`. */
  async loss(weights: TrainableWeights): Promise<number> {
    let total = 0;
    for (const point of this.#points) {
      const feeds = { ...weights, ...this.#sums, ...this.#feeds(point) };
      const { loss } = await this.#program.run(feeds, { fetch: ['loss'] });
      total += (await loss?.read())?.data[0] ?? Number.NaN;
      loss?.release();
    }
    return total / this.#points.length;
  }

  /** Its gradient with respect to each matrix, by name. The caller owns it. */
  async gradient(weights: TrainableWeights): Promise<Record<string, FloatTensor>> {
    const names = Object.keys(this.#sums);
    const total = Object.fromEntries(
      names.map((name) => {
        const { shape, data } = this.#sums[name] as HostTensor;
        return [name, { dtype: 'f32' as const, shape, data: new Float32Array(data.length) }];
      }),
    );
    for (const point of this.#points) {
      const feeds = { ...weights, ...this.#sums, ...this.#feeds(point) };
      const fetch = names.map((name) => `next.${name}`);
      const parts = await this.#program.run(feeds, { fetch });
      for (const name of names) {
        const part = parts[`next.${name}`] as Value;
        const { data } = await part.read();
        part.release();
        const sum = (total[name] as FloatTensor).data;
        for (let i = 0; i < sum.length; i++) {
          sum[i] = (sum[i] as number) + (data[i] as number) / this.#points.length;
        }
      }
    }
    return Object.fromEntries(
      names.map((name) => [name.slice('sum.'.length), total[name] as FloatTensor]),
    );
  }

  async close(): Promise<void> {
    for (const { cache } of this.#points) cache.release();
    await this.#program.close();
  }
}
