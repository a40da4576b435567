// Flagged moments answered again by the weights before and after a night: replies of one seed,
// side by side.
import type { Engine } from '../engine/engine.ts';
import { answer } from '../reading/answer.ts';
import type { FlaggedMoment } from '../scenario/moment.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { ChatPriority } from './chat-priority.ts';
import type { Night } from './phase.ts';

/** Moments that are answered again; held-back ones first. */
const MOMENTS_MAX = 8;
const REPLY_TOKENS_MAX = 96;
const SEED = 1;

/** Those of the moments that are answered again. */
export function toAnswerAgain(moments: readonly FlaggedMoment[]): FlaggedMoment[] {
  return moments
    .filter(({ kind }) => kind === 'missed')
    .sort((a, b) => Number(b.isHeldBack) - Number(a.isHeldBack))
    .slice(0, MOMENTS_MAX);
}

export interface AnswerTools {
  readonly engine: Engine;
  readonly version: string;
  readonly tokenizer: Tokenizer;
  readonly priority: ChatPriority;
}

/** One reply each, in order; the engine decodes them together. @throws the signal's reason */
export async function answersAgain(
  moments: readonly FlaggedMoment[],
  { plan }: Pick<Night, 'plan'>,
  { engine, version, tokenizer, priority }: AnswerTools,
): Promise<string[]> {
  await priority.pauseWhileBusy();
  const options = {
    engine,
    version,
    tokenizer,
    sampling: { ...plan.sampling, seed: SEED },
    replyTokensMax: Math.min(plan.config.chat.replyTokensMax, REPLY_TOKENS_MAX),
    signal: priority.signal,
  };
  return Promise.all(moments.map(({ context }) => answer(context, options)));
}
