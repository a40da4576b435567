// The device side of training: micro-steps that sum gradients, and the update that spends them.
import { AttuneError } from '../base/errors.ts';
import type { Model } from '../model/model.ts';
import { type ContextCache, decisionFeeds } from '../reading/reader.ts';
import type { Executor, HostTensor, Program, Value } from '../runtime/executor.ts';
import { number, releaseAll, uploadAll, zeros } from '../runtime/host-tensor.ts';
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

type Values = Record<string, Value>;
type HostTensors = Readonly<Record<string, HostTensor>>;

interface Programs {
  readonly distil: Program;
  readonly update: Program;
}

/** Weights, optimizer state and summed gradients of one training at a time; not reentrant. */
export class Learner {
  readonly #options: LearnerOptions;
  readonly #programs: Programs;
  readonly #zeros: Values;
  #weights: Values = {};
  #state: Values = {};
  /** Absent before the first micro-step of a step: zeros. */
  #sums: Values | undefined;
  #micro = 0;
  /** What the optimizer is fed for several steps, by input. */
  readonly #drawn = new Map<string, { readonly host: HostTensor; readonly value: Value }>();

  private constructor(options: LearnerOptions, programs: Programs, zeros: Values) {
    this.#options = options;
    this.#programs = programs;
    this.#zeros = zeros;
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
    const programs = {
      distil: await compile(distillationGraph(model, { fed, learns })),
      update: await compile(updateGraph(optimizer, parameters)),
    };
    const noSums = Object.fromEntries(parameters.map(({ name, shape }) => [name, zeros(shape)]));
    return new Learner(options, programs, await uploadAll(executor, noSums));
  }

  /**
   * Begins at these weights, with a fresh optimizer or the given state of one.
   * @param weights every fed weight; the arrays are read, never written
   */
  async begin(
    weights: HostTensors,
    state: HostTensors = initState(this.#options.optimizer, this.#options.parameters),
  ): Promise<void> {
    this.#release();
    const { executor } = this.#options;
    this.#weights = await uploadAll(executor, weights);
    this.#state = await uploadAll(executor, state);
  }

  /** The weights as they are now; valid until the next `update`. */
  get weights(): Readonly<Values> {
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
      ...prefixed(this.#sums ?? this.#zeros),
      ...feeds,
      ...cache.values,
      ...targetFeeds(target),
      weight: number(weight),
    });
    const { values, terms } = await split(results);
    const { kl = Number.NaN } = terms;
    if (!Number.isFinite(kl)) {
      releaseAll(values);
      const message = `${id}: the loss is ${kl}; no weight was changed`;
      throw new AttuneError('training-diverged', message, { scenario: id });
    }
    releaseAll(this.#sums ?? {});
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
      ...(await this.#placed(stepFeeds(optimizer, parameters, { step, rate, gradientScale }))),
      ...(Object.fromEntries(learning) as Values),
      ...this.#state,
      ...prefixed(this.#sums ?? this.#zeros),
    });
    const { values, terms } = await split(results);
    const { gradientNorm = Number.NaN, updateNorm = Number.NaN } = terms;
    if (!Number.isFinite(gradientNorm) || !Number.isFinite(updateNorm)) {
      releaseAll(values);
      const message = `step ${step}: the update is not finite; no weight was changed`;
      throw new AttuneError('training-diverged', message, { step });
    }
    this.#take(renamed(values, 'next.'));
    return { gradientNorm, updateNorm };
  }

  /** Matrices that the optimizer draws for many steps go to the device once. */
  async #placed(feeds: HostTensors): Promise<Record<string, HostTensor | Value>> {
    const placed: Record<string, HostTensor | Value> = { ...feeds };
    for (const [name, host] of Object.entries(feeds)) {
      if (host.shape.length === 0) continue;
      const known = this.#drawn.get(name);
      if (known?.host !== host) {
        known?.value.release();
        this.#drawn.set(name, { host, value: await this.#options.executor.upload(host) });
      }
      placed[name] = this.#drawn.get(name)?.value as Value;
    }
    return placed;
  }

  #take(next: Values): void {
    const learnt = new Set(this.#options.parameters.map((parameter) => parameter.name));
    for (const [name, tensor] of Object.entries(next)) {
      const owner = learnt.has(name) ? this.#weights : this.#state;
      owner[name]?.release();
      owner[name] = tensor;
    }
    this.dropSums();
  }

  /** Forgets gradients that were summed and not spent. */
  dropSums(): void {
    releaseAll(this.#sums ?? {});
    this.#sums = undefined;
    this.#micro = 0;
  }

  /** Copies of the fed weights. */
  async readWeights(): Promise<HostTensors> {
    return copies(this.#weights);
  }

  /** Copies of the gradients summed so far, by matrix. */
  async readSums(): Promise<HostTensors> {
    return copies(this.#sums ?? this.#zeros);
  }

  /** Copies of the optimizer state. */
  async readState(): Promise<HostTensors> {
    return copies(this.#state);
  }

  #release(): void {
    releaseAll(this.#weights);
    releaseAll(this.#state);
    this.dropSums();
  }

  async close(): Promise<void> {
    for (const program of Object.values(this.#programs)) await program.close();
    this.#release();
    releaseAll(this.#zeros);
    for (const { value } of this.#drawn.values()) value.release();
  }
}

const prefixed = (sums: Values): Values =>
  Object.fromEntries(Object.entries(sums).map(([name, tensor]) => [`sum.${name}`, tensor]));

const renamed = (values: Values, prefix: string): Values =>
  Object.fromEntries(Object.entries(values).map(([name, v]) => [name.slice(prefix.length), v]));

/** Scalars read home, everything that stays on the device as it is; other outputs are dropped. */
async function split(results: Values): Promise<{ values: Values; terms: Record<string, number> }> {
  const values: Values = {};
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

async function copies(tensors: Values): Promise<HostTensors> {
  const result: Record<string, HostTensor> = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    const { dtype, shape, data } = await tensor.read();
    result[name] = { dtype, shape, data: data.slice() };
  }
  return result;
}
