// Trains the query projections with the contexts frozen, one arm after the other on the same
// contexts; knows no files but its own.
import { systemClock } from '../base/clock.ts';
import { loadVersion } from '../model/versions.ts';
import { isQProj } from '../model/weight-names.ts';
import { KeptContexts } from '../reading/kept-contexts.ts';
import { klOfLogits } from '../reading/logits.ts';
import { createReader, type Reader, type TrainableWeights } from '../reading/reader.ts';
import type { HostTensor, Value } from '../runtime/executor.ts';
import { releaseAll, uploadAll } from '../runtime/host-tensor.ts';
import type { Candidate, Example } from '../scenario/example.ts';
import { isCrossed } from '../teach/cross.ts';
import { chance, choiceKl, choiceOf } from './choice.ts';
import { type Compressed, compress } from './compress.ts';
import { Coordinates } from './coordinates.ts';
import { differences, type FloatTensor, movedShare, plus, scaled } from './difference.ts';
import { Learner } from './learner.ts';
import { optimizerOf, type Plan, parametersOf, planTraining } from './plan.ts';
import {
  asPart,
  type Counters,
  findResumeState,
  partOf,
  writeResumeState,
} from './resume-state.ts';
import { learningRate } from './schedule.ts';
import { oneHot, type Target, targetOf } from './target.ts';
import type { Arm, StepRecord, TrainerOptions, TrainResult, TrainStop } from './train-settings.ts';
import { whitened } from './whitening.ts';

type HostTensors = Readonly<Record<string, HostTensor>>;

/** Share of the rate that theory gives at which a first trial step is made. */
const TRIAL_SHARE = 0.25;
/** How many times `klPerStep` the holds of a step may have moved; above it the rate is halved. */
const HOLD_FACTOR_MAX = 8;
/** Lessons on which the movement of a step and of a delta's ranks is read. */
const WATCHED_LESSONS = 8;
/** Trial steps: the second one corrects what is not quadratic. */
const TRIALS = 2;
/** Lessons on which it is read how much each matrix has to learn. */
const SCALE_LESSONS = 24;
/**
 * Weight of a lesson that is learnt by the teacher's whole distribution, beside a choice: its
 * gradient is of this moment, and says little of others.
 */
const WHOLE_SHARE = 0.3;
/** Largest factor by which a delta is made longer. */
const LENGTH_MAX = 8;
/** A trial that moves next to nothing raises the rate by this factor at most. */
const RATE_FACTOR_MAX = 10;
/** Lessons on which the movement of a training is read. */
const MOVEMENT_LESSONS_MAX = 32;

/** Several trainings from the same weights, one at a time. */
export class Trainer {
  readonly #options: TrainerOptions;
  readonly #before: HostTensors;
  /** The same where they are run. */
  readonly #start: Readonly<Record<string, Value>>;
  readonly #reader: Reader;
  readonly #learner: Learner;
  readonly #contexts: KeptContexts;
  /** What teachers and the start say, by scenario and reply. */
  readonly #targets = new Map<string, Target>();
  /** How likely teachers find the first of two replies. */
  readonly #choices = new Map<string, number>();
  readonly #names: readonly string[];
  /** Of the arm that trains. */
  readonly #coordinates: Coordinates;

  private constructor(options: TrainerOptions, before: HostTensors, parts: Parts) {
    this.#options = options;
    this.#before = before;
    this.#start = parts.start;
    this.#reader = parts.reader;
    this.#learner = parts.learner;
    this.#names = parts.names;
    this.#coordinates = parts.coordinates;
    this.#contexts = new KeptContexts(parts.reader, options.settings.contextCacheBytesMax);
  }

  static async open(options: TrainerOptions): Promise<Trainer> {
    const { model, executor, settings, seed, startFrom } = options;
    const before = { ...(await loadVersion(model, [])).weights, ...startFrom };
    const parameters = parametersOf(model);
    const coordinates = new Coordinates(parameters);
    const optimizer = whitened(optimizerOf(settings, seed), model.config.headDim, coordinates.of);
    const learner = await Learner.create({ model, executor, fed: isQProj, parameters, optimizer });
    const names = parameters.map(({ name }) => name);
    return new Trainer(options, before, {
      reader: createReader({ model, executor }),
      learner,
      names,
      start: await uploadAll(executor, before),
      coordinates,
    });
  }

