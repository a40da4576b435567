// A night on trial: two replies to something that was said today, with it and without it, blind.
import { AttuneError } from '../base/errors.ts';
import type { ConversationStore } from '../conversation/conversation-store.ts';
import type { Engine } from '../engine/engine.ts';
import { isOldFirst, staysAfter } from '../morning/blind.ts';
import type { NightService } from '../night/service.ts';
import { GREEDY } from '../protocol/sampling.ts';
import type { BlindAnswer, BlindPair, TrialView } from '../protocol/summary.ts';
import { answerTo } from '../reading/answer.ts';
import { loadableVersion } from '../swap/swap.ts';
import type { ChatTokenizer } from '../tokenizer/chat-tokenizer.ts';
import type { Chat } from './chat.ts';

export interface TrialParts {
  readonly nights: NightService;
  readonly chat: Chat;
  readonly store: ConversationStore;
  readonly engine: Engine;
  readonly tokenizer: ChatTokenizer;
}

/** Conversations that are looked through, and messages that are answered twice, at each call. */
const CONVERSATIONS_MAX = 20;
const ANSWERED_MAX = 3;
const REPLY_TOKENS_MAX = 160;

interface Said {
  readonly conversationId: string;
  readonly messageId: string;
  readonly text: string;
  readonly at: number;
}

/** @throws night-unknown when the night is not on trial */
export async function trialView(
  parts: TrialParts,
  night: string,
  signal: AbortSignal,
): Promise<TrialView> {
  const since = parts.nights.trials.since(night);
  const { judged, tally } = await parts.nights.trials.day(night);
  const said = (await saidSince(parts.store, since)).filter(
    ({ messageId }) => !judged.has(messageId),
  );
  const pair = await firstPair(parts, { night, said, signal });
  return { pair, tally, stays: staysAfter(tally) };
}

/** @throws night-unknown, message-not-found */
export async function answerTrial(
  parts: TrialParts,
  night: string,
  answer: BlindAnswer,
): Promise<void> {
  const said = await saidSince(parts.store, parts.nights.trials.since(night));
  if (!said.some(({ messageId }) => messageId === answer.flagId)) {
    const message = `Nothing was said on trial with the id "${answer.flagId}".`;
    throw new AttuneError('message-not-found', message, { id: answer.flagId });
  }
  await parts.nights.trials.day(night, answer);
}

/** What was said and answered since then, newest first. */
async function saidSince(store: ConversationStore, since: number): Promise<Said[]> {
  const { conversations } = store.list({ limit: CONVERSATIONS_MAX });
  const said: Said[] = [];
  for (const { id } of conversations.filter(({ updatedAt }) => updatedAt >= since)) {
    const { entries } = await store.read(id);
    const answered = new Set(entries.flatMap((e) => (e.type === 'reply' ? [e.messageId] : [])));
    for (const { type, id: messageId, text, at } of entries) {
      if (type !== 'message' || at < since || !answered.has(messageId)) continue;
      said.push({ conversationId: id, messageId, text, at });
    }
  }
  return said.sort((a, b) => b.at - a.at);
}

/** Of the newest messages, the first that is answered differently. */
async function firstPair(
  parts: TrialParts,
  { night, said, signal }: { night: string; said: readonly Said[]; signal: AbortSignal },
): Promise<BlindPair | null> {
  const { ledger } = parts.nights;
  const { inForce } = ledger.head();
  for (const { messageId, conversationId, text } of said.slice(0, ANSWERED_MAX)) {
    const reply = async (nights: readonly string[]): Promise<string> => {
      const source = await loadableVersion(ledger, nights);
      const { version } = await parts.engine.describe();
      if (version !== source.id) await parts.engine.loadVersion(source);
      const { prompt, settings } = await parts.chat.prompt(conversationId, messageId);
      return answerTo(prompt.ids, {
        ...parts,
        sampling: { ...GREEDY, seed: settings.sampling.seed },
        replyTokensMax: Math.min(settings.replyTokensMax, REPLY_TOKENS_MAX),
        version: source.id,
        signal,
      });
    };
    const fresh = await reply(inForce);
    const old = await reply(inForce.filter((id) => id !== night));
    if (fresh === old) continue;
    const [a, b] = isOldFirst(ledger, night, messageId) ? [old, fresh] : [fresh, old];
    return { flagId: messageId, direction: text, asked: '', a, b };
  }
  return null;
}
