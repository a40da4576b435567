// Flagged moments answered again, before and after the night: first takes, same seed, side by side.
import { join } from 'node:path';
import { writeJsonAtomic } from '../base/atomic-file.ts';
import type { Engine } from '../engine/engine.ts';
import type { WeightsVersion } from '../model/versions.ts';
import { FILE, readFlagged } from './files.ts';
import type { FlaggedMoment } from './gather.ts';
import { withEngine } from './inner-engine.ts';
import type { Replies } from './phase-result.ts';
import type { WorkParts } from './work.ts';

/** Moments that are answered again; held-back ones first. */
const MOMENTS_MAX = 8;
const REPLY_TOKENS_MAX = 96;
const SEED = 1;

export async function writeReplies(
  parts: WorkParts & { folder: string },
  { candidate }: { candidate: WeightsVersion },
): Promise<void> {
  const { folder, courtesy, signal } = parts;
  const moments = (await readFlagged(folder))
    .filter(({ kind }) => kind === 'missed')
    .sort((a, b) => Number(b.isHeldBack) - Number(a.isHeldBack))
    .slice(0, MOMENTS_MAX);
  const deltas = candidate.deltas.map(({ path }) => path);
  const replies = await withEngine(parts, async (engine, before) => {
    await engine.loadVersion({ id: candidate.id, deltas });
    const all: Replies = [];
    for (const moment of moments) {
      await courtesy.turn(signal);
      const oldReply = await reply(parts, engine, { moment, version: before });
      const newReply = await reply(parts, engine, { moment, version: candidate.id });
      all.push({ flagId: moment.flagId, oldReply, newReply });
    }
    return all;
  });
  await writeJsonAtomic(join(folder, FILE.replies), replies);
}

async function reply(
  { tokenizer, plan, signal }: WorkParts,
  engine: Engine,
  { moment, version }: { moment: FlaggedMoment; version: string },
): Promise<string> {
  const { ids } = tokenizer.renderChat(moment.context.messages, { addGenerationPrompt: true });
  const { sampling, replyTokensMax } = plan.config.chat;
  const result = await engine.generate(
    {
      ids,
      version,
      replyTokensMax: Math.min(replyTokensMax, REPLY_TOKENS_MAX),
      sampling: { ...sampling, seed: SEED },
      stopIds: tokenizer.stopIds,
    },
    () => undefined,
    signal,
  );
  return tokenizer.decode(result.ids).trim();
}
