// Everything measured of new weights against their parent, as plain JSON; it judges nothing.

import type { Model } from '../model/model.ts';
import { KeptReader } from '../reading/kept-reader.ts';
import type { Reader, TrainableWeights } from '../reading/reader.ts';
import { render } from '../reading/render.ts';
import { type ScoredExample, scoreExamples, scoreOf } from '../reading/scenario-margin.ts';
import type { Executor } from '../runtime/executor.ts';
import type { ChatRenderer, Example } from '../scenario/example.ts';
import { KINDS, type Kind } from '../scenario/kind.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { withoutOwnIdea } from '../scenario/variant.ts';
import { type AttentionChange, attentionChanges, knockOutDrops } from './attention-change.ts';
import { type BaselineResult, checkBaseline } from './baseline-check.ts';
import {
  type BothRight,
  type Breadth,
  bothRightChange,
  breadthOf,
  type Change,
  changeOf,
  DISTANCES,
  distanceOf,
  hasOwnJudges,
  isOwn,
  ofKind,
  only,
  pairedGains,
  worse,
} from './compare.ts';
import { type Retention, retention } from './retention.ts';
import { type Estimate, type EstimateOptions, estimate } from './statistics.ts';

export interface MeasureOptions {
  readonly model: Model;
  readonly executor: Executor;
  readonly renderer: ChatRenderer;
  readonly controlIds: ReadonlySet<number>;
  readonly parent: TrainableWeights;
  readonly candidate: TrainableWeights;
  readonly deaf?: TrainableWeights;
  /** For the lifetime budget of forgetting; the parent where absent. */
  readonly base?: TrainableWeights;
  readonly scenarios: readonly Scenario[];
  /** Everyday talk that nothing trained on. */
  readonly everyday: readonly Scenario[];
  /** What the candidate learnt from: KL on the night's own inputs, and seen domains. */
  readonly trained?: readonly Scenario[];
  readonly limits: { readonly windowTokens: number; readonly replyTokensMax: number };
  readonly statistics?: EstimateOptions;
  /** Examples whose attention is read; attention costs a full pass each. 40 by default. */
  readonly attentionExamplesMax?: number;
  /** Memory for contexts that are asked for again; 256 MB by default. */
  readonly contextCacheBytesMax?: number;
  /** Awaited before each part: resolves at once, or after a pause. */
  readonly beforePart?: () => Promise<void>;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface Measures {
  readonly examples: number;
  readonly refused: readonly { readonly id: string; readonly reason: string }[];
  /** By kind, re-prefilled contexts. */
  readonly kinds: Partial<Record<Kind, Change>>;
  /** Listening margin of `listen` in both cache conditions. */
  readonly conditions: { readonly kept: Change; readonly reprefilled: Change };
  /**
   * The worse of both conditions, by kind: what the gate takes. `margin` is listening in the
   * person's own talks where there are enough of them; then `elsewhere` is that in the others.
   */
  readonly gate: Readonly<Record<'margin' | 'pushBack' | 'invite' | 'ordinary', Estimate>> & {
    readonly elsewhere?: Estimate;
  };
  readonly realMinusDeaf?: Estimate;
  readonly bothRight: BothRight;
  /** What a bag of words reaches that never sees a context: to be read beside every number. */
  readonly candidateOnly: BaselineResult;
  readonly bothRightBeyondDeaf?: BothRight;
  /** Margin without an own idea in the context − margin with it. */
  readonly defenceGap: Change;
  readonly distance: Partial<Record<(typeof DISTANCES)[number], Change>>;
  readonly breadth: Breadth;
  readonly retention: { readonly parent: Retention; readonly base: Retention };
  /** Mean KL from parent to candidate on what was trained on. */
  readonly trainedKl?: number;
  readonly attention: {
    readonly direction?: AttentionChange;
    readonly ownIdea?: AttentionChange;
  };
  /** Drop in log p(chosen) a token with the direction hidden, before and after. */
  readonly knockOut: { readonly before: number; readonly after: number; readonly change: Estimate };
  readonly scores: readonly {
    readonly id: string;
    readonly kind: Kind;
    readonly before: number;
    readonly after: number;
    readonly deaf?: number;
  }[];
}

const PARTS = 8;
const CONTEXT_CACHE_BYTES_MAX = 2 ** 28;
/** What was trained on, as far as its KL is read. */
const TRAINED_MAX = 32;

/** Measures `candidate` against `parent`. Examples that do not fit are named in `refused`. */
export async function measureWeights(options: MeasureOptions): Promise<Measures> {
  const { model, executor, parent, candidate, deaf, base = parent } = options;
  const { contextCacheBytesMax = CONTEXT_CACHE_BYTES_MAX } = options;
  const reader = new KeptReader({ model, executor }, contextCacheBytesMax);
  let done = 0;
  const part = async <T>(run: () => Promise<T>): Promise<T> => {
    await options.beforePart?.();
    const result = await run();
    options.onProgress?.(++done, PARTS);
    return result;
  };
  try {
    const refused: { id: string; reason: string }[] = [];
    const examples = render(options.scenarios, options, refused);
    const everyday = render(options.everyday, options, refused);
    // In an order in which contexts that were run are still kept when they are asked for again.
    const before = await part(() => scoreExamples(reader, examples, parent));
    const kept = await part(() => scoreExamples(reader, examples, candidate, parent));
    const after = await part(() => scoreExamples(reader, examples, candidate));
    const gap = await part(() => defenceGap(reader, examples, options));
    const looks = await part(() => attentionOf(reader, examples, options));
    const deafScored = await part(async () =>
      deaf === undefined ? undefined : scoreExamples(reader, examples, deaf),
    );
    const held = await part(async () => {
      const of = (before: TrainableWeights): Promise<Retention> =>
        retention(reader, everyday, { before, after: candidate });
      const against = await of(parent);
      return { parent: against, base: base === parent ? against : await of(base) };
    });
    const trained = render(options.trained ?? [], options, refused).slice(0, TRAINED_MAX);
    const trainedKl = await part(async () =>
      trained.length === 0
        ? undefined
        : (await retention(reader, trained, { before: parent, after: candidate })).kl,
    );
    return {
      examples: examples.length,
      refused,
      ...comparisons({ before, after, kept, deafScored }, options),
      defenceGap: gap,
      retention: held,
      ...(trainedKl === undefined ? {} : { trainedKl }),
      ...looks,
    };
  } finally {
    await reader.close();
  }
}

interface Scored {
  readonly before: readonly ScoredExample[];
  readonly after: readonly ScoredExample[];
  readonly kept: readonly ScoredExample[];
  readonly deafScored: readonly ScoredExample[] | undefined;
}

type Comparisons = Omit<
  Measures,
  'examples' | 'refused' | 'defenceGap' | 'retention' | 'trainedKl' | 'attention' | 'knockOut'
>;

function comparisons(
  scored: Scored,
  { statistics = {}, trained = [] }: MeasureOptions,
): Comparisons {
  const { before, after, kept, deafScored } = scored;
  const isPreferred = (s: ScoredExample): boolean => s.example.rejected !== undefined;
  const isListen = (s: ScoredExample): boolean => ofKind('listen')(s) && isPreferred(s);
  const isOwnEnough = hasOwnJudges(only(after, isListen));
  const isJudged = (s: ScoredExample): boolean => isListen(s) && (!isOwnEnough || isOwn(s));
  const change = (later: readonly ScoredExample[], keep: (s: ScoredExample) => boolean): Change =>
    changeOf(only(before, keep), only(later, keep), statistics);
  const worst = (keep: (s: ScoredExample) => boolean): Estimate =>
    worse(change(after, keep).change, change(kept, keep).change);
  const present = KINDS.filter((kind) => after.some(ofKind(kind)));
  const ages = DISTANCES.filter((age) => after.some((s) => isListen(s) && distanceOf(s) === age));
  return {
    kinds: Object.fromEntries(present.map((kind) => [kind, change(after, ofKind(kind))])),
    conditions: { kept: change(kept, isListen), reprefilled: change(after, isListen) },
    gate: {
      margin: worst(isJudged),
      ...(isOwnEnough ? { elsewhere: worst((s) => isListen(s) && !isOwn(s)) } : {}),
      pushBack: worst(ofKind('push-back')),
      invite: worst(ofKind('invite')),
      ordinary: worst(ofKind('ordinary')),
    },
    ...(deafScored === undefined
      ? {}
      : {
          realMinusDeaf: estimate(
            pairedGains(only(deafScored, isJudged), only(after, isJudged)),
            statistics,
          ),
          bothRightBeyondDeaf: bothRightChange(deafScored, after, statistics),
        }),
    bothRight: bothRightChange(before, after, statistics),
    candidateOnly: checkBaseline(after.map(({ example }) => example.scenario)),
    distance: Object.fromEntries(
      ages.map((age) => [age, change(after, (s) => isListen(s) && distanceOf(s) === age)]),
    ),
    breadth: breadthOf(
      only(before, isListen),
      only(after, isListen),
      new Set(trained.map((scenario) => scenario.source.domain)),
      statistics,
    ),
    scores: after.map((scoredAfter, i) => ({
      id: scoredAfter.example.scenario.id,
      kind: scoredAfter.example.scenario.kind,
      before: scoreOf(before[i] as ScoredExample),
      after: scoreOf(scoredAfter),
      ...(deafScored === undefined ? {} : { deaf: scoreOf(deafScored[i] as ScoredExample) }),
    })),
  };
}

/** Margin without an own idea in the context − margin with it, under both weights. */
async function defenceGap(
  reader: Reader,
  examples: readonly Example[],
  options: MeasureOptions,
): Promise<Change> {
  const withIdea = examples.filter(
    ({ scenario, rejected }) =>
      scenario.kind === 'listen' &&
      rejected !== undefined &&
      withoutOwnIdea(scenario) !== undefined,
  );
  const bare = withIdea.map(({ scenario }) => withoutOwnIdea(scenario) as Scenario);
  const bareExamples = render(bare, options, []);
  const known = new Map(bareExamples.map((e) => [e.scenario.id.replace(/~bare$/, ''), e]));
  const full = withIdea.filter(({ scenario }) => known.has(scenario.id));
  const cut = full.map(({ scenario }) => known.get(scenario.id) as Example);
  const gaps = async (weights: TrainableWeights) => {
    const without = await scoreExamples(reader, cut, weights);
    const present = await scoreExamples(reader, full, weights);
    return pairedGains(present, without);
  };
  const [was, is] = [await gaps(options.parent), await gaps(options.candidate)];
  const mean = (list: readonly { value: number }[]): number =>
    list.length === 0 ? 0 : list.reduce((total, { value }) => total + value, 0) / list.length;
  const changes = is.map(({ value, cluster }, i) => ({
    value: value - (was[i]?.value ?? 0),
    cluster,
  }));
  return { before: mean(was), after: mean(is), change: estimate(changes, options.statistics) };
}

async function attentionOf(
  reader: Reader,
  all: readonly Example[],
  options: MeasureOptions,
): Promise<Pick<Measures, 'attention' | 'knockOut'>> {
  const { parent, candidate, deaf, controlIds, statistics = {} } = options;
  const isMarked = ({ scenario, spans }: Example): boolean =>
    scenario.kind === 'listen' && spans.some((span) => span.feature === 'direction');
  const examples = all.filter(isMarked).slice(0, options.attentionExamplesMax ?? 40);
  const arms = {
    before: parent,
    after: candidate,
    ...(deaf === undefined ? {} : { deaf }),
  };
  const looks = await attentionChanges(reader, examples, arms, {
    features: ['direction', 'own-idea'],
    controlIds,
    statistics,
  });
  const { direction, 'own-idea': ownIdea } = looks;
  const was = await knockOutDrops(reader, examples, parent, 'direction');
  const is = await knockOutDrops(reader, examples, candidate, 'direction');
  const mean = (list: readonly { value: number }[]): number =>
    list.reduce((total, { value }) => total + value, 0) / Math.max(1, list.length);
  const changes = is.map(({ value, cluster }, i) => ({
    value: value - (was[i]?.value ?? 0),
    cluster,
  }));
  return {
    attention: {
      ...(direction === undefined ? {} : { direction }),
      ...(ownIdea === undefined ? {} : { ownIdea }),
    },
    knockOut: { before: mean(was), after: mean(is), change: estimate(changes, statistics) },
  };
}
