// Conversations that rest are compressed to gists, and what has faded is forgotten.
import type { Turn } from '../memory/extract.ts';
import type { RestedConversation } from '../memory/gist.ts';
import type { Memory } from '../memory/memory.ts';
import type { FlaggedMoment } from '../scenario/moment.ts';
import type { Conversation } from './gather.ts';

/** How little the model expected the person's words, nats a token; undefined: not measured. */
export type SurpriseOf = (turns: readonly Turn[]) => Promise<number | undefined>;

export interface RememberOptions {
  readonly flagged: readonly FlaggedMoment[];
  /** Ms since 1970. */
  readonly now: number;
  /** A conversation rests after this long without a message. */
  readonly restMinutes: number;
  readonly surpriseOf: SurpriseOf;
}

/** Conversations whose surprise is measured in one night; the rest are remembered without. */
const MEASURED_MAX = 64;

/** Compresses every conversation that rests and has grown since; one in full swing waits. */
export async function rememberConversations(
  memory: Memory,
  conversations: ReadonlyMap<string, Conversation>,
  { flagged, now, restMinutes, surpriseOf }: RememberOptions,
): Promise<void> {
  const rested = [...conversations.values()].filter(({ id, messages }) => {
    const lastAt = messages.at(-1)?.at ?? 0;
    const isResting = lastAt <= now - restMinutes * 60_000 || lastAt > now;
    return messages.length > 0 && isResting && !memory.isKnown(id, messages.length);
  });
  const compressed: RestedConversation[] = [];
  for (const [index, { id, messages }] of rested.entries()) {
    const turns = messages.map(({ role, content }): Turn => ({ role, text: content }));
    const surprise = index < MEASURED_MAX ? await surpriseOf(turns) : undefined;
    compressed.push({
      conversationId: id,
      restedAt: Math.min(messages.at(-1)?.at ?? now, now),
      turns,
      flags: flagged
        .filter((moment) => moment.context.source.cluster === id)
        .map(({ kind, strength, isHeldBack }) => ({ kind, strength, isHeldBack })),
      ...(surprise === undefined ? {} : { surprise }),
    });
  }
  await memory.remember(compressed);
  await memory.forget();
}