  /**
   * Trains one arm and gives the delta. The gradient goes to the query projections and to nothing
   * else; the reply's first token is learnt from the prompt's last. A training that was cut off
   * goes on at its last saved state, bit for bit on the CPU.
   * @throws training-impossible, training-diverged (naming the scenario), checkpoint-damaged
   */
  async train(arm: Arm): Promise<TrainResult> {
    const { ops, clock = systemClock } = this.#options;
    const plan = planTraining(this.#options, arm, this.#before);
    const saved = await findResumeState(arm.resumePath, plan.identity, ops);
    const { identity } = plan;
    const counters: Counters = saved?.counters ?? {
      ...{ schema: 2, step: 0, tokens: 0, seconds: 0, rate: arm.rate ?? null, identity },
    };
    const startedMs = clock.monotonicMs();
    await this.#learner.begin(this.#before);
    const isWhite = await this.#whiten(plan);
    if (saved !== undefined) {
      const weights = { ...this.#before, ...partOf(saved, 'weight') };
      await this.#learner.begin(weights, partOf(saved, 'state'));
    }
    const secondsBefore = counters.seconds;
    const seconds = (): number => secondsBefore + (clock.monotonicMs() - startedMs) / 1000;
    const stop = isWhite ? await this.#run(plan, arm, counters, seconds) : 'aborted';
    return this.#result(plan, arm, counters, stop);
  }

  async #run(plan: Plan, arm: Arm, counters: Counters, seconds: () => number): Promise<TrainStop> {
    const { settings } = this.#options;
    counters.rate ??= (await this.#findRate(plan, counters)) ?? null;
    while (counters.step < plan.steps) {
      if (seconds() >= arm.minutesMax * 60) return 'minutes';
      const { step, rate } = counters;
      const sums = rate === null ? undefined : await this.#sum(plan, step, counters);
      if (rate === null || sums === undefined) {
        await this.#save(arm, counters);
        return 'aborted';
      }
      const { warmupSteps, klPerStep } = settings;
      const now = learningRate(step, { peak: rate, warmupSteps, steps: plan.steps });
      const norms = await this.#learner.update(step, now);
      const isTooFar = arm.rate === undefined && (sums.holdKl ?? 0) > HOLD_FACTOR_MAX * klPerStep;
      Object.assign(counters, {
        ...{ step: step + 1, seconds: seconds() },
        ...(isTooFar && { rate: rate / 2 }),
      });
      arm.onStep?.({
        ...{ step: step + 1, steps: plan.steps, rate: now, ...sums, ...norms },
        ...{ tokens: counters.tokens, seconds: counters.seconds },
        lessons: plan.batch(step).lessons.map(({ scenario }) => scenario.id),
      });
      if (counters.step % settings.checkpointSteps === 0) await this.#save(arm, counters);
    }
    return counters.step >= arm.stepsMax ? 'steps' : 'done';
  }

  /** Finds the coordinates of an arm; false: it was aborted. */
  async #whiten(plan: Plan): Promise<boolean> {
    const { model, executor, seed, signal } = this.#options;
    const examples = plan.holds.length === 0 ? plan.lessons : plan.holds;
    const isRead = await this.#coordinates.read(examples, {
      ...{ model, executor, seed, signal, weights: this.#start },
      predict: (example) => this.#predict(example, this.#start),
    });
    if (!isRead) return false;
    for (const example of plan.lessons.slice(0, SCALE_LESSONS)) {
      await this.#options.beforeMicroStep?.();
      if (signal?.aborted === true) return false;
      await this.#learn(example, 1);
    }
    this.#coordinates.scale(await this.#learner.readSums());
    this.#learner.dropSums();
    return true;
  }

