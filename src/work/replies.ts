// What is said before and after a night: flagged moments answered again (first takes of one seed,
// side by side), and the replies that are checked.
import { join } from 'node:path';
import { writeJsonAtomic } from '../base/atomic-file.ts';
import type { Folder } from '../base/file-ops.ts';
import type { Engine, VersionSource } from '../engine/engine.ts';
import { measureReplies, type ReplyChange } from '../measure/reply-change.ts';
import type { WeightsVersion } from '../model/versions.ts';
import { FILE, readFlagged } from '../record/files.ts';
import type { FlaggedMoment } from '../record/moment.ts';
import type { Replies } from '../record/phase-result.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { withEngine } from './inner-engine.ts';
import type { WorkParts } from './work.ts';

/** Moments that are answered again; held-back ones first. */
const MOMENTS_MAX = 8;
const REPLY_TOKENS_MAX = 96;
const SEED = 1;
/** As `attune eval` has it: the replies of the suites are one or two sentences. */
const CHECKED_TOKENS_MAX = 64;

interface Asked {
  readonly candidate: WeightsVersion;
  readonly deaf: WeightsVersion | undefined;
  /** Whose replies are checked; none: nothing is. */
  readonly scenarios: readonly Scenario[];
}

/** Writes `replies.json`, and says what changed in the replies to `scenarios`. */
export function nightReplies(
  parts: WorkParts & { folder: Folder },
  { candidate, deaf, scenarios }: Asked,
): Promise<ReplyChange | null> {
  return withEngine(parts, async (engine, before) => {
    await engine.loadVersion(sourceOf(candidate));
    await answerAgain(parts, engine, { before, after: candidate.id });
    if (scenarios.length === 0) return null;
    const { plan, model, tokenizer, courtesy, signal } = parts;
    return measureReplies(scenarios, {
      engine,
      tokenizer,
      before,
      after: candidate.id,
      ...(deaf === undefined ? {} : { deaf: sourceOf(deaf) }),
      replyTokensMax: Math.min(plan.config.chat.replyTokensMax, CHECKED_TOKENS_MAX),
      windowTokens: model.windowTokens,
      beforeEach: () => courtesy.turn(signal),
      signal,
      statistics: { resamples: plan.config.measure.resamples, seed: plan.seed },
    });
  });
}

const sourceOf = ({ id, deltas }: WeightsVersion): VersionSource => ({
  id,
  deltas: deltas.map(({ path }) => path),
});

async function answerAgain(
  parts: WorkParts & { folder: Folder },
  engine: Engine,
  { before, after }: { before: string; after: string },
): Promise<void> {
  const { folder, courtesy, signal } = parts;
  const moments = (await readFlagged(folder))
    .filter(({ kind }) => kind === 'missed')
    .sort((a, b) => Number(b.isHeldBack) - Number(a.isHeldBack))
    .slice(0, MOMENTS_MAX);
  const replies: Replies = [];
  for (const moment of moments) {
    await courtesy.turn(signal);
    const oldReply = await reply(parts, engine, { moment, version: before });
    const newReply = await reply(parts, engine, { moment, version: after });
    replies.push({ flagId: moment.flagId, oldReply, newReply });
  }
  await writeJsonAtomic(join(folder.path, FILE.replies), replies, folder.ops);
}

async function reply(
  { tokenizer, plan, signal }: WorkParts,
  engine: Engine,
  { moment, version }: { moment: FlaggedMoment; version: string },
): Promise<string> {
  const { ids } = tokenizer.renderChat(moment.context.messages, { addGenerationPrompt: true });
  const result = await engine.generate(
    {
      ids,
      version,
      replyTokensMax: Math.min(plan.config.chat.replyTokensMax, REPLY_TOKENS_MAX),
      sampling: { ...plan.sampling, seed: SEED },
      stopIds: tokenizer.stopIds,
    },
    () => undefined,
    signal,
  );
  // An abort ends a reply early and is no first take.
  signal.throwIfAborted();
  return tokenizer.decode(result.ids).trim();
}
