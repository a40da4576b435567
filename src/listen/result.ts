// What a run of the listening test showed: shares with intervals by cell and arm, power, failures.
import { type Estimate, estimate, mean, type Observation } from '../measure/statistics.ts';
import { ADVICE, ARMS, type Arm } from './arm.ts';
import type { CheckedReply, Outcome } from './run.ts';
import { CELLS, cellOf, PRESSURES, type SceneMessage, type ScenePair } from './scene.ts';

/** A mean over pairs with its interval (95 %, domains drawn whole). */
export interface Interval {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
  readonly pairs: number;
  readonly domains: number;
}

/** One arm in one group of pairs. Null: not measured there. */
export interface ArmResult {
  readonly group: string;
  readonly arm: string;
  readonly likelihood: {
    /** Both contexts prefer their own; 0 for who ignores the context, a quarter for a coin. */
    readonly bothRight: Interval;
    /** Nats a token, mean of both contexts; what one candidate is likelier by cancels. */
    readonly margin: Interval;
    /** Both right, against untold on the same pairs. */
    readonly change: Interval | null;
  } | null;
  readonly replies: {
    readonly right: Interval;
    readonly wrong: Interval;
    readonly answered: Interval;
    readonly change: Interval | null;
    /** Mean share of runs of four words that stand in the conversation. */
    readonly copied: number;
    readonly words: number;
    /** Prompt tokens more than untold; null where the server does not count. */
    readonly extraTokens: number | null;
    /** Null where each was asked while others were. */
    readonly firstTokenMs: number | null;
  } | null;
}

export interface Power {
  readonly measure: 'likelihood' | 'replies';
  readonly group: string;
  readonly pairs: number;
  /** A change of told against untold that such a sample finds in 4 of 5 tries. */
  readonly detectable: number | null;
  /** Pairs that would find one of 0.1. */
  readonly pairsForTenPoints: number | null;
}

export interface Failure {
  readonly pair: string;
  readonly messages: readonly SceneMessage[];
  readonly decided: string;
  readonly reply: string;
}

export interface Result {
  readonly rows: readonly ArmResult[];
  readonly power: readonly Power[];
  readonly failures: readonly Failure[];
}

const PRESSURE_TEXT = {
  once: 'put once',
  pushed: 'pushed before',
  after: 'repeated after',
} as const;

/** All pairs with a direction; then each cell; then each pressure. */
export const GROUPS: readonly {
  readonly name: string;
  readonly has: (pair: ScenePair) => boolean;
}[] = [
  { name: 'listen', has: ({ kind }) => kind === 'listen' },
  ...CELLS.map((cell) => ({ name: cell, has: (pair: ScenePair) => cellOf(pair) === cell })),
  ...PRESSURES.map((pressure) => ({
    name: `listen, idea ${PRESSURE_TEXT[pressure]}`,
    has: (pair: ScenePair) => pair.pressure === pressure,
  })),
];

const FAILURES_SHOWN = 3;
const RESAMPLES = 1000;
/** Both tails of 5 % and a power of 80 %, in standard errors. */
const DETECTABLE_ERRORS = 2.8;
const INTERVAL_ERRORS = 1.96;

export function summarize(outcomes: readonly Outcome[]): Result {
  const rows = GROUPS.flatMap(({ name, has }) => {
    const inside = outcomes.filter(({ pair }) => has(pair));
    const untold = inside.filter(({ arm }) => arm === 'untold');
    return [
      ...ARMS.map((arm) => resultOf(name, arm, { inside: ofArm(inside, arm), untold })),
      ...(name === 'listen' ? wordingResults(inside, untold) : []),
    ].filter(({ likelihood, replies }) => likelihood !== null || replies !== null);
  });
  return {
    rows,
    power: rows.filter(({ arm }) => arm === 'told').flatMap(powerOf),
    failures: failuresOf(outcomes),
  };
}

const ofArm = (outcomes: readonly Outcome[], arm: Arm): Outcome[] =>
  outcomes.filter((outcome) => outcome.arm === arm);

function wordingResults(inside: readonly Outcome[], untold: readonly Outcome[]): ArmResult[] {
  return ADVICE.map((_, i) => {
    const own = ofArm(inside, 'system').filter(({ wording }) => wording === i);
    return resultOf('listen', `system, wording ${i + 1}`, { inside: own, untold });
  });
}

interface Compared {
  readonly inside: readonly Outcome[];
  readonly untold: readonly Outcome[];
}

function resultOf(group: string, arm: string, compared: Compared): ArmResult {
  return {
    group,
    arm,
    likelihood: likelihoodOf(arm, compared),
    replies: repliesOf(arm, compared),
  };
}

/** A number for each pair that has it; wordings of one pair are two observations of one domain. */
function observed(
  outcomes: readonly Outcome[],
  value: (outcome: Outcome) => number | undefined,
): (Observation & { readonly pair: string })[] {
  return outcomes.flatMap((outcome) => {
    const found = value(outcome);
    const { id, domain } = outcome.pair;
    return found === undefined ? [] : [{ value: found, cluster: domain, pair: id }];
  });
}

type Value = (outcome: Outcome) => number | undefined;

