// Dreams that stay with a flagged moment's own words and move the direction into the distance.
import type { Random } from '../base/random.ts';
import { type CandidateOptions, findChosen, findRejected, passes } from './candidate.ts';
import { crossMoment } from './cross-moment.ts';
import type { Angle, Draft, DraftSpan, FlaggedSeed } from './draft.ts';
import { addDistractors, type Exchange, type Played } from './stage.ts';
import type { Writer } from './writer.ts';

export interface ReplayOptions {
  readonly writer: Writer;
  readonly random: Random;
  readonly angle: Angle;
  readonly id: string;
  readonly spare: readonly Exchange[];
  readonly candidate: CandidateOptions;
  readonly prompt: Draft['prompt'];
}

/** The turn that the reply was to answer is said again after the distractors. */
async function stretched(seed: FlaggedSeed, options: ReplayOptions): Promise<Played> {
  const { messages, spans } = seed.context;
  const last = messages.at(-1);
  const played: Played = {
    messages: messages.slice(0, -1).map((message) => ({ ...message })),
    spans: spans.filter((span) => span.message < messages.length - 1).map((span) => ({ ...span })),
    sampled: [],
  };
  if (last === undefined) return played;
  const { distance, ...angle } = options.angle;
  const isLate = spans.some((s) => s.feature === 'direction' && s.message === messages.length - 1);
  if (isLate || distance === 0) {
    // The direction is in the last turn: exchanges before it only make the talk longer.
    await addDistractors(played, distance, stageOptions(options, { ...angle, distance }));
    const moved = played.messages.length;
    played.messages.push({ ...last });
    const late = spans.filter((span) => span.message === messages.length - 1);
    played.spans.push(...late.map((span): DraftSpan => ({ ...span, message: moved })));
    return played;
  }
  await addDistractors(played, distance, stageOptions(options, { ...angle, distance }));
  played.messages.push({ ...last });
  return played;
}

function stageOptions({ writer, random, spare }: ReplayOptions, angle: Angle) {
  return { writer, random, angle, slots: new Map(), distractors: [], spare, retries: 1 };
}

/**
 * The moment with its direction moved away; both sides of a crossed pair where its values allow it.
 * @throws SceneFailed, DreamsEnded
 */
export async function replayFlag(seed: FlaggedSeed, options: ReplayOptions): Promise<Draft[]> {
  const played = await stretched(seed, options);
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
    ...(chosen === undefined
      ? { problem: 'no listening reply was found' }
      : { chosen: chosen.text }),
    ...(rejected === undefined ? {} : { rejected: rejected.text }),
    chosenFrom: chosen?.from ?? 'nobody',
    rejectedFrom: rejected?.from ?? 'nobody',
    sampledShare: shareOf(played, chosen, rejected),
  };
  return crossMoment(draft, options.random) ?? [draft];
}

interface Spoken {
  readonly text: string;
  readonly from: string;
}

/** Share of the characters that the model sampled, now or (what was really said) in the talk. */
export function shareOf(played: Played, ...candidates: readonly (Spoken | undefined)[]): number {
  const length = (texts: readonly string[]): number => texts.reduce((sum, t) => sum + t.length, 0);
  const spoken = candidates.filter((candidate) => candidate !== undefined);
  const own = spoken.filter(
    ({ from }) => from === 'guided' || from === 'unguided' || from === 'said',
  );
  const sampled = length(played.sampled) + length(own.map(({ text }) => text));
  const total =
    length(played.messages.map(({ content }) => content)) + length(spoken.map(({ text }) => text));
  return total === 0 ? 0 : Math.min(1, sampled / total);
}
