// What judges a night, read once at the start of its measuring: crossed pairs, questions that the
// model answers by itself, everyday turns. None of it ever trains.
import { sha256 } from '../base/hash.ts';
import type { Config } from '../config/schema.ts';
import { createCopyCheck } from '../dream/near-copy.ts';
import { repeatDirectives } from '../listen/arm.ts';
import { generatePairs, inBalancedOrder, sceneScenario } from '../listen/generate.ts';
import { checkListening } from '../listen/reply-check.ts';
import { type SceneKind, type ScenePair, TWINS } from '../listen/scene.ts';
import { readSuite as readScenes } from '../listen/suite.ts';
import type { JudgedPair } from '../measure/crossed.ts';
import type { Question } from '../measure/reply-change.ts';
import { readScenarioFile } from '../record/files.ts';
import { checkReply, KINDS } from '../scenario/kind.ts';
import { measuresForgetting } from '../scenario/moment.ts';
import { directionDistance, type Scenario } from '../scenario/scenario.ts';
import type { Night } from './phase.ts';
import { readSuite } from './suite.ts';

export interface Judges {
  readonly pairs: readonly JudgedPair[];
  /** Moments with a direction, and those that must not become worse. */
  readonly questions: readonly Question[];
  readonly everyday: readonly Scenario[];
}

/** All that is said in a conversation. */
export const wordsOf = ({ messages, chosen }: Pick<Scenario, 'messages' | 'chosen'>): string =>
  [...messages.map(({ content }) => content), chosen].join(' ');

/** All that is said in the moments that judge, to refuse dreams that nearly copy one of them. */
export function judgeTexts({ pairs, questions }: Judges): string[] {
  const asked = [
    ...pairs.flatMap(({ sides }) => sides.map(({ scenario }) => scenario)),
    ...questions.flatMap(({ scenario, kind }) => (kind === 'everyday' ? [] : [scenario])),
  ];
  return asked.map((scenario) => wordsOf({ ...scenario, chosen: '' }));
}

/** Without the moments that nearly copy one of these texts: what a night learns does not judge it. */
export function withoutCopies(
  judges: Judges,
  texts: readonly string[],
  overlapMax: number,
): Judges {
  const isCopy = createCopyCheck(texts, overlapMax);
  const isApart = ({ messages }: Scenario): boolean => !isCopy(wordsOf({ messages, chosen: '' }));
  return {
    ...judges,
    pairs: judges.pairs.filter(({ sides }) => sides.every(({ scenario }) => isApart(scenario))),
    questions: judges.questions.filter(({ scenario }) => isApart(scenario)),
  };
}

/** Moments with a direction that are answered freely and whose attention is read. */
const LISTEN_REPLIES = 16;
/** Directions older than this are judged by the listening test alone: their contexts are long. */
const DISTANCE_MAX = 4;
const SEED = 1;

export async function readJudges({ plan, folder }: Night): Promise<Judges> {
  const { pairs, heldReplies, everydayTurns } = plan.config.measure;
  const tests = await readSuite(plan.suiteFolder);
  const quiet = (await readScenarioFile(folder, 'everyday')).filter(measuresForgetting);
  const own = stirred(quiet).map((turn) => askedOf(turn, 'everyday', true));
  const { sceneFolder } = plan;
  const world =
    sceneFolder === undefined
      ? suiteJudges(tests)
      : await sceneJudges(sceneFolder, plan.config.measure);
  const ordinary = stirred(tests.filter(({ kind }) => kind === 'ordinary'));
  return {
    pairs: world.pairs.slice(0, pairs),
    questions: [
      ...world.listening.slice(0, LISTEN_REPLIES),
      ...evenly([...world.holds, own], heldReplies),
    ],
    everyday: [...stirred(quiet), ...ordinary].slice(0, everydayTurns),
  };
}

interface World {
  readonly pairs: readonly JudgedPair[];
  readonly listening: readonly Question[];
  /** By kind. */
  readonly holds: readonly (readonly Question[])[];
}

/**
 * The scenes of the listening test that were looked at while it was developed.
 * @param counts as many of each as may be asked for
 */
