// Everything measured of new weights against their parent, as plain JSON; it judges nothing.
import type { Reader, TrainableWeights } from '../reading/reader.ts';
import { type ScoredExample, scoreExamples, scoreOf } from '../reading/scenario-margin.ts';
import type { Example } from '../scenario/example.ts';
import { KINDS, type Kind } from '../scenario/kind.ts';
import { type AttentionChange, attentionChanges, knockOutDrops } from './attention-change.ts';
import { type BaselineResult, checkBaseline } from './candidate-baseline.ts';
import {
  type BothRight,
  type Breadth,
  bothRightChange,
  breadthOf,
  type Change,
  changeBetween,
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
import type { MeasuringSet } from './measuring-set.ts';
import { type Retention, retention } from './retention.ts';
import { type Estimate, type EstimateOptions, estimate, type Observation } from './statistics.ts';

/** The weights that are compared; whoever gives them owns them. */
export interface MeasuredWeights {
  readonly parent: TrainableWeights;
  readonly candidate: TrainableWeights;
  readonly placebo?: TrainableWeights;
  /** For the lifetime budget of forgetting; the parent where absent. */
  readonly base?: TrainableWeights;
}

export interface MeasureOptions {
  /** Contexts are asked for again: one that keeps them runs each once. The caller closes it. */
  readonly reader: Reader;
  /** Tokens that count as attention sink. */
  readonly controlIds: ReadonlySet<number>;
  readonly statistics?: EstimateOptions;
  /** Examples whose attention is read; attention costs a full pass each. 40 by default. */
  readonly attentionExamplesMax?: number;
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
  readonly attention: { readonly direction?: AttentionChange; readonly ownIdea?: AttentionChange };
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
/** What was trained on, as far as its KL is read. */
const TRAINED_MAX = 32;

/** Measures `candidate` against `parent`; margins in nats a token. */
export async function measureWeights(
  set: MeasuringSet,
  weights: MeasuredWeights,
  options: MeasureOptions,
): Promise<Measures> {
  const { examples, everyday, refused } = set;
  const { parent, candidate, placebo, base = parent } = weights;
  const { reader, statistics = {} } = options;
  let done = 0;
  const part = async <T>(run: () => Promise<T>): Promise<T> => {
    await options.beforePart?.();
    const result = await run();
    options.onProgress?.(++done, PARTS);
    return result;
  };
  // In an order in which contexts that were run are still kept when they are asked for again.
  const before = await part(() => scoreExamples(reader, examples, parent));
  const kept = await part(() => scoreExamples(reader, examples, candidate, parent));
  const after = await part(() => scoreExamples(reader, examples, candidate));
  const gap = await part(() => defenceGap(set, weights, options));
  const looks = await part(() => attentionOf(examples, weights, options));
  const others = await part(async () =>
    placebo === undefined ? undefined : scoreExamples(reader, examples, placebo),
  );
  const held = await part(async () => {
    const of = (before: TrainableWeights): Promise<Retention> =>
      retention(reader, everyday, { before, after: candidate });
    const against = await of(parent);
    return { parent: against, base: base === parent ? against : await of(base) };
  });
  const learnt = set.trained.slice(0, TRAINED_MAX);
  const trainedKl = await part(async () =>
    learnt.length === 0
      ? undefined
      : (await retention(reader, learnt, { before: parent, after: candidate })).kl,
  );
  const domains = new Set(set.trained.map(({ scenario }) => scenario.source.domain));
  return {
    examples: examples.length,
    refused,
    ...comparisons({ before, after, kept, placebo: others }, domains, statistics),
    defenceGap: gap,
    retention: held,
    ...(trainedKl === undefined ? {} : { trainedKl }),
    ...looks,
  };
}

interface Scored {
  readonly before: readonly ScoredExample[];
  readonly after: readonly ScoredExample[];
  readonly kept: readonly ScoredExample[];
  readonly placebo: readonly ScoredExample[] | undefined;
}

type Comparisons = Omit<
  Measures,
  'examples' | 'refused' | 'defenceGap' | 'retention' | 'trainedKl' | 'attention' | 'knockOut'
>;

function comparisons(
  { before, after, kept, placebo }: Scored,
  trainedDomains: ReadonlySet<string>,
  statistics: EstimateOptions,
): Comparisons {
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
    ...(placebo === undefined
      ? {}
      : {
          realMinusDeaf: estimate(
            pairedGains(only(placebo, isJudged), only(after, isJudged)),
            statistics,
          ),
          bothRightBeyondDeaf: bothRightChange(placebo, after, statistics),
        }),
    bothRight: bothRightChange(before, after, statistics),
    candidateOnly: checkBaseline(after.map(({ example }) => example.scenario)),
    distance: Object.fromEntries(
      ages.map((age) => [age, change(after, (s) => isListen(s) && distanceOf(s) === age)]),
    ),
    breadth: breadthOf(only(before, isListen), only(after, isListen), trainedDomains, statistics),
    scores: after.map((scoredAfter, i) => ({
      id: scoredAfter.example.scenario.id,
      kind: scoredAfter.example.scenario.kind,
      before: scoreOf(before[i] as ScoredExample),
      after: scoreOf(scoredAfter),
      ...(placebo === undefined ? {} : { deaf: scoreOf(placebo[i] as ScoredExample) }),
    })),
  };
}

/** Margin without an own idea in the context − margin with it, under both weights. */
async function defenceGap(
  { ownIdeas }: MeasuringSet,
  { parent, candidate }: MeasuredWeights,
  { reader, statistics }: MeasureOptions,
): Promise<Change> {
  const gaps = async (weights: TrainableWeights): Promise<Observation[]> => {
    const scored = (side: 'absent' | 'present'): Promise<ScoredExample[]> => {
      const examples = ownIdeas.map((idea) => idea[side]);
      return scoreExamples(reader, examples, weights);
    };
    const without = await scored('absent');
    return pairedGains(await scored('present'), without);
  };
  return changeBetween(await gaps(parent), await gaps(candidate), statistics);
}

async function attentionOf(
  all: readonly Example[],
  { parent, candidate, placebo }: MeasuredWeights,
  { reader, controlIds, statistics = {}, attentionExamplesMax = 40 }: MeasureOptions,
): Promise<Pick<Measures, 'attention' | 'knockOut'>> {
  const isMarked = ({ scenario, spans }: Example): boolean =>
    scenario.kind === 'listen' && spans.some((span) => span.feature === 'direction');
  const examples = all.filter(isMarked).slice(0, attentionExamplesMax);
  const arms = { before: parent, after: candidate, ...(placebo && { placebo }) };
  const looks = await attentionChanges(reader, examples, arms, {
    features: ['direction', 'own-idea'],
    controlIds,
    statistics,
  });
  const { direction, 'own-idea': ownIdea } = looks;
  const was = await knockOutDrops(reader, examples, parent, 'direction');
  const is = await knockOutDrops(reader, examples, candidate, 'direction');
  return {
    attention: {
      ...(direction === undefined ? {} : { direction }),
      ...(ownIdea === undefined ? {} : { ownIdea }),
    },
    knockOut: changeBetween(was, is, statistics),
  };
}
