// Listening by likelihood: crossed pairs of moments under each arm, by how long ago the direction
// was given. In a pair the same beginnings of a reply stand against each other in two contexts, in
// which opposite ones are right: whoever does not read the context is right in one of them at most.
import { at } from '../base/at.ts';
import { ARM_NAMES } from '../protocol/listening-text.ts';
import type { ArmShares, ListeningView } from '../protocol/summary.ts';
import type { ContextCache, Reader, TrainableWeights } from '../reading/reader.ts';
import { overSharedPrefixes } from '../reading/shared-prefix.ts';
import { restate } from '../scenario/directive.ts';
import { type Candidate, type ChatRenderer, toCandidate } from '../scenario/example.ts';
import { type Scenario, type ScenarioMessage, withoutOwnIdea } from '../scenario/scenario.ts';
import { featureText } from '../scenario/span.ts';
import {
  type Estimate,
  type EstimateOptions,
  estimate,
  mean,
  median,
  type Observation,
  trimmedMean,
} from './statistics.ts';

export interface JudgedSide {
  /** Marks the direction, and the own idea where there is one. */
  readonly scenario: Scenario;
  /** The conversation with the person's last directive said again, found by rule. */
  readonly rule: readonly ScenarioMessage[];
  /** Beginnings of a reply, or replies; the other side has them exchanged. */
  readonly right: readonly string[];
  readonly wrong: readonly string[];
}

export interface JudgedPair {
  readonly id: string;
  readonly cluster: string;
  /** How many other turns lie between the direction and the last message, in words. */
  readonly distance: string;
  readonly sides: readonly [JudgedSide, JudgedSide];
}

/** Weights before the night, told nothing, told the direction again, or by rule; weights after. */
type Arm = keyof ArmShares;

/** Beside the arms: without the model's own idea in the context, before and after. */
type Reading = Arm | 'bareBefore' | 'bareAfter';

/** Margins of both sides: mean log p a token of what is right − that of what is not, nats. */
export interface PairScore extends Pick<JudgedPair, 'id' | 'cluster' | 'distance'> {
  readonly margins: Partial<Record<Reading, readonly [number, number]>>;
}

export interface ArmWeights {
  readonly parent: TrainableWeights;
  readonly candidate: TrainableWeights;
  readonly placebo?: TrainableWeights;
}

export interface ScoreOptions {
  readonly reader: Reader;
  readonly renderer: ChatRenderer;
  /** Tokens that end a reply: a beginning is scored without them. */
  readonly stopIds: readonly number[];
  /** Pairs that are read without the own idea as well. */
  readonly barePairs: number;
  /** Awaited before each pair. */
  readonly beforeEach?: (index: number) => Promise<void>;
}

/** Every context is run under the weights that answer it, as it is served. */
export async function scorePairs(
  pairs: readonly JudgedPair[],
  { parent, candidate, placebo }: ArmWeights,
  options: ScoreOptions,
): Promise<PairScore[]> {
  const scores: PairScore[] = [];
  for (const [index, pair] of pairs.entries()) {
    await options.beforeEach?.(index);
    const read = (readings: readonly Reading[], weights: TrainableWeights) =>
      marginsOf(pair, readings, weights, options);
    const isBare = index < options.barePairs;
    const margins = {
      ...(await read(['untold', 'told', 'rule', ...bare(isBare, 'bareBefore')], parent)),
      ...(await read(['after', ...bare(isBare, 'bareAfter')], candidate)),
      ...(placebo === undefined ? {} : await read(['placebo'], placebo)),
    };
    const { id, cluster, distance } = pair;
    scores.push({ id, cluster, distance, margins });
  }
  return scores;
}

const bare = (isBare: boolean, reading: Reading): Reading[] => (isBare ? [reading] : []);

function contextOf({ scenario, rule }: JudgedSide, reading: Reading) {
  if (reading === 'told') {
    return restate(scenario.messages, featureText(scenario, 'direction').join(' '));
  }
  if (reading === 'rule') return rule;
  const isBare = reading === 'bareBefore' || reading === 'bareAfter';
  return isBare ? withoutOwnIdea(scenario)?.messages : scenario.messages;
}

interface Asked {
  readonly reading: Reading;
  readonly side: 0 | 1;
  readonly contextIds: readonly number[];
  readonly candidates: readonly Candidate[];
  readonly rightCount: number;
}

async function marginsOf(
  pair: JudgedPair,
  readings: readonly Reading[],
  weights: TrainableWeights,
  options: ScoreOptions,
): Promise<PairScore['margins']> {
  const asked = ([0, 1] as const).flatMap((side) =>
    askedOf(pair.sides[side], side, readings, options),
  );
  const margins = new Map<Reading, [number, number]>();
  const score = async (cache: ContextCache, one: Asked): Promise<void> => {
    const found = await options.reader.logProbabilities(cache, one.candidates, weights);
    const means = found.map((values) => mean(values));
    const both = margins.get(one.reading) ?? [Number.NaN, Number.NaN];
    both[one.side] = mean(means.slice(0, one.rightCount)) - mean(means.slice(one.rightCount));
    margins.set(one.reading, both);
  };
  await overSharedPrefixes(options.reader, asked, weights, score);
  const isWhole = ([, both]: [Reading, [number, number]]): boolean => !both.some(Number.isNaN);
  return Object.fromEntries([...margins].filter(isWhole));
}

