// Flagged moments answered again, before and after the night: first takes, same seed, side by side.
import { join } from 'node:path';
import { z } from 'zod';
import { readJsonBounded, writeJsonAtomic } from '../base/atomic-file.ts';
import { createEngine } from '../engine/in-process-engine.ts';
import { loadVersion, type WeightsVersion } from '../model/versions.ts';
import { createOnnxExecutor } from '../runtime/onnx.ts';
import { FILE, readFlagged } from './files.ts';
import type { FlaggedMoment } from './gather.ts';
import type { WorkParts } from './work.ts';

const repliesSchema = z.array(
  z.strictObject({ flagId: z.string(), oldReply: z.string(), newReply: z.string() }),
);
export type Replies = z.infer<typeof repliesSchema>;

/** Moments that are answered again; held-back ones first. */
const MOMENTS_MAX = 8;
const REPLY_TOKENS_MAX = 96;
const SEED = 1;

export async function readReplies(folder: string): Promise<Replies> {
  return (await readJsonBounded(join(folder, FILE.replies), repliesSchema)) ?? [];
}

export async function writeReplies(
  parts: WorkParts & { folder: string },
  { candidate }: { candidate: WeightsVersion },
): Promise<void> {
  const { folder, plan, model, courtesy, signal } = parts;
  const moments = (await readFlagged(folder))
    .filter(({ kind }) => kind === 'missed')
    .sort((a, b) => Number(b.isHeldBack) - Number(a.isHeldBack))
    .slice(0, MOMENTS_MAX);
  const { threads } = plan.config.engine;
  const executor = await createOnnxExecutor({ device: 'cpu', ...(threads > 0 ? { threads } : {}) });
  const parent = await versionBefore(parts);
  const engine = await createEngine({
    modelDir: model.dir,
    cacheDir: plan.cacheDir,
    executor,
    version: parent,
  });
  try {
    await engine.loadVersion({
      id: candidate.id,
      deltas: candidate.deltas.map(({ path }) => path),
    });
    const answer = async (moment: FlaggedMoment, version: string): Promise<string> => {
      await courtesy.turn(signal);
      return reply(parts, engine, { moment, version });
    };
    const replies: Replies = [];
    for (const moment of moments) {
      const oldReply = await answer(moment, parent.id);
      const newReply = await answer(moment, candidate.id);
      replies.push({ flagId: moment.flagId, oldReply, newReply });
    }
    await writeJsonAtomic(join(folder, FILE.replies), replies);
  } finally {
    await engine.close();
  }
}

async function versionBefore({
  plan,
  model,
}: WorkParts): Promise<{ id: string; deltas: string[] }> {
  const { id } = await loadVersion(model, plan.deltas);
  return { id, deltas: plan.deltas };
}

async function reply(
  { tokenizer, plan, signal }: WorkParts,
  engine: Awaited<ReturnType<typeof createEngine>>,
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
