// One model with its readers and data: trains a cell's arm and reads weights on held-out talk.
import { type AttentionChange, attentionChanges } from '../../src/measure/attention-change.ts';
import { type Retention, retention } from '../../src/measure/retention.ts';
import { type Model, readModel } from '../../src/model/model.ts';
import { loadVersion } from '../../src/model/versions.ts';
import { Reader, type TrainableWeights } from '../../src/reading/reader.ts';
import { type ScoredExample, scoreExamples, scoreOf } from '../../src/reading/scenario-margin.ts';
import type { Executor, HostTensor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { type Example, toExample } from '../../src/scenario/example.ts';
import type { Scenario } from '../../src/scenario/scenario.ts';
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { armScenarios, rescaled } from '../../src/train/arms.ts';
import { type FloatTensor, normOf, plus } from '../../src/train/difference.ts';
import { type Flatness, flatness } from '../../src/train/flatness.ts';
import { LossSurface } from '../../src/train/loss-surface.ts';
import { scoreWithBias, trainSurface } from '../../src/train/surface.ts';
import type { StepRecord } from '../../src/train/train-settings.ts';
import { trainDelta } from '../../src/train/trainer.ts';
import type { Cell } from './cells.ts';
import { type ExperimentData, shuffledPairs } from './data.ts';
import { type Choice, packing, settingsOf } from './settings.ts';
import type { ExperimentSize } from './size.ts';

export interface Trained {
  readonly weights: TrainableWeights;
  readonly delta: Readonly<Record<string, FloatTensor>>;
  /** Norm of the delta as trained, and as it is after rescaling. */
  readonly trainedNorm: number;
  readonly norm: number;
  readonly movedShare: number;
  readonly steps: number;
  readonly seconds: number;
  /** Terms of the first and the last eight steps, mean. */
  readonly firstTerms: Readonly<Record<string, number>>;
  readonly lastTerms: Readonly<Record<string, number>>;
  readonly scenarios: readonly Scenario[];
}

export interface Reading {
  /** Scenario id → nats a token. */
  readonly margins: Readonly<Record<string, number>>;
  /** The same of some dev pairs with the cache of the first weights kept. */
  readonly kept?: Readonly<Record<string, number>>;
  readonly clusters: Readonly<Record<string, string>>;
  readonly attention?: {
    readonly direction?: AttentionChange;
    readonly ownIdea?: AttentionChange;
  };
  readonly retention?: Retention;
}

export class Laboratory {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  readonly data: ExperimentData;
  readonly size: ExperimentSize;
  readonly executor: Executor;
  readonly #readers = new Map<string, Reader>();
  readonly #fed = new Map<string, Record<string, HostTensor>>();

  private constructor(parts: {
    model: Model;
    tokenizer: Tokenizer;
    data: ExperimentData;
    size: ExperimentSize;
    executor: Executor;
  }) {
    this.model = parts.model;
    this.tokenizer = parts.tokenizer;
    this.data = parts.data;
    this.size = parts.size;
    this.executor = parts.executor;
  }

  static async open(paths: {
    model: string;
    cache: string;
    data: ExperimentData;
    size: ExperimentSize;
  }): Promise<Laboratory> {
    const model = await readModel(paths.model, { cacheDir: paths.cache });
    const executor = packing(await createOnnxExecutor({ device: 'cpu', threads: 1 }));
    const tokenizer = await loadTokenizer(model.dir);
    return new Laboratory({ model, tokenizer, data: paths.data, size: paths.size, executor });
  }

  render(scenarios: readonly Scenario[]): Example[] {
    const limits = { windowTokens: this.model.windowTokens, replyTokensMax: 96 };
    return scenarios.map((scenario) => toExample(scenario, this.tokenizer, limits));
  }

  /** The reader and the first weights for what a cell trains. */
  async #of(weights: 'q' | 'qkvo') {
    const trainable = (name: string): boolean =>
      weights === 'q' ? name.endsWith('.qProj') : /\.[qkvo]Proj$/.test(name);
    const known = this.#fed.get(weights);
    const first = known ?? { ...(await loadVersion(this.model, [], { trainable })).weights };
    this.#fed.set(weights, first);
    const { model, executor } = this;
    const reader = this.#readers.get(weights) ?? new Reader({ model, executor, trainable });
    this.#readers.set(weights, reader);
    return { trainable, first, reader };
  }

  /** The first weights, queries only. */
  async first(): Promise<TrainableWeights> {
    return (await this.#of('q')).first;
  }

  /**
   * `dose` scenarios, whole pairs, drawn by the seed and evenly over the kinds from those pairs of
   * the pool of which the first weights have at least one side wrong.
   */
  draw(dose: number, seed: number, first: Readonly<Record<string, number>>): Scenario[] {
    const hard = new Set(
      this.data.pool.filter((s) => (first[s.id] ?? 0) <= 0).map((s) => s.pair?.id),
    );
    const pool = this.data.pool.filter((s) => hard.has(s.pair?.id));
    const byKind = [...shuffledPairs(pool, `dose:${seed}`).values()];
    const longest = Math.max(...byKind.map((ids) => ids.length));
    const turns = Array.from({ length: longest }, (_, i) =>
      byKind.flatMap((ids) => ids.slice(i, i + 1)),
    );
    const chosen = new Set(turns.flat().slice(0, Math.ceil(dose / 2)));
    return pool.filter((s) => chosen.has(s.pair?.id ?? s.id)).slice(0, dose);
  }

  async train(
    cell: Cell,
    drawn: readonly Scenario[],
    choice: Choice,
    norm?: number,
  ): Promise<Trained> {
    const { trainable, first } = await this.#of(cell.weights ?? 'q');
    const records: StepRecord[] = [];
    const scenarios = armScenarios(cell.arm as 'real', drawn, cell.seed);
    const result = await trainDelta({
      model: this.model,
      executor: this.executor,
      renderer: this.tokenizer,
      scenarios,
      replays: this.data.replays,
      settings: settingsOf(choice, drawn.length, cell),
      seed: `experiment:${cell.seed}`,
      trainable,
      startFrom: first,
      onStep: (record) => records.push(record),
    });
    const trainedNorm = normOf(result.delta);
    const delta = norm === undefined ? result.delta : rescaled(result.delta, norm);
    return {
      weights: plus(first, delta, 1),
      delta,
      trainedNorm,
      norm: norm ?? trainedNorm,
      movedShare: result.movedShare * ((norm ?? trainedNorm) / trainedNorm),
      steps: result.steps,
      seconds: result.seconds,
      firstTerms: meanOf(records.slice(0, 8)),
      lastTerms: meanOf(records.slice(-8)),
      scenarios,
    };
  }

  /** Margins of scenarios under the first weights. */
  async firstMargins(scenarios: readonly Scenario[]): Promise<Record<string, number>> {
    const { reader, first } = await this.#of('q');
    return marginsOf(await scoreExamples(reader, this.render(scenarios), first));
  }

  /** On the selection split: margins and retention only. */
  async readSelection(weights: TrainableWeights): Promise<Reading & { retention: Retention }> {
    const { reader, first } = await this.#of('q');
    const { selection, selectionEveryday } = this.data;
    const arms = { before: first, after: weights };
    return {
      margins: marginsOf(await scoreExamples(reader, this.render(selection), weights)),
      clusters: clustersOf(selection),
      retention: await retention(reader, this.render(selectionEveryday), arms),
    };
  }

  /** On dev pairs and suites. `weights` are the first ones when absent. */
  async read(cell: Pick<Cell, 'weights'>, weights?: TrainableWeights): Promise<Reading> {
    const { reader, first } = await this.#of(cell.weights ?? 'q');
    const { dev, suites, everyday } = this.data;
    const [after, set] = [weights ?? first, [...dev, ...suites]];
    const arms = { before: first, after };
    const looked = this.render(this.#looked());
    const { controlIds } = this.tokenizer;
    const features = ['direction', 'own-idea'] as const;
    const looks = await attentionChanges(reader, looked, arms, { features, controlIds });
    const { direction, 'own-idea': ownIdea } = looks;
    // One pair in four, so of every kind.
    const kept = this.render(dev.filter((_, i) => i % 8 < 2));
    return {
      margins: marginsOf(await scoreExamples(reader, this.render(set), after)),
      kept: marginsOf(await scoreExamples(reader, kept, after, first)),
      clusters: clustersOf(set),
      attention: {
        ...(direction === undefined ? {} : { direction }),
        ...(ownIdea === undefined ? {} : { ownIdea }),
      },
      retention: await retention(
        reader,
        this.render(everyday.slice(0, this.size.everydayRead)),
        arms,
      ),
    };
  }

  /** Some dev pairs of each kind and suite scenes: the same for every cell. */
  #looked(): Scenario[] {
    const pairs = [...shuffledPairs(this.data.dev, 'attention').values()];
    const ids = new Set(pairs.flatMap((all) => all.slice(0, this.size.attentionPairs)));
    const suites = this.data.suites.filter((s) => s.kind === 'listen' && s.pair !== undefined);
    return [
      ...this.data.dev.filter((s) => ids.has(s.pair?.id ?? '')),
      ...suites.slice(0, this.size.attentionSuites),
    ];
  }

  /** The surface arm: a bias on the logits, read as everything else is. */
  async surface(drawn: readonly Scenario[], choice: Choice, seed: number): Promise<Reading> {
    const { reader, first } = await this.#of('q');
    const settings = { rate: 0.02, beta: choice.preferenceBeta, chosenWeight: 0.3, seed };
    const examples = this.render(drawn);
    const bias = await trainSurface(reader, examples, first, { ...settings, epochs: 1 });
    const set = this.data.dev;
    const scored = await scoreWithBias(reader, this.render(set), first, bias);
    return { margins: marginsOf(scored), clusters: clustersOf(set) };
  }

  /** Flatness of the objective at a trained cell, on a fixed part of what it learnt. */
  async flatness(trained: Trained, choice: Choice, seed: number): Promise<Flatness> {
    const { reader, first, trainable } = await this.#of('q');
    const { weights, delta: move } = trained;
    const surface = await LossSurface.open({
      reader,
      executor: this.executor,
      fed: trainable,
      learns: trainable,
      objective: settingsOf(choice, 1),
      examples: this.render(trained.scenarios.slice(0, this.size.flatness.examples)),
      first,
      contexts: weights,
    });
    const at = { weights: weights as Record<string, FloatTensor>, move };
    const options = { radii: [0.005, 0.05, 0.2], directions: this.size.flatness.directions, seed };
    try {
      return await flatness(surface, at, options);
    } finally {
      await surface.close();
    }
  }

  async close(): Promise<void> {
    for (const reader of this.#readers.values()) await reader.close();
    await this.executor.close();
  }
}

const marginsOf = (scored: readonly ScoredExample[]): Record<string, number> =>
  Object.fromEntries(scored.map((s) => [s.example.scenario.id, scoreOf(s)]));

const clustersOf = (scenarios: readonly Scenario[]): Record<string, string> =>
  Object.fromEntries(scenarios.map(({ id, source }) => [id, source.cluster]));

function meanOf(records: readonly StepRecord[]): Record<string, number> {
  const names = new Set(records.flatMap(({ terms }) => Object.keys(terms)));
  const mean = (name: string): number =>
    records.reduce((total, { terms }) => total + (terms[name] ?? 0), 0) / records.length;
  return Object.fromEntries([...names].map((name) => [name, mean(name)]));
}
