// The device side of training: micro-steps that sum gradients, and the update that spends them.
import { AttuneError } from '../base/errors.ts';
import type { Model } from '../model/model.ts';
import { type ContextCache, decisionFeeds } from '../reading/reader.ts';
import type { Executor, HostTensor, Program, Value } from '../runtime/executor.ts';
import { number, zeros } from '../runtime/host-tensor.ts';
import type { Candidate } from '../scenario/example.ts';
import { distillationGraph } from './objective.ts';
import { initState, type Optimizer, type Parameter, stepFeeds, updateGraph } from './optimizer.ts';
import { type Target, targetFeeds } from './target.ts';

export interface LearnerOptions {
  readonly model: Model;
  readonly executor: Executor;
  /** Weights that are fed (all query projections at least). */
  readonly fed: (name: string) => boolean;
  /** The matrices that learn. */
  readonly parameters: readonly Parameter[];
  readonly optimizer: Optimizer;
}

/**
 * Constants packed for the kernels make a step about a sixth faster, for two private copies of
 * them in each of two programs: worth it while that is less than 400 MB.
 */
const PREPACKED_PARAMETERS_MAX = 16e6;

type Tensors = Record<string, HostTensor | Value>;
type HostTensors = Record<string, HostTensor>;

const isValue = (tensor: HostTensor | Value): tensor is Value => 'release' in tensor;

function release(tensors: Tensors): void {
  for (const tensor of Object.values(tensors)) if (isValue(tensor)) tensor.release();
}

interface Programs {
  readonly distil: Program;
  readonly update: Program;
}

/** Weights, optimizer state and summed gradients of one training at a time; not reentrant. */
export class Learner {
  readonly #options: LearnerOptions;
  readonly #programs: Programs;
  #weights: Tensors = {};
  #state: Tensors = {};
  #sums: Tensors = {};
  #micro = 0;

  private constructor(options: LearnerOptions, programs: Programs) {
    this.#options = options;
    this.#programs = programs;
  }

  static async create(options: LearnerOptions): Promise<Learner> {
    const { model, executor, fed, parameters, optimizer } = options;
    const names = new Set(parameters.map((parameter) => parameter.name));
    const isPrepacked = model.parameters <= PREPACKED_PARAMETERS_MAX;
    const compile = (outputs: ReturnType<typeof distillationGraph>): Promise<Program> => {
      const keepOnDevice = Object.keys(outputs).filter((name) => name.startsWith('next.'));
      return executor.compile(outputs, { keepOnDevice, isPrepacked });
    };
    const learns = (name: string): boolean => names.has(name);
    return new Learner(options, {
      distil: await compile(distillationGraph(model, { fed, learns })),
      update: await compile(updateGraph(optimizer, parameters)),
    });
  }

