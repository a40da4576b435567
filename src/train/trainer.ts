// Trains the query projections on scenarios with their contexts frozen; knows no files but its own.
import { systemClock } from '../base/clock.ts';
import { loadVersion } from '../model/versions.ts';
import { isQProj } from '../model/weight-names.ts';
import { type ContextCache, createReader, type Reader } from '../reading/reader.ts';
import { meanMargin } from '../reading/scenario-margin.ts';
import type { HostTensor } from '../runtime/executor.ts';
import type { Example } from '../scenario/example.ts';
import { differences, movedShare, plus } from './difference.ts';
import { FrozenContexts } from './frozen-context.ts';
import { Learner, meanTerms, type Terms } from './learner.ts';
import { type Plan, planTraining } from './plan.ts';
import { References } from './reference.ts';
import {
  asPart,
  type Counters,
  findResumeState,
  freshCounters,
  partOf,
  writeResumeState,
} from './resume-state.ts';
import { learningRate } from './schedule.ts';
import type { StepRecord, TrainOptions, TrainResult, TrainStop } from './train-settings.ts';

type HostTensors = Record<string, HostTensor>;

/** Steps between two looks at how far kept contexts are behind, and rows looked at. */
const PROBE_STEPS = 5;
const PROBE_ROWS = 4;

/**
 * Trains and gives the delta. The gradient goes to the query projections (or what `trainable`
 * names) and to nothing else; the reply's first token is learnt from the prompt's last. A training
 * that was cut off goes on at its last saved state, bit for bit on the CPU.
 * @throws training-impossible, training-diverged (naming the scenario), checkpoint-damaged
 */
export async function trainDelta(options: TrainOptions): Promise<TrainResult> {
  const trainable = options.trainable ?? isQProj;
  const fed = (name: string): boolean => isQProj(name) || trainable(name);
  const { model, executor } = options;
  const before: HostTensors = {
    ...(await loadVersion(model, [], { trainable: fed })).weights,
    ...options.startFrom,
  };
  const plan = planTraining(options, before);
  const reader = createReader({ model, executor, trainable: fed });
  const training = await Training.begin({ options, plan, reader, before, fed });
  try {
    const stop = await training.run();
    return await training.result(stop);
  } finally {
    await training.close();
    await reader.close();
  }
}

interface Parts {
  readonly options: TrainOptions;
  readonly plan: Plan;
  readonly reader: Reader;
  readonly before: HostTensors;
  readonly fed: (name: string) => boolean;
}

class Training {
  readonly #parts: Parts;
  readonly #learner: Learner;
  readonly #contexts: FrozenContexts;
  readonly #references: References;
  readonly #startedMs: number;
  readonly #secondsBefore: number;
  readonly #counters: Counters;
  /** The latest weights with a held-out margin above the start's. */
  #kept: HostTensors | undefined;

  private constructor(
    parts: Parts,
    learner: Learner,
    state: { counters: Counters; context: HostTensors; kept: HostTensors | undefined },
  ) {
    const { reader, before, options } = parts;
    const { contextCacheBytesMax } = options.settings;
    this.#parts = parts;
    this.#learner = learner;
    this.#counters = state.counters;
    this.#kept = state.kept;
    this.#secondsBefore = state.counters.seconds;
    this.#contexts = new FrozenContexts(reader, state.context, contextCacheBytesMax);
    this.#references = new References(reader, before, contextCacheBytesMax);
    this.#startedMs = (options.clock ?? systemClock).monotonicMs();
  }

