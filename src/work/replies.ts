// What is said before and after a night: flagged moments answered again (first takes of one seed,
// side by side), and the replies that are checked.
import type { Engine, VersionSource } from '../engine/engine.ts';
import { measureReplies, type ReplyChange } from '../measure/reply-change.ts';
import type { WeightsVersion } from '../model/versions.ts';
import { answer } from '../reading/answer.ts';
import type { FlaggedMoment } from '../record/moment.ts';
import { type Replies, writeReplies } from '../record/phase-result.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { ChatPriority } from './chat-priority.ts';
import type { WithEngine } from './night-engine.ts';
import type { Night } from './phase.ts';

/** Moments that are answered again; held-back ones first. */
const MOMENTS_MAX = 8;
const REPLY_TOKENS_MAX = 96;
const SEED = 1;
/** As `attune eval` has it: the replies of the suites are one or two sentences. */
const CHECKED_TOKENS_MAX = 64;

export interface Spoken {
  readonly candidate: WeightsVersion;
  readonly placebo?: WeightsVersion;
  readonly moments: readonly FlaggedMoment[];
  /** Whose replies are checked; none: nothing is. */
  readonly asked: readonly Scenario[];
}

export interface ReplyTools {
  readonly withEngine: WithEngine;
  readonly tokenizer: Tokenizer;
  readonly priority: ChatPriority;
}

/** Leaves `replies.json`. @returns what changed in the replies that are checked */
export function measureNightReplies(
  night: Night,
  { candidate, placebo, moments, asked }: Spoken,
  { withEngine, tokenizer, priority }: ReplyTools,
): Promise<ReplyChange | null> {
  const { plan, folder } = night;
  return withEngine(async (engine, before) => {
    const after = candidate.id;
    const tools = { engine, tokenizer, priority };
    await engine.loadVersion(sourceOf(candidate));
    await writeReplies(folder, await answersAgain(moments, { before, after, plan }, tools));
    if (asked.length === 0) return null;
    const { windowTokens } = await engine.describe();
    return measureReplies(asked, {
      engine,
      tokenizer,
      before,
      after,
      ...(placebo === undefined ? {} : { placebo: sourceOf(placebo) }),
      replyTokensMax: Math.min(plan.config.chat.replyTokensMax, CHECKED_TOKENS_MAX),
      windowTokens,
      beforeEach: () => priority.pauseWhileBusy(),
      signal: priority.signal,
      statistics: { resamples: plan.config.measure.resamples, seed: plan.seed },
    });
  });
}

const sourceOf = ({ id, deltas }: WeightsVersion): VersionSource => ({
  id,
  deltas: deltas.map(({ path }) => path),
});

/** What was missed, answered by the weights before and after. */
async function answersAgain(
  moments: readonly FlaggedMoment[],
  { before, after, plan }: { before: string; after: string } & Pick<Night, 'plan'>,
  { engine, tokenizer, priority }: Omit<ReplyTools, 'withEngine'> & { engine: Engine },
): Promise<Replies> {
  const missed = moments
    .filter(({ kind }) => kind === 'missed')
    .sort((a, b) => Number(b.isHeldBack) - Number(a.isHeldBack))
    .slice(0, MOMENTS_MAX);
  const options = {
    engine,
    tokenizer,
    sampling: { ...plan.sampling, seed: SEED },
    replyTokensMax: Math.min(plan.config.chat.replyTokensMax, REPLY_TOKENS_MAX),
    signal: priority.signal,
  };
  const replies: Replies = [];
  for (const { flagId, context } of missed) {
    await priority.pauseWhileBusy();
    const oldReply = await answer(context, { ...options, version: before });
    const newReply = await answer(context, { ...options, version: after });
    replies.push({ flagId, oldReply, newReply });
  }
  return replies;
}