  /**
   * Begins at these weights, with a fresh optimizer or the given state of one.
   * @param weights every fed weight; the arrays are read, never written
   */
  begin(
    weights: HostTensors,
    state: HostTensors = initState(this.#options.optimizer, this.#options.parameters),
  ): void {
    this.#release();
    this.#weights = { ...weights };
    this.#state = { ...state };
    this.dropSums();
  }

  /** The weights as they are now; valid until the next `update`. */
  get weights(): Readonly<Tensors> {
    return this.#weights;
  }

  /**
   * Adds the gradient of `weight` × the KL from `target` to what is predicted now.
   * @returns that KL, mean over the rows, nats a token
   */
  async learn(
    candidate: Candidate,
    cache: ContextCache,
    { id, target, weight }: { id: string; target: Target; weight: number },
  ): Promise<number> {
    const { targets: _, ...feeds } = decisionFeeds([candidate], cache.tokens);
    const results = await this.#programs.distil.run({
      ...this.#weights,
      ...prefixed(this.#sums),
      ...feeds,
      ...cache.values,
      ...targetFeeds(target),
      weight: number(weight),
    });
    const { values, terms } = await split(results);
    const { kl = Number.NaN } = terms;
    if (!Number.isFinite(kl)) {
      release(values);
      const message = `${id}: the loss is ${kl}; no weight was changed`;
      throw new AttuneError('training-diverged', message, { scenario: id });
    }
    release(this.#sums);
    this.#sums = renamed(values, 'next.sum.');
    this.#micro++;
    return kl;
  }

  /**
   * Spends the summed gradients in one optimizer step.
   * @returns norms of the mean gradient (before the cut) and of the change of all matrices
   * @throws training-diverged when either is not finite; the weights are then as before
   */
  async update(step: number, rate: number): Promise<{ gradientNorm: number; updateNorm: number }> {
    const { optimizer, parameters } = this.#options;
    const learning = parameters.map(({ name }) => [name, this.#weights[name]] as const);
    const gradientScale = 1 / Math.max(1, this.#micro);
    const results = await this.#programs.update.run({
      ...stepFeeds(optimizer, parameters, { step, rate, gradientScale }),
      ...(Object.fromEntries(learning) as Tensors),
      ...this.#state,
      ...prefixed(this.#sums),
    });
    const { values, terms } = await split(results);
    const { gradientNorm = Number.NaN, updateNorm = Number.NaN } = terms;
    if (!Number.isFinite(gradientNorm) || !Number.isFinite(updateNorm)) {
      release(values);
      const message = `step ${step}: the update is not finite; no weight was changed`;
      throw new AttuneError('training-diverged', message, { step });
    }
    this.#take(renamed(values, 'next.'));
    return { gradientNorm, updateNorm };
  }

  #take(next: Tensors): void {
    const learnt = new Set(this.#options.parameters.map((parameter) => parameter.name));
    for (const [name, tensor] of Object.entries(next)) {
      const owner = learnt.has(name) ? this.#weights : this.#state;
      release({ [name]: owner[name] as HostTensor | Value });
      owner[name] = tensor;
    }
    this.dropSums();
  }

  /** Forgets gradients that were summed and not spent. */
  dropSums(): void {
    release(this.#sums);
    this.#sums = zeroSums(this.#options.parameters);
    this.#micro = 0;
  }

  /** Copies of the fed weights. */
  async readWeights(): Promise<HostTensors> {
    return copies(this.#weights);
  }

  /** Copies of the optimizer state. */
  async readState(): Promise<HostTensors> {
    return copies(this.#state);
  }

  #release(): void {
    release(this.#weights);
    release(this.#state);
    release(this.#sums);
  }

  async close(): Promise<void> {
    for (const program of Object.values(this.#programs)) await program.close();
    this.#release();
  }
}

function zeroSums(parameters: readonly Parameter[]): Tensors {
  return Object.fromEntries(parameters.map(({ name, shape }) => [name, zeros(shape)]));
}

const prefixed = (sums: Tensors): Tensors =>
  Object.fromEntries(Object.entries(sums).map(([name, tensor]) => [`sum.${name}`, tensor]));

const renamed = (values: Record<string, Value>, prefix: string): Tensors =>
  Object.fromEntries(Object.entries(values).map(([name, v]) => [name.slice(prefix.length), v]));

/** Scalars read home, everything that stays on the device as it is; other outputs are dropped. */
async function split(
  results: Record<string, Value>,
): Promise<{ values: Record<string, Value>; terms: Record<string, number> }> {
  const values: Record<string, Value> = {};
  const terms: Record<string, number> = {};
  for (const [name, value] of Object.entries(results)) {
    if (name.startsWith('next.')) {
      values[name] = value;
      continue;
    }
    if (value.shape.length === 0) terms[name] = (await value.read()).data[0] as number;
    value.release();
  }
  return { values, terms };
}

async function copies(tensors: Tensors): Promise<HostTensors> {
  const result: HostTensors = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    const { dtype, shape, data } = isValue(tensor) ? await tensor.read() : tensor;
    result[name] = { dtype, shape, data: data.slice() };
  }
  return result;
}