  /**
   * The peak rate: one at which a first step moves what is predicted on the holds by `klPerStep`;
   * on the lessons where there are none. A step's KL grows with the square of its rate. Later steps
   * move less: their gradients agree less. Undefined: it was aborted.
   */
  async #findRate(plan: Plan, counters: Counters): Promise<number | undefined> {
    const watched = watchedOf(plan.holds.length === 0 ? plan.lessons : plan.holds);
    const { klPerStep } = this.#options.settings;
    // A step of length ρ moves the holds by about ½ ρ².
    let rate = TRIAL_SHARE * Math.sqrt(2 * klPerStep);
    for (let trial = 0; trial < TRIALS; trial++) {
      if ((await this.#sum(plan, 0, counters)) === undefined) return undefined;
      await this.#learner.update(0, rate);
      const moved = await this.#movement(watched, this.#learner.weights);
      rate *= Math.min(RATE_FACTOR_MAX, Math.sqrt(klPerStep / Math.max(moved, Number.MIN_VALUE)));
      await this.#learner.begin(this.#before);
    }
    return rate;
  }

  /** Sums the gradients of a step; undefined when it was aborted between two micro-steps. */
  async #sum(
    plan: Plan,
    step: number,
    counters: Counters,
  ): Promise<Pick<StepRecord, 'teacherKl' | 'holdKl'> | undefined> {
    const { lessons, holds } = plan.batch(step);
    const weight = holds.length === 0 ? 0 : lessons.length / holds.length;
    const taught: number[] = [];
    const held: number[] = [];
    for (const [list, kls, each] of [
      [lessons, taught, 1],
      [holds, held, weight],
    ] as const) {
      for (const example of list) {
        await this.#options.beforeMicroStep?.();
        if (this.#options.signal?.aborted === true) {
          this.#learner.dropSums();
          return undefined;
        }
        counters.tokens += example.contextIds.length + example.chosen.ids.length;
        kls.push(await this.#learn(example, each));
      }
    }
    return { teacherKl: meanOf(taught), holdKl: held.length === 0 ? null : meanOf(held) };
  }

  async #learn(example: Example, weight: number): Promise<number> {
    const choice = isCrossed(example.scenario) ? choiceOf(example) : undefined;
    if (choice !== undefined) return this.#choose(example, choice, weight);
    const target = await this.#targetOf(example);
    const cache = await this.#contexts.get(example.contextIds, this.#start);
    const { id, teacher } = example.scenario;
    const share = teacher === undefined ? 1 : WHOLE_SHARE;
    return this.#learner
      .learn(example.chosen, cache, { id, target, weight: weight * share })
      .finally(() => cache.release());
  }