function askedOf(
  side: JudgedSide,
  index: 0 | 1,
  readings: readonly Reading[],
  { renderer, stopIds }: ScoreOptions,
): Asked[] {
  const { messages, rendering } = side.scenario;
  const beginnings = [...side.right, ...side.wrong].map((reply) => {
    const { replyIds } = renderer.renderReply(messages, reply, rendering);
    const end = replyIds.findIndex((id) => stopIds.includes(id));
    return end <= 0 ? replyIds : replyIds.slice(0, end);
  });
  return readings.flatMap((reading) => {
    const context = contextOf(side, reading);
    if (context === undefined) return [];
    const { ids } = renderer.renderChat(context, { ...rendering, addGenerationPrompt: true });
    const candidates = beginnings.map((beginning) => toCandidate(at(ids, -1), beginning));
    const rightCount = side.right.length;
    return [{ reading, side: index, contextIds: ids.slice(0, -1), candidates, rightCount }];
  });
}

type Spread = NonNullable<ListeningView['margins']['untold']>;

/** Plain JSON: as people are shown it, with whole estimates, and the defence gap. */
export interface Listening extends Omit<ListeningView, 'change' | 'beyondPlacebo' | 'gap'> {
  /** The primary endpoint: both right, after − untold. */
  readonly change: Estimate;
  /** Null: there was no placebo. */
  readonly beyondPlacebo: Estimate | null;
  /** Both right, told − untold: what there is to gain. */
  readonly gap: Estimate;
  /** Margin without an own idea of the model in the context − margin with it. */
  readonly defenceGap: {
    readonly before: number;
    readonly after: number;
    readonly change: Estimate;
  };
}

export function listeningOf(scores: readonly PairScore[], options: EstimateOptions): Listening {
  const between = (later: Arm, earlier: Arm): Observation[] =>
    scores.flatMap(({ margins, cluster }) => {
      const [is, was] = [margins[later], margins[earlier]];
      if (is === undefined || was === undefined) return [];
      return [{ value: rightness(is) - rightness(was), cluster }];
    });
  const changes = between('after', 'untold');
  const [change, gap] = [estimate(changes, options), estimate(between('told', 'untold'), options)];
  const placebo = between('after', 'placebo');
  const distances = [...new Set(scores.map(({ distance }) => distance))].sort(
    (a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10),
  );
  return {
    pairs: scores.length,
    shares: sharesOf(scores),
    byDistance: distances.map((distance) => {
      const own = scores.filter((score) => score.distance === distance);
      return { distance, pairs: own.length, shares: sharesOf(own) };
    }),
    margins: perArm(scores, (both) => spreadOf(both.map((margins) => mean(margins)))),
    change,
    won: changes.filter(({ value }) => value > 0).length,
    lost: changes.filter(({ value }) => value < 0).length,
    beyondPlacebo: placebo.length === 0 ? null : estimate(placebo, options),
    gap,
    gapClosed: gap.low > 0 ? change.mean / gap.mean : null,
    defenceGap: defenceGapOf(scores, options),
  };
}

const rightness = (margins: readonly number[]): number =>
  Number(margins.every((margin) => margin > 0));

const sharesOf = (scores: readonly PairScore[]): Listening['shares'] =>
  perArm(scores, (both) => mean(both.map(rightness)));

const spreadOf = (values: readonly number[]): Spread => ({
  mean: mean(values),
  median: median(values),
  trimmed: trimmedMean(values),
});

/** What is made of the margins of each arm that was read. */
function perArm<T>(
  scores: readonly PairScore[],
  make: (margins: readonly (readonly [number, number])[]) => T,
): Partial<Record<Arm, T>> {
  const found = ARM_NAMES.flatMap((arm) => {
    const margins = scores.flatMap((score) => {
      const both = score.margins[arm];
      return both === undefined ? [] : [both];
    });
    return margins.length === 0 ? [] : [[arm, make(margins)] as const];
  });
  return Object.fromEntries(found);
}

function defenceGapOf(
  scores: readonly PairScore[],
  options: EstimateOptions,
): Listening['defenceGap'] {
  const gaps = scores.flatMap(({ margins, cluster }) => {
    const { untold, after, bareBefore, bareAfter } = margins;
    if (!untold || !after || !bareBefore || !bareAfter) return [];
    const [before, now] = [mean(bareBefore) - mean(untold), mean(bareAfter) - mean(after)];
    return [{ before, now, value: now - before, cluster }];
  });
  return {
    before: mean(gaps.map(({ before }) => before)),
    after: mean(gaps.map(({ now }) => now)),
    change: estimate(gaps, options),
  };
}
