// One matrix under an optimizer on a real executor, for tests: runs steps, gives what each left.
import { createRandom } from '../../src/base/random.ts';
import type { Executor, HostTensor, Program } from '../../src/runtime/executor.ts';
import {
  drawIndex,
  drawProjections,
  initState,
  type OptimizerSettings,
  type Parameter,
  stepScalars,
  updateGraph,
} from '../../src/train/optimizer.ts';

export const BASE: OptimizerSettings = {
  optimizer: 'apollo',
  rank: 4,
  projectionSteps: 200,
  seed: 1,
  gradientNormMax: 0,
};

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
  readonly settings: OptimizerSettings;
  readonly parameters: Parameter[];

  private constructor(program: Program, settings: OptimizerSettings, parameters: Parameter[]) {
    this.#program = program;
    this.settings = settings;
    this.parameters = parameters;
    const [parameter] = parameters as [Parameter];
    const size = parameter.shape[0] * parameter.shape[1];
    this.feeds = {
      ...initState(settings, parameters),
      w: f32(parameter.shape, gaussian('weight', size)),
    };
  }

  static async of(
    executor: Executor,
    shape: [number, number],
    changes: Partial<OptimizerSettings> = {},
    rowMask?: Float32Array,
  ): Promise<OptimizerBench> {
    const settings = { ...BASE, ...changes };
    const parameters = [{ name: 'w', shape, ...(rowMask === undefined ? {} : { rowMask }) }];
    return new OptimizerBench(
      await executor.compile(updateGraph(settings, parameters)),
      settings,
      parameters,
    );
  }

  async run(
    gradient: ArrayLike<number>,
    { rate = 0.01, weightDecay = 0, projection }: StepOptions = {},
  ): Promise<{ before: Float32Array; after: Float32Array; updateNorm: number; limited: number }> {
    const shape = (this.parameters[0] as Parameter).shape;
    const draw = drawIndex(this.settings, this.step);
    const results = await this.#program.run({
      ...this.feeds,
      ...drawProjections(this.settings, this.parameters, draw),
      ...(projection === undefined ? {} : { 'projection.w': projection }),
      ...scalars(this.settings, this.step, { rate, weightDecay }),
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
  readonly weightDecay?: number;
  readonly projection?: HostTensor;
}

function scalars(
  settings: OptimizerSettings,
  step: number,
  rates: { rate: number; weightDecay: number },
): Record<string, HostTensor | undefined> {
  const { rootCorrection, ...rest } = stepScalars(step, { ...rates, gradientScale: 1 });
  return settings.optimizer === 'adamw' ? { ...rest, rootCorrection } : rest;
}
