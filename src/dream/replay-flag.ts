// Dreams that stay with a flagged moment's own words and move the direction into the distance.
import type { Random } from '../base/random.ts';
import { type CandidateOptions, findChosen, findRejected, passes, told } from './candidate.ts';
import { crossMoment } from './cross-moment.ts';
import type { Angle, Draft, DraftSpan, FlaggedSeed } from './draft.ts';
import { addDistractors, type Exchange, type Played, shareOf } from './stage.ts';
import type { TurnWriter } from './writer.ts';

export interface ReplayOptions {
  readonly writer: TurnWriter;
  readonly random: Random;
  readonly angle: Angle;
  readonly id: string;
  readonly spare: readonly Exchange[];
  readonly candidate: CandidateOptions;
  readonly prompt: Draft['prompt'];
}

/** The moment with exchanges put before its last turn, or why they could not be written. */
async function stretched(seed: FlaggedSeed, options: ReplayOptions): Promise<Played | string> {
  const { messages, spans } = seed.context;
  const last = messages.at(-1);
  const played: Played = {
    messages: messages.slice(0, -1).map((message) => ({ ...message })),
    spans: spans.filter((span) => span.message < messages.length - 1).map((span) => ({ ...span })),
    sampled: [],
  };
  if (last === undefined) return played;
  const { writer, random, angle, spare } = options;
  const stage = { writer, random, angle, slots: new Map(), distractors: [], spare, retries: 1 };
  const problem = await addDistractors(played, angle.distance, stage);
  if (problem !== undefined) return problem;
  const moved = played.messages.push({ ...last }) - 1;
  const late = spans.filter((span) => span.message === messages.length - 1);
  // With a direction in the last turn, exchanges before it only make the conversation longer.
  if (angle.distance === 0 || late.some(({ feature }) => feature === 'direction')) {
    played.spans.push(...late.map((span): DraftSpan => ({ ...span, message: moved })));
  }
  return played;
}

/**
 * The moment with its direction moved away; both sides of a crossed pair where its values allow it.
 * @returns its drafts, or why there are none
 */
export async function replayFlag(
  seed: FlaggedSeed,
  options: ReplayOptions,
): Promise<Draft[] | string> {
  const played = await stretched(seed, options);
  if (typeof played === 'string') return played;
  const base = {
    id: options.id,
    kind: seed.context.kind,
    messages: played.messages,
    spans: played.spans,
    seed: { origin: 'flag' as const, id: seed.flagId, cluster: seed.context.source.cluster },
    isDirected: true,
    angle: options.angle,
    prompt: options.prompt,
  };
  const scenario = {
    id: base.id,
    kind: base.kind,
    messages: base.messages,
    spans: base.spans,
    source: { origin: 'dream' as const, cluster: base.seed.cluster, domain: base.angle.domain },
  };
  const person =
    seed.chosen === undefined ? undefined : { text: seed.chosen, from: 'person' as const };
  const { candidate } = options;
  const { messages } = scenario;
  const listens = (text: string): boolean => passes(scenario, text);
  const chosen = person ?? (await findChosen(messages, candidate, listens));
  // The person has judged what was said; no rule knows better.
  const isSaid = seed.rejected !== undefined && seed.rejected !== chosen?.text;
  const said = isSaid ? { text: seed.rejected ?? '', from: 'said' as const } : undefined;
  const rejected =
    said ?? (chosen && (await findRejected(messages, candidate, (text) => !listens(text))));
  const draft: Draft = {
    ...base,
    ...told(chosen, rejected),
    sampledShare: shareOf(played, chosen, rejected),
  };
  return crossMoment(draft, options.random) ?? [draft];
}
