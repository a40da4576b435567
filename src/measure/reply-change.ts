// Replies before and after a night and the shares of them that pass their check; it judges nothing.
import type { Engine, VersionSource } from '../engine/engine.ts';
import type { Kind } from '../scenario/kind.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { type FreeReply, type FreeReplyOptions, freeReplies } from './free-replies.ts';
import { type Estimate, type EstimateOptions, estimate } from './statistics.ts';

/** Shares of replies that pass the check of their kind, of the same scenarios in each arm. */
export interface ReplyShares {
  readonly replies: number;
  readonly before: number;
  readonly after: number;
  /** Null where there was no deaf arm. */
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
  readonly deaf?: VersionSource;
  readonly statistics?: EstimateOptions;
}

const SAMPLES_PER_KIND = 2;

/** Every arm answers every scenario that fits the window, by itself and greedily. */
export async function measureReplies(
  scenarios: readonly Scenario[],
  { before, after, deaf, statistics = {}, ...options }: ReplyChangeOptions,
): Promise<ReplyChange> {
  const speak = (version: string): Promise<FreeReply[]> =>
    freeReplies(scenarios, { ...options, version });
  const old = await speak(before);
  const now = await speak(after);
  if (deaf !== undefined) await options.engine.loadVersion(deaf);
  const placebo = deaf === undefined ? undefined : await speak(deaf.id);
  const byId = new Map(scenarios.map((scenario) => [scenario.id, scenario]));
  const answered: Answered[] = now.map((reply, i) => ({
    scenario: byId.get(reply.id) as Scenario,
    before: old[i] as FreeReply,
    after: reply,
    deaf: placebo?.[i],
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
  readonly deaf: FreeReply | undefined;
}

function sharesOf(answered: readonly Answered[], options: EstimateOptions): ReplyShares {
  const share = (passes: (one: Answered) => boolean): number =>
    answered.filter(passes).length / Math.max(1, answered.length);
  const hasDeaf = answered.some(({ deaf }) => deaf !== undefined);
  const gains = answered.map(({ scenario, before, after }) => ({
    value: Number(after.passes) - Number(before.passes),
    cluster: scenario.source.cluster,
  }));
  return {
    replies: answered.length,
    before: share(({ before }) => before.passes),
    after: share(({ after }) => after.passes),
    deaf: hasDeaf ? share(({ deaf }) => deaf?.passes === true) : null,
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

const sampled = ({ reply, passes, reason }: FreeReply): SampledReply => ({
  reply,
  passes,
  reason,
});