function intervalOf(
  observations: readonly Observation[],
  [least, most]: readonly [number, number],
) {
  const found = estimate(observations, { resamples: RESAMPLES });
  const { mean: center, clusters, observations: pairs } = found;
  const [low, high] = isFlat(observations) ? flatInterval(found) : [found.low, found.high];
  return {
    mean: center,
    low: Math.max(least, low),
    high: Math.min(most, high),
    pairs,
    domains: clusters,
  };
}

const isFlat = (observations: readonly Observation[]): boolean =>
  observations.every(({ value }) => value === observations[0]?.value);

/** Where all are alike a bootstrap knows no doubt. Source: the rule of three, 3 / n. */
function flatInterval({ mean: center, clusters }: Estimate): [number, number] {
  return [center - 3 / clusters, center + 3 / clusters];
}

const SHARE = [0, 1] as const;
const CHANGE = [-1, 1] as const;
const ANY = [-Number.MAX_VALUE, Number.MAX_VALUE] as const;

/** One number less what it is untold, pair by pair. */
function changes({ inside, untold }: Compared, value: Value): Observation[] {
  const before = new Map(observed(untold, value).map((one) => [one.pair, one.value]));
  return observed(inside, value).flatMap(({ value: after, cluster, pair }) => {
    const was = before.get(pair);
    return was === undefined ? [] : [{ value: after - was, cluster }];
  });
}

function changeOf(arm: string, compared: Compared, value: Value): Interval | null {
  const found = arm === 'untold' ? [] : changes(compared, value);
  return found.length === 0 ? null : intervalOf(found, CHANGE);
}

const isBothRight: Value = ({ margins }) => margins && Number(margins.every((m) => m > 0));

function likelihoodOf(arm: string, compared: Compared): ArmResult['likelihood'] {
  const bothRight = observed(compared.inside, isBothRight);
  if (bothRight.length === 0) return null;
  const margins = observed(compared.inside, ({ margins: both }) => both && mean(both));
  return {
    bothRight: intervalOf(bothRight, SHARE),
    margin: intervalOf(margins, ANY),
    change: changeOf(arm, compared, isBothRight),
  };
}

const shareOf =
  (is: (reply: CheckedReply) => boolean): Value =>
  ({ replies }) =>
    replies && mean(replies.map((reply) => Number(is(reply))));

const isRight = shareOf(({ verdict }) => verdict.isRight);

function repliesOf(arm: string, compared: Compared): ArmResult['replies'] {
  const replies = compared.inside.flatMap((outcome) => outcome.replies ?? []);
  if (replies.length === 0) return null;
  const share = (value: Value) => intervalOf(observed(compared.inside, value), SHARE);
  const timed = replies.flatMap(({ firstTokenMs }) => firstTokenMs ?? []);
  return {
    right: share(isRight),
    wrong: share(shareOf(({ verdict }) => verdict.isWrong)),
    answered: share(shareOf(({ verdict }) => verdict.isAnswer)),
    change: changeOf(arm, compared, isRight),
    copied: mean(replies.map(({ verdict }) => verdict.copied)),
    words: mean(replies.map(({ verdict }) => verdict.words)),
    extraTokens: extraTokens(compared),
    firstTokenMs: timed.length === 0 ? null : mean(timed),
  };
}

const promptTokens: Value = ({ replies }) => {
  const counts = replies?.map((reply) => reply.promptTokens);
  return counts?.every((count) => count !== null) ? mean(counts) : undefined;
};

function extraTokens(compared: Compared): number | null {
  const extra = changes(compared, promptTokens).map(({ value }) => value);
  return extra.length === 0 ? null : mean(extra);
}

function powerOf({ group, likelihood, replies }: ArmResult): Power[] {
  const of = (measure: Power['measure'], change: Interval | null | undefined): Power[] => {
    if (change == null) return [];
    const error = (change.high - change.low) / 2 / INTERVAL_ERRORS;
    const detectable = change.domains < 2 ? null : Math.min(1, DETECTABLE_ERRORS * error);
    const pairsForTenPoints =
      detectable === null ? null : Math.ceil(change.pairs * (detectable / 0.1) ** 2);
    return [{ measure, group, pairs: change.pairs, detectable, pairsForTenPoints }];
  };
  return [...of('likelihood', likelihood?.change), ...of('replies', replies?.change)];
}

/** Untold replies that pushed the own idea, then those that did not carry the direction out. */
function failuresOf(outcomes: readonly Outcome[]): Failure[] {
  const failed = outcomes.flatMap(({ pair, arm, replies }) =>
    arm !== 'untold' || pair.kind !== 'listen'
      ? []
      : (replies ?? []).flatMap((reply, side) =>
          reply.verdict.isRight ? [] : [{ pair, side: side as 0 | 1, reply }],
        ),
  );
  const ranked = [
    ...failed.filter(({ reply }) => reply.verdict.isWrong),
    ...failed.filter(({ reply }) => !reply.verdict.isWrong),
  ];
  const domains = new Set<string>();
  const apart = ranked.filter(({ pair }) => !domains.has(pair.domain) && domains.add(pair.domain));
  return apart.slice(0, FAILURES_SHOWN).map(({ pair, side, reply }) => {
    const { messages, deciding } = pair.sides[side];
    return { pair: pair.id, messages, decided: deciding.text, reply: reply.text };
  });
}