async function sceneJudges(
  folder: string,
  { pairs, heldReplies }: Config['measure'],
): Promise<World> {
  const all = inBalancedOrder(generatePairs(await readScenes(folder, 'develop'), SEED), SEED);
  const isNear = ({ distance }: ScenePair): boolean => distance <= DISTANCE_MAX;
  const ofKind = (kind: SceneKind): ScenePair[] => all.filter((pair) => pair.kind === kind);
  const listening = ofKind('listen').filter(isNear);
  return {
    pairs: listening.slice(0, pairs).map(scenePair),
    listening: listening.slice(0, LISTEN_REPLIES).flatMap((pair) => sceneQuestions(pair, false)),
    holds: TWINS.map((kind) =>
      ofKind(kind)
        .slice(0, heldReplies)
        .flatMap((pair) => sceneQuestions(pair, true)),
    ),
  };
}

function scenePair(pair: ScenePair): JudgedPair {
  const side = (index: 0 | 1) => ({
    scenario: sceneScenario(pair, index),
    rule: repeatDirectives(pair.sides[index].messages),
    right: pair.candidates[index],
    wrong: pair.candidates[1 - index] ?? [],
  });
  const distance = String(pair.distance);
  return { id: pair.id, cluster: pair.domain, distance, sides: [side(0), side(1)] };
}

function sceneQuestions(pair: ScenePair, isHold: boolean): Question[] {
  return ([0, 1] as const).map((side) => ({
    scenario: sceneScenario(pair, side),
    kind: pair.kind,
    isHold,
    judge(reply) {
      const { isRight, isWrong } = checkListening(pair.sides[side], reply);
      if (isRight) return { rank: 1, reason: 'does what is asked for' };
      return isWrong
        ? { rank: -1, reason: 'does the opposite' }
        : { rank: 0, reason: 'does neither' };
    },
  }));
}

/** The test conversations of a model that has its own: it knows no other world. */
function suiteJudges(tests: readonly Scenario[]): World {
  const listening = tests.filter(({ kind }) => kind === 'listen');
  const pairs = stirred(listening.filter(({ pair }) => pair?.side === 'a')).flatMap((a) => {
    const b = listening.find(({ pair }) => pair?.id === a.pair?.id && pair?.side === 'b');
    return b === undefined ? [] : [suitePair(a, b)];
  });
  const holds = KINDS.filter((kind) => kind !== 'listen').map((kind) =>
    stirred(tests.filter((one) => one.kind === kind)).map((one) => askedOf(one, kind, true)),
  );
  const asked = pairs.flatMap(({ sides }) => sides.map(({ scenario }) => scenario));
  return { pairs, listening: asked.map((one) => askedOf(one, 'listen', false)), holds };
}

function suitePair(a: Scenario, b: Scenario): JudgedPair {
  const side = (scenario: Scenario) => ({
    scenario,
    rule: repeatDirectives(scenario.messages),
    right: [scenario.chosen],
    wrong: [scenario.rejected ?? ''],
  });
  const between = (directionDistance(a) ?? 1) - 1;
  const distance = between < 1 ? '0' : between < 4 ? '1–3' : '4 or more';
  const { cluster } = a.source;
  return { id: a.pair?.id ?? a.id, cluster, distance, sides: [side(a), side(b)] };
}

function askedOf(scenario: Scenario, kind: string, isHold: boolean): Question {
  return {
    scenario,
    kind,
    isHold,
    judge(reply) {
      const { passes, reason } = checkReply(scenario, reply);
      return { rank: passes ? 1 : 0, reason };
    },
  };
}

/** By the hash of the id: the same order every night. */
function stirred(scenarios: readonly Scenario[]): Scenario[] {
  const rank = new Map(scenarios.map((one) => [one, sha256(one.pair?.id ?? one.id)]));
  const of = (one: Scenario): string => rank.get(one) ?? '';
  return [...scenarios].sort((a, b) => (of(a) < of(b) ? -1 : of(a) > of(b) ? 1 : 0));
}

/** `count` of them, one of each list in turn. */
function evenly<T>(lists: readonly (readonly T[])[], count: number): T[] {
  const longest = Math.max(0, ...lists.map((list) => list.length));
  const rounds = Array.from({ length: longest }, (_, i) =>
    lists.flatMap((list) => list.slice(i, i + 1)),
  );
  return rounds.flat().slice(0, count);
}
