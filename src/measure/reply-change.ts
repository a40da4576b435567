// Replies that the model writes by itself, before and after a night, and the shares of them that
// pass the check of their kind; it judges nothing.
import type { Engine, VersionSource } from '../engine/engine.ts';
import { GREEDY } from '../protocol/sampling.ts';
import { type AnswerOptions, answerTo } from '../reading/answer.ts';
import { checkReply } from '../scenario/check.ts';
import type { Kind } from '../scenario/kind.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { type Estimate, type EstimateOptions, estimate } from './statistics.ts';

export interface FreeReply {
  readonly id: string;
  readonly kind: Kind;
  readonly reply: string;
  readonly passes: boolean;
  readonly reason: string;
}

export interface FreeReplyOptions extends Omit<AnswerOptions, 'sampling'> {
  /** Prompt and reply together; without it, a prompt that is too long rejects. */
  readonly windowTokens?: number;
  /** Awaited before each reply: resolves at once, or after a pause. */
  readonly beforeEach?: () => Promise<void>;
}

/**
 * One greedy reply, first take, to each scenario that leaves it room in the window; in order.
 * @throws the signal's reason
 */
export async function freeReplies(
  scenarios: readonly Scenario[],
  { windowTokens = Number.POSITIVE_INFINITY, beforeEach, ...options }: FreeReplyOptions,
): Promise<FreeReply[]> {
  const sampling = { ...GREEDY, seed: 0 };
  const replies: FreeReply[] = [];
  for (const scenario of scenarios) {
    const { messages, rendering, id, kind } = scenario;
    const rendered = { ...rendering, addGenerationPrompt: true };
    const { ids } = await options.tokenizer.renderChat(messages, rendered);
    if (ids.length + options.replyTokensMax > windowTokens) continue;
    await beforeEach?.();
    const reply = await answerTo(ids, { ...options, sampling });
    const { passes, reason } = checkReply(scenario, reply);
    replies.push({ id, kind, reply, passes, reason });
  }
  return replies;
}

/** Share of passed replies by kind. */
export function passShares(replies: readonly FreeReply[]): Partial<Record<Kind, number>> {
  const counts = new Map<Kind, { passed: number; all: number }>();
  for (const { kind, passes } of replies) {
    const { passed, all } = counts.get(kind) ?? { passed: 0, all: 0 };
    counts.set(kind, { passed: passed + Number(passes), all: all + 1 });
  }
  return Object.fromEntries([...counts].map(([kind, { passed, all }]) => [kind, passed / all]));
}

/** Shares of replies that pass the check of their kind, of the same scenarios in each arm. */
export interface ReplyShares {
  readonly replies: number;
  readonly before: number;
  readonly after: number;
  /** The placebo's; null where there was none. */
  readonly deaf: number | null;
  /** after − before, paired by scenario and clustered by source. */
  readonly change: Estimate;
}

export interface ReplySample {
  readonly id: string;
  readonly kind: Kind;
  /** What the replies answer. */
  readonly said: string;
  readonly before: SampledReply;
  readonly after: SampledReply;
}

type SampledReply = Pick<FreeReply, 'reply' | 'passes' | 'reason'>;

/** Plain JSON. */
export interface ReplyChange {
  readonly all: ReplyShares;
  readonly kinds: readonly (ReplyShares & { readonly kind: Kind })[];
  /** The first of each kind that differ; none from a person's talks. */
  readonly samples: readonly ReplySample[];
}

export interface ReplyChangeOptions extends Omit<FreeReplyOptions, 'engine' | 'version'> {
  readonly engine: Pick<Engine, 'generate' | 'loadVersion'>;
  /** Ids of two loaded versions. */
  readonly before: string;
  readonly after: string;
  /** Loaded after the others have spoken: an engine holds two versions. */
  readonly placebo?: VersionSource;
  readonly statistics?: EstimateOptions;
}

const SAMPLES_PER_KIND = 2;

/** Every arm answers every scenario that fits the window, by itself and greedily. */
export async function measureReplies(
  scenarios: readonly Scenario[],
  { before, after, placebo, statistics = {}, ...options }: ReplyChangeOptions,
): Promise<ReplyChange> {
  const speak = (version: string): Promise<FreeReply[]> =>
    freeReplies(scenarios, { ...options, version });
  const old = await speak(before);
  const now = await speak(after);
  if (placebo !== undefined) await options.engine.loadVersion(placebo);
  const others = placebo === undefined ? undefined : await speak(placebo.id);
  const byId = new Map(scenarios.map((scenario) => [scenario.id, scenario]));
  const answered: Answered[] = now.map((reply, i) => ({
    scenario: byId.get(reply.id) as Scenario,
    before: old[i] as FreeReply,
    after: reply,
    placebo: others?.[i],
  }));
  const kinds = [...new Set(now.map(({ kind }) => kind))];
  const ofKind = (kind: Kind): Answered[] => answered.filter(({ after }) => after.kind === kind);
  return {
    all: sharesOf(answered, statistics),
    kinds: kinds.map((kind) => ({ kind, ...sharesOf(ofKind(kind), statistics) })),
    samples: kinds.flatMap((kind) => samplesOf(ofKind(kind))),
  };
}

interface Answered {
  readonly scenario: Scenario;
  readonly before: FreeReply;
  readonly after: FreeReply;
  readonly placebo: FreeReply | undefined;
}

function sharesOf(answered: readonly Answered[], options: EstimateOptions): ReplyShares {
  const share = (passes: (one: Answered) => boolean): number =>
    answered.filter(passes).length / Math.max(1, answered.length);
  const hasPlacebo = answered.some(({ placebo }) => placebo !== undefined);
  const gains = answered.map(({ scenario, before, after }) => ({
    value: Number(after.passes) - Number(before.passes),
    cluster: scenario.source.cluster,
  }));
  return {
    replies: answered.length,
    before: share(({ before }) => before.passes),
    after: share(({ after }) => after.passes),
    deaf: hasPlacebo ? share(({ placebo }) => placebo?.passes === true) : null,
    change: estimate(gains, options),
  };
}

function samplesOf(answered: readonly Answered[]): ReplySample[] {
  return answered
    .filter(({ scenario: { source } }) => source.origin === 'suite')
    .filter(({ before, after }) => before.reply !== after.reply)
    .slice(0, SAMPLES_PER_KIND)
    .map(({ scenario: { id, kind, messages }, before, after }) => ({
      id,
      kind,
      said: messages.at(-1)?.content ?? '',
      before: sampled(before),
      after: sampled(after),
    }));
}

const sampled = ({ reply, passes, reason }: FreeReply): SampledReply => ({ reply, passes, reason });
