// One matrix under an optimizer on a real executor, for tests: runs steps, gives what each left.
import { createRandom } from '../../src/base/random.ts';
import type { Executor, HostTensor, Program } from '../../src/runtime/executor.ts';
import { type ApolloSettings, apollo } from '../../src/train/apollo.ts';
import {
  initState,
  type Optimizer,
  type Parameter,
  stepFeeds,
  updateGraph,
} from '../../src/train/optimizer.ts';

export const BASE: ApolloSettings = { rank: 4, scaling: 'channel', projectionSteps: 200, seed: 1 };

/** APOLLO with the given settings, else those of `BASE`. */
export const apolloWith = (changes: Partial<ApolloSettings> = {}): Optimizer =>
  apollo({ ...BASE, ...changes });

export const f32 = (shape: readonly number[], data: ArrayLike<number>): HostTensor => ({
  dtype: 'f32',
  shape,
  data: Float32Array.from(data),
});
export const floats = (tensor: HostTensor | undefined): Float32Array =>
  tensor?.data as Float32Array;
export const norm = (values: ArrayLike<number>): number =>
  Math.sqrt(Array.from(values).reduce((total, v) => total + v * v, 0));
export const gaussian = (seed: string, size: number, scale = 1): Float32Array =>
  createRandom(seed).fillGaussian(new Float32Array(size), scale);

/** Runs steps over one matrix "w" and gives what each left. */
export class OptimizerBench {
  feeds: Record<string, HostTensor>;
  step = 0;
  readonly #program: Program;
  readonly optimizer: Optimizer;
  readonly parameters: Parameter[];

  private constructor(program: Program, optimizer: Optimizer, parameters: Parameter[]) {
    this.#program = program;
    this.optimizer = optimizer;
    this.parameters = parameters;
    const [parameter] = parameters as [Parameter];
    const size = parameter.shape[0] * parameter.shape[1];
    this.feeds = {
      ...initState(optimizer, parameters),
      w: f32(parameter.shape, gaussian('weight', size)),
    };
  }

  static async of(
    executor: Executor,
    shape: [number, number],
    optimizer: Optimizer,
  ): Promise<OptimizerBench> {
    const parameters = [{ name: 'w', shape }];
    return new OptimizerBench(
      await executor.compile(updateGraph(optimizer, parameters)),
      optimizer,
      parameters,
    );
  }

  async run(
    gradient: ArrayLike<number>,
    { rate = 0.01, projection }: StepOptions = {},
  ): Promise<{ before: Float32Array; after: Float32Array; updateNorm: number; limited: number }> {
    const shape = (this.parameters[0] as Parameter).shape;
    const rates = { step: this.step, rate, gradientScale: 1 };
    const results = await this.#program.run({
      ...this.feeds,
      ...stepFeeds(this.optimizer, this.parameters, rates),
      ...(projection === undefined ? {} : { 'projection.w': projection }),
      'sum.w': f32(shape, gradient),
    });
    this.step++;
    const before = this.feeds.w?.data as Float32Array;
    for (const name of Object.keys(this.feeds)) {
      this.feeds[name] = (await results[`next.${name}`]?.read()) as HostTensor;
    }
    const updateNorm = (await results.updateNorm?.read())?.data[0] as number;
    const limited = this.feeds['norm.w']?.data[0] ?? Number.NaN;
    return { before, after: this.feeds.w?.data as Float32Array, updateNorm, limited };
  }
}

export interface StepOptions {
  readonly rate?: number;
  readonly projection?: HostTensor;
}
