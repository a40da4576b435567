// Runs the listening test: pair by pair, every arm of a pair, until time is up.
import { eachAtOnce } from '../base/each.ts';
import { ADVICE, ARMS, type Arm, armMessages } from './arm.ts';
import type { Listener, ListenerReply } from './listener.ts';
import { checkListening, type ReplyVerdict } from './reply-check.ts';
import type { Scene, ScenePair } from './scene.ts';

export interface CheckedReply extends Omit<ListenerReply, 'firstTokenMs'> {
  readonly verdict: ReplyVerdict;
  /** Null where others were asked at the same time. */
  readonly firstTokenMs: number | null;
}

/** What one arm of one pair gave. */
export interface Outcome {
  readonly pair: ScenePair;
  readonly arm: Arm;
  /** Which of the three system prompts. */
  readonly wording: number;
  /** Of each side: mean log p a token of what is right − that of what is not, nats. */
  readonly margins?: readonly [number, number];
  readonly replies?: readonly [CheckedReply, CheckedReply];
}

export interface RunOptions {
  readonly listener: Listener;
  /** Milliseconds for all of it; a pair that was begun is finished. Infinity: everything. */
  readonly timeMs: number;
  /** Each pair under all three system prompts instead of one of them in turn. */
  readonly isFull?: boolean;
  /** Pairs at a time; replies of the first ones are asked for alone, so that their time counts. */
  readonly parallel?: number;
  readonly now?: () => number;
  readonly onPair?: (done: {
    readonly pass: 'likelihood' | 'replies';
    readonly pairs: number;
  }) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Where likelihoods are to be had they come first, with this share of the time. */
const LIKELIHOOD_SHARE = 0.5;
/** Pairs of which the time to the first token is taken. */
const PAIRS_ALONE = 5;

/** @returns an outcome for each arm of each pair that was reached */
export async function runListeningTest(
  pairs: readonly ScenePair[],
  options: RunOptions,
): Promise<Outcome[]> {
  const { listener, timeMs, parallel = 1, now = () => performance.now(), onPair } = options;
  const start = now();
  const outcomes = new Map<string, Outcome>();
  const add = (outcome: Outcome): void => {
    const { pair, arm, wording } = outcome;
    const key = `${pair.id}|${arm}|${wording}`;
    outcomes.set(key, { ...outcomes.get(key), ...outcome });
  };
  const pass = async (
    name: 'likelihood' | 'replies',
    share: number,
    run: (job: Job) => Promise<Outcome>,
  ): Promise<void> => {
    const isOver = (): boolean => now() - start >= share * timeMs;
    let done = 0;
    const runPair = async (pair: ScenePair, index: number): Promise<void> => {
      // The first pair is run whatever the clock says: a result of nothing helps nobody.
      if (index > 0 && isOver()) return;
      options.signal?.throwIfAborted();
      const isAlone = parallel === 1 || index < PAIRS_ALONE;
      for (const job of jobsOf(pair, index, options)) add(await run({ ...job, isAlone }));
      done += 1;
      onPair?.({ pass: name, pairs: done });
    };
    for (const [index, pair] of pairs.slice(0, PAIRS_ALONE).entries()) await runPair(pair, index);
    await eachAtOnce(pairs.slice(PAIRS_ALONE), parallel, (pair, index) =>
      runPair(pair, index + PAIRS_ALONE),
    );
  };
  const { score } = listener;
  if (score !== undefined) {
    await pass('likelihood', LIKELIHOOD_SHARE, (job) => scored(job, score, options.signal));
  }
  await pass('replies', 1, (job) => replied(job, options));
  return [...outcomes.values()];
}

interface Job {
  readonly pair: ScenePair;
  readonly arm: Arm;
  readonly wording: number;
  readonly isAlone?: boolean;
}

/** Every arm; the order turns from pair to pair, so that no arm always finds a warm cache. */
function jobsOf(pair: ScenePair, index: number, { isFull = false }: RunOptions): Job[] {
  const jobs = ARMS.flatMap((arm): Job[] => {
    if (arm !== 'system') return [{ pair, arm, wording: 0 }];
    const wordings = isFull ? ADVICE.map((_, i) => i) : [index % ADVICE.length];
    return wordings.map((wording) => ({ pair, arm, wording }));
  });
  const turn = index % jobs.length;
  return [...jobs.slice(turn), ...jobs.slice(0, turn)];
}

async function scored(
  { pair, arm, wording }: Job,
  score: NonNullable<Listener['score']>,
  signal: AbortSignal | undefined,
): Promise<Outcome> {
  const { candidates, sides } = pair;
  const both = [...candidates[0], ...candidates[1]];
  const margin = async (scene: Scene, side: 0 | 1): Promise<number> => {
    const scores = await score(armMessages(scene, arm, wording), both, signal);
    const half = candidates[0].length;
    const difference =
      sum(scores.slice(0, half)) / half - sum(scores.slice(half)) / (both.length - half);
    return side === 0 ? difference : -difference;
  };
  return { pair, arm, wording, margins: [await margin(sides[0], 0), await margin(sides[1], 1)] };
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

async function replied(
  { pair, arm, wording, isAlone = false }: Job,
  options: RunOptions,
): Promise<Outcome> {
  const reply = async (scene: Scene): Promise<CheckedReply> => {
    const given = await options.listener.reply(armMessages(scene, arm, wording), options.signal);
    const firstTokenMs = isAlone ? given.firstTokenMs : null;
    return { ...given, firstTokenMs, verdict: checkListening(scene, given.text) };
  };
  const [a, b] = pair.sides;
  return { pair, arm, wording, replies: [await reply(a), await reply(b)] };
}
