// The device side of training: micro-steps that sum gradients, and the update that spends them.
import { AttuneError } from '../base/errors.ts';
import type { Model } from '../model/model.ts';
import { decisionFeeds } from '../reading/decision.ts';
import type { ContextCache } from '../reading/reader.ts';
import type { Executor, HostTensor, Program, Value } from '../runtime/executor.ts';
import { f32, number, zeros } from '../runtime/host-tensor.ts';
import type { Example } from '../scenario/example.ts';
import { type ObjectiveSettings, objectiveGraph, retentionGraph } from './objective.ts';
import { initState, type Optimizer, type Parameter, stepFeeds, updateGraph } from './optimizer.ts';

export interface LearnerOptions {
  readonly model: Model;
  readonly executor: Executor;
  /** Weights that are fed (all query projections at least). */
  readonly fed: (name: string) => boolean;
  /** The matrices that learn. */
  readonly parameters: readonly Parameter[];
  readonly objective: ObjectiveSettings;
  readonly optimizer: Optimizer;
  /** Gradients of all matrices together are cut to this norm; 0 = off. */
  readonly gradientNormMax: number;
}

/**
 * Constants packed for the kernels make a step about a sixth faster, for two private copies of
 * them in each of three programs: worth it while that is less than 400 MB.
 */
const PREPACKED_PARAMETERS_MAX = 16e6;

type Tensors = Record<string, HostTensor | Value>;
type HostTensors = Record<string, HostTensor>;

/** Terms of one micro-step by name (`chosen`, `guard`, `preference`, `retention`, `loss`). */
export type Terms = Readonly<Record<string, number>>;

const isValue = (tensor: HostTensor | Value): tensor is Value => 'release' in tensor;

function release(tensors: Tensors): void {
  for (const tensor of Object.values(tensors)) if (isValue(tensor)) tensor.release();
}

interface Programs {
  readonly pair: Program;
  readonly single: Program;
  readonly retention: Program;
  readonly update: Program;
}

/** Weights, optimizer state and summed gradients of one training; not reentrant. */
export class Learner {
  readonly #options: LearnerOptions;
  readonly #programs: Programs;
  #weights: Tensors;
  #state: Tensors;
  #sums: Tensors;
  #micro = 0;

  private constructor(
    options: LearnerOptions,
    programs: Programs,
    start: { weights: HostTensors; state: HostTensors },
  ) {
    this.#options = options;
    this.#programs = programs;
    this.#weights = { ...start.weights };
    this.#state = { ...start.state };
    this.#sums = zeroSums(options.parameters);
  }

  /** @param weights every fed weight; the arrays are read, never written */
  static async create(
    options: LearnerOptions,
    weights: HostTensors,
    state: HostTensors = initState(options.optimizer, options.parameters),
  ): Promise<Learner> {
    const { model, executor, fed, parameters, objective, optimizer, gradientNormMax } = options;
    const names = new Set(parameters.map((parameter) => parameter.name));
    const graphOptions = { fed, learns: (name: string) => names.has(name) };
    const isPrepacked = model.parameters <= PREPACKED_PARAMETERS_MAX;
    const compile = (outputs: ReturnType<typeof objectiveGraph>): Promise<Program> => {
      const keepOnDevice = Object.keys(outputs).filter((name) => name.startsWith('next.'));
      return executor.compile(outputs, { keepOnDevice, isPrepacked });
    };
    const programs = {
      pair: await compile(objectiveGraph(model, graphOptions, true, objective)),
      single: await compile(objectiveGraph(model, graphOptions, false, objective)),
      retention: await compile(retentionGraph(model, graphOptions)),
      update: await compile(updateGraph(optimizer, parameters, gradientNormMax)),
    };
    return new Learner(options, programs, { weights, state });
  }

  /** The weights as they are now; valid until the next `update`. */
  get weights(): Readonly<Tensors> {
    return this.#weights;
  }

  /** Adds one scenario's gradient. `reference` holds log p₀ of each reply, summed. */
  async learn(example: Example, cache: ContextCache, reference: readonly number[]): Promise<Terms> {
    const { chosen, rejected } = example;
    const candidates = rejected === undefined ? [chosen] : [chosen, rejected];
    const program = rejected === undefined ? this.#programs.single : this.#programs.pair;
    const feeds = {
      ...decisionFeeds(candidates, { past: cache.tokens }),
      reference: f32([candidates.length], Float32Array.from(reference)),
    };
    const terms = await this.#run(program, { ...feeds, ...cache.values }, example);
    this.#micro++;
    return terms;
  }

  /**
   * Adds one replayed turn's gradient, `weight` × KL to the first weights' logits (length,
   * vocabulary).
   */
  async retain(
    example: Example,
    cache: ContextCache,
    { logits, weight }: { logits: HostTensor; weight: number },
  ): Promise<Terms> {
    const { targets: _, ...feeds } = decisionFeeds([example.chosen], { past: cache.tokens });
    return this.#run(
      this.#programs.retention,
      {
        ...feeds,
        ...cache.values,
        referenceLogits: { ...logits, shape: [1, ...logits.shape] },
        weight: number(weight),
      },
      example,
    );
  }

  async #run(program: Program, feeds: Tensors, example: Example): Promise<Terms> {
    const results = await program.run({ ...this.#weights, ...prefixed(this.#sums), ...feeds });
    const { values, terms } = await split(results);
    for (const [name, value] of Object.entries(terms)) {
      if (Number.isFinite(value)) continue;
      release(values);
      const message = `${example.scenario.id}: ${name} is ${value}; no weight was changed`;
      throw new AttuneError('training-diverged', message, { scenario: example.scenario.id });
    }
    release(this.#sums);
    this.#sums = renamed(values, 'next.sum.');
    return terms;
  }

  /**
   * Spends the summed gradients in one optimizer step.
   * @returns norms of the mean gradient (before the cut) and of the change of all matrices
   * @throws training-diverged when either is not finite; the weights are then as before
   */
  async update(
    step: number,
    { rate, weightDecay }: { rate: number; weightDecay: number },
  ): Promise<{ gradientNorm: number; updateNorm: number }> {
    const { optimizer, parameters } = this.#options;
    const learning = parameters.map(({ name }) => [name, this.#weights[name]] as const);
    const gradientScale = 1 / Math.max(1, this.#micro);
    const results = await this.#programs.update.run({
      ...stepFeeds(optimizer, parameters, { step, rate, weightDecay, gradientScale }),
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

  async close(): Promise<void> {
    for (const program of Object.values(this.#programs)) await program.close();
    release(this.#weights);
    release(this.#state);
    release(this.#sums);
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

/** Mean of each term over the micro-steps that have it. */
export function meanTerms(all: readonly Terms[]): Terms {
  const names = new Set(all.flatMap((terms) => Object.keys(terms)));
  return Object.fromEntries(
    [...names].map((name) => {
      const values = all.flatMap((terms) => (terms[name] === undefined ? [] : [terms[name]]));
      return [name, values.reduce((total, value) => total + value, 0) / values.length];
    }),
  );
}