  static async begin(parts: Parts): Promise<Training> {
    const { options, plan, before, fed } = parts;
    const { model, executor, settings, resumePath } = options;
    const learnerOptions = {
      model,
      executor,
      fed,
      parameters: plan.parameters,
      objective: settings,
      optimizer: plan.optimizer,
      gradientNormMax: settings.gradientNormMax,
    };
    const saved = await findResumeState(resumePath, plan.identity, options.ops);
    if (saved === undefined) {
      const counters = freshCounters(plan.identity);
      const learner = await Learner.create(learnerOptions, before);
      return new Training(parts, learner, { counters, context: before, kept: undefined });
    }
    const weights = { ...before, ...partOf(saved, 'weight') };
    const learner = await Learner.create(learnerOptions, weights, partOf(saved, 'state'));
    const kept = partOf(saved, 'kept');
    return new Training(parts, learner, {
      counters: saved.counters,
      context: { ...before, ...partOf(saved, 'context') },
      kept: Object.keys(kept).length === 0 ? undefined : { ...before, ...kept },
    });
  }

  async run(): Promise<TrainStop> {
    const { options, plan } = this.#parts;
    if (this.#counters.step === 0) await this.#evaluate();
    while (this.#counters.step < plan.steps) {
      const stop = this.#budgetStop();
      if (stop !== undefined) return stop;
      if (!(await this.#step())) {
        await this.#save();
        return 'aborted';
      }
      if (this.#counters.withoutProgress >= options.settings.patience) return 'no-progress';
    }
    return this.#counters.step >= options.settings.stepsMax ? 'steps' : 'done';
  }

  #seconds(): number {
    const clock = this.#parts.options.clock ?? systemClock;
    return this.#secondsBefore + (clock.monotonicMs() - this.#startedMs) / 1000;
  }

  #budgetStop(): TrainStop | undefined {
    const { minutesMax, tokensMax } = this.#parts.options.settings;
    if (this.#seconds() >= minutesMax * 60) return 'minutes';
    return this.#counters.tokens >= tokensMax ? 'tokens' : undefined;
  }

  /** One optimizer step; false when it was aborted between two micro-steps. */
  async #step(): Promise<boolean> {
    const { options, plan } = this.#parts;
    const { settings } = options;
    const { step } = this.#counters;
    const contextKl = await this.#renewContexts();
    const batch = plan.batch(step);
    const replays = settings.retentionWeight > 0 ? plan.replayBatch(step) : [];
    const all: Terms[] = [];
    for (const example of batch) {
      if (await this.#isAborted()) return false;
      all.push(await this.#learn(example));
    }
    for (const example of replays) {
      if (await this.#isAborted()) return false;
      const weight = (settings.retentionWeight * batch.length) / replays.length;
      all.push(await this.#retain(example, weight));
    }
    const rate = learningRate(step, {
      peak: settings.learningRate,
      warmupSteps: settings.warmupSteps,
      steps: plan.steps,
    });
    const norms = await this.#learner.update(step, { rate, weightDecay: settings.weightDecay });
    Object.assign(this.#counters, { step: step + 1, seconds: this.#seconds() });
    const heldOutMargin = await this.#evaluate();
    options.onStep?.({
      step: step + 1,
      steps: plan.steps,
      rate,
      terms: meanTerms(all),
      ...norms,
      tokens: this.#counters.tokens,
      seconds: this.#counters.seconds,
      scenarios: batch.map((example) => example.scenario.id),
      ...(contextKl === undefined ? {} : { contextKl }),
      ...(heldOutMargin === undefined ? {} : { heldOutMargin }),
    } satisfies StepRecord);
    if ((step + 1) % settings.checkpointSteps === 0) await this.#save();
    return true;
  }

  async #isAborted(): Promise<boolean> {
    const { options } = this.#parts;
    await options.beforeMicroStep?.();
    if (options.signal?.aborted !== true) return false;
    this.#learner.dropSums();
    return true;
  }

  async #learn(example: Example): Promise<Terms> {
    this.#countTokens(example);
    return this.#contexts.with(example, async (cache) => {
      const reference = await this.#references.sums(example, this.#ifFirst(cache));
      return this.#learner.learn(example, cache, reference);
    });
  }

  async #retain(example: Example, weight: number): Promise<Terms> {
    this.#countTokens(example);
    return this.#contexts.with(example, async (cache) => {
      const logits = await this.#references.logits(example, this.#ifFirst(cache));
      return this.#learner.retain(example, cache, { logits, weight });
    });
  }

  /** Contexts are the first weights' own until they are renewed. */
  #ifFirst(cache: ContextCache): ContextCache | undefined {
    return this.#counters.contextStep === 0 ? cache : undefined;
  }

  #countTokens({ contextIds, chosen, rejected }: Example): void {
    this.#counters.tokens += contextIds.length + chosen.ids.length + (rejected?.ids.length ?? 0);
  }

  /** Runs the contexts under the weights as they are now, when the kept ones are too far behind. */
  async #renewContexts(): Promise<number | undefined> {
    const { settings } = this.#parts.options;
    const { step, contextStep } = this.#counters;
    const age = step - contextStep;
    if (age === 0) return undefined;
    const isProbed = age % PROBE_STEPS === 0;
    const probes = this.#parts.plan.examples.slice(0, PROBE_ROWS);
    const kl = isProbed ? await this.#contexts.drift(probes, this.#learner.weights) : undefined;
    if (age < settings.contextRefreshSteps && !((kl ?? 0) > settings.contextRefreshKlMax))
      return kl;
    this.#contexts.renew(await this.#learner.readWeights());
    this.#counters.contextStep = step;
    return kl;
  }

  /**
   * The margin on held-out scenarios when it is due; keeps the latest weights that are above the
   * start. Not the best: evaluations differ by less than their noise, the last weights have least.
   */
  async #evaluate(): Promise<number | undefined> {
    const { plan, reader, options } = this.#parts;
    const { step } = this.#counters;
    const isDue = step % options.settings.evaluationSteps === 0 || step === plan.steps;
    if (plan.heldOut.length === 0 || !isDue) return undefined;
    const margin = await meanMargin(reader, plan.heldOut, this.#learner.weights);
    if (step === 0) this.#counters.marginBefore = margin;
    if (step === 0 || margin > (this.#counters.marginBefore ?? margin)) {
      this.#kept = await this.#learner.readWeights();
      Object.assign(this.#counters, { keptMargin: margin, keptStep: step, withoutProgress: 0 });
    } else {
      this.#counters.withoutProgress++;
    }
    return margin;
  }

  async #save(): Promise<void> {
    const { options, plan } = this.#parts;
    if (options.resumePath === undefined) return;
    const learnt = plan.parameters.map(({ name }) => name);
    const state = {
      counters: this.#counters,
      tensors: {
        ...asPart('weight', await this.#learner.readWeights(), learnt),
        ...asPart('context', this.#contexts.snapshot as HostTensors, learnt),
        ...asPart('kept', this.#kept ?? {}, learnt),
        ...asPart('state', await this.#learner.readState()),
      },
    };
    await writeResumeState(options.resumePath, state, options.ops);
  }

  async result(stop: TrainStop): Promise<TrainResult> {
    const { plan, before } = this.#parts;
    const { step, tokens, marginBefore, keptMargin, keptStep } = this.#counters;
    const names = plan.parameters.map(({ name }) => name);
    const last = this.#kept ?? (await this.#learner.readWeights());
    const delta = differences(last, before, names);
    // What others get by adding the delta, to the last bit.
    const weights = plus(before, delta);
    return {
      stop,
      steps: step,
      tokens,
      seconds: this.#seconds(),
      keptStep: this.#kept === undefined ? step : keptStep,
      ...(marginBefore === null ? {} : { heldOutMarginBefore: marginBefore }),
      ...(keptMargin === null ? {} : { heldOutMargin: keptMargin }),
      weights,
      delta,
      movedShare: movedShare(weights, before, names),
      refused: plan.refused,
      sources: new Set(plan.examples.map((e) => e.scenario.source.cluster)).size,
    };
  }

  async close(): Promise<void> {
    this.#contexts.release();
    await this.#learner.close();
  }
}
