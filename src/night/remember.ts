// Talks that rest are compressed to gists, and what has faded is let go.
import type { Turn } from '../memory/extract.ts';
import type { Memory } from '../memory/memory.ts';
import type { FlaggedMoment, Talk } from './gather.ts';

export interface RememberOptions {
  readonly flagged: readonly FlaggedMoment[];
  /** Ms since 1970. */
  readonly now: number;
  /** A talk rests after this long without a message. */
  readonly restMinutes: number;
}

/** Compresses every talk that rests and has grown since; talks in full swing wait. */
export async function rememberTalks(
  memory: Memory,
  talks: ReadonlyMap<string, Talk>,
  { flagged, now, restMinutes }: RememberOptions,
): Promise<void> {
  const rested = [...talks.values()].filter(({ id, messages }) => {
    const lastAt = messages.at(-1)?.at ?? 0;
    const isResting = lastAt <= now - restMinutes * 60_000 || lastAt > now;
    return messages.length > 0 && isResting && !memory.isKnown(id, messages.length);
  });
  await memory.remember(
    rested.map(({ id, messages }) => ({
      conversationId: id,
      restedAt: Math.min(messages.at(-1)?.at ?? now, now),
      turns: messages.map(
        ({ id: turnId, role, content }): Turn => ({ id: turnId, role, text: content }),
      ),
      flags: flagged
        .filter((moment) => moment.context.source.cluster === id)
        .map(({ flagId, kind, strength, isHeldBack }) => ({
          id: flagId,
          kind,
          strength,
          isHeldBack,
        })),
    })),
  );
  await memory.forget();
}