  /**
   * Adds the gradient of `weight` × the KL from the teacher's choice between the two replies to the
   * choice now, for each token that counts. @returns that KL, nats a choice
   */
  async #choose(
    { scenario: { id }, contextIds, teacherIds = contextIds }: Example,
    choice: [Candidate, Candidate],
    weight: number,
  ): Promise<number> {
    const key = `${teacherIds.join(' ')}|${choice.map(({ targets }) => targets.join(' ')).join('|')}`;
    const told = this.#choices.get(key) ?? (await this.#chance(teacherIds, choice, this.#start));
    this.#choices.set(key, told);
    const cache = await this.#contexts.get(contextIds, this.#start);
    try {
      const { weights } = this.#learner;
      const now = chance(choice, await this.#reader.logProbabilities(cache, choice, weights));
      for (const [i, one] of choice.entries()) {
        const target = oneHot(one, this.#options.model.config.vocabSize);
        const push = weight * (told - now) * (i === 0 ? 1 : -1);
        await this.#learner.learn(one, cache, { id, target, weight: push });
      }
      return choiceKl(told, now);
    } finally {
      cache.release();
    }
  }

  async #chance(
    contextIds: readonly number[],
    choice: [Candidate, Candidate],
    weights: TrainableWeights,
  ): Promise<number> {
    const cache = await this.#reader.prefill(contextIds, weights);
    return chance(
      choice,
      await this.#reader.logProbabilities(cache, choice, weights).finally(() => cache.release()),
    );
  }

  /** What the teacher says at each token; without a teacher, what the start says. */
  async #targetOf({ contextIds, teacherIds, chosen }: Example): Promise<Target> {
    const key = `${(teacherIds ?? contextIds).join(' ')}|${chosen.ids.join(' ')}`;
    const known = this.#targets.get(key);
    if (known !== undefined) return known;
    // A teacher's context is asked for once; a hold's own is trained on and may be kept.
    const cache =
      teacherIds === undefined
        ? await this.#contexts.get(contextIds, this.#start)
        : await this.#reader.prefill(teacherIds, this.#start);
    const logits = await this.#reader
      .logits(cache, chosen, this.#start)
      .finally(() => cache.release());
    const target = targetOf(logits);
    this.#targets.set(key, target);
    return target;
  }

  /** Mean KL from the start's predictions, or from those given, to those of `weights` on replies. */
  async #movement(
    examples: readonly Example[],
    weights: TrainableWeights,
    from?: readonly HostTensor[],
  ): Promise<number> {
    const kls: number[] = [];
    for (const [i, example] of examples.slice(0, MOVEMENT_LESSONS_MAX).entries()) {
      const first = from?.[i] ?? (await this.#predict(example, this.#start));
      kls.push(klOfLogits(first, await this.#predict(example, weights)));
    }
    return meanOf(kls);
  }

  /** Weights where they are run, for as long as they are used. */
  async #under<T>(weights: HostTensors, use: (placed: TrainableWeights) => Promise<T>): Promise<T> {
    const placed = await uploadAll(this.#options.executor, weights);
    return use(placed).finally(() => releaseAll(placed));
  }

  async #predict({ contextIds, chosen }: Example, weights: TrainableWeights): Promise<HostTensor> {
    await this.#options.beforeMicroStep?.();
    const cache = await this.#contexts.get(contextIds, this.#start);
    return this.#reader.logits(cache, chosen, weights).finally(() => cache.release());
  }

  async #save({ resumePath }: Arm, counters: Counters): Promise<void> {
    if (resumePath === undefined || counters.rate === null) return;
    const tensors = {
      ...asPart('weight', await this.#learner.readWeights(), this.#names),
      ...asPart('state', await this.#learner.readState()),
    };
    await writeResumeState(resumePath, { counters, tensors }, this.#options.ops);
  }

  /** Longer by the root of the KL that is missing: a KL grows with the square of its delta. */
  async #lengthened(
    delta: Readonly<Record<string, FloatTensor>>,
    lessons: readonly Example[],
    outputKl: number,
  ): Promise<Readonly<Record<string, FloatTensor>>> {
    let factor = 1;
    for (let trial = 0; trial < TRIALS; trial++) {
      const moved = await this.#under(await plus(this.#before, scaled(delta, factor)), (weights) =>
        this.#movement(lessons, weights),
      );
      const missing = outputKl / Math.max(moved, Number.MIN_VALUE);
      factor = Math.min(LENGTH_MAX, Math.max(1, factor * Math.sqrt(missing)));
    }
    return factor === 1 ? delta : scaled(delta, factor);
  }

  async #result(
    plan: Plan,
    { outputKlMin }: Arm,
    counters: Counters,
    stop: TrainStop,
  ): Promise<TrainResult> {
    const { step: steps, tokens, seconds, rate } = counters;
    const isCut = stop === 'aborted';
    const learnt = differences(await this.#learner.readWeights(), this.#before, this.#names);
    const full =
      isCut || outputKlMin === undefined
        ? learnt
        : await this.#lengthened(learnt, plan.lessons, outputKlMin);
    const whole = await plus(this.#before, full);
    // A share needs fewer lessons than what is reported, and is asked for at every rank.
    const watched = watchedOf(plan.lessons);
    const predicted: HostTensor[] = [];
    const fullKl = await this.#under(whole, async (placed) => {
      for (const one of isCut ? [] : watched) predicted.push(await this.#predict(one, placed));
      return isCut ? 0 : this.#movement(watched, placed);
    });
    const lost = async (tensors: Compressed['tensors']): Promise<number> => {
      const kl = await this.#under(await plus(this.#before, tensors), (placed) =>
        this.#movement(watched, placed, predicted),
      );
      return fullKl === 0 ? kl : kl / fullKl;
    };
    const { tensors: delta, ...rest } = isCut
      ? { tensors: full, rank: null, lostShare: 0 }
      : await compress(full, lost, this.#coordinates.of);
    // What others get by adding the delta, to the last bit.
    const weights = await plus(this.#before, delta);
    return {
      ...{ stop, steps, tokens, seconds, rate: rate ?? 0, weights, delta, ...rest },
      movedShare: movedShare(weights, this.#before, this.#names),
      outputKl: isCut
        ? 0
        : await this.#under(weights, (placed) => this.#movement(plan.lessons, placed)),
      refused: plan.refused,
      sources: new Set(plan.lessons.map(({ scenario }) => scenario.source.cluster)).size,
    };
  }

  async close(): Promise<void> {
    this.#contexts.release();
    await this.#learner.close();
    releaseAll(this.#start);
    await this.#reader.close();
  }
}

/** A few, evenly spread. */
function watchedOf(lessons: readonly Example[]): Example[] {
  const step = Math.ceil(lessons.length / WATCHED_LESSONS);
  return lessons.filter((_, at) => at % step === 0);
}

interface Parts {
  readonly coordinates: Coordinates;
  readonly reader: Reader;
  readonly learner: Learner;
  readonly names: readonly string[];
  readonly start: Readonly<Record<string, Value>>;
}

function meanOf(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / Math.max(1, values.length);
}
