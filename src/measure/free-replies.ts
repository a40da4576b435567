// Replies that the model writes by itself, and whether they pass the check of their kind.
import type { Engine } from '../engine/engine.ts';
import { GREEDY } from '../protocol/sampling.ts';
import { checkReply } from '../scenario/check.ts';
import type { Kind } from '../scenario/kind.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

export interface FreeReply {
  readonly id: string;
  readonly kind: Kind;
  readonly reply: string;
  readonly passes: boolean;
  readonly reason: string;
}

export interface FreeReplyOptions {
  readonly engine: Pick<Engine, 'generate'>;
  readonly tokenizer: Pick<Tokenizer, 'renderChat' | 'decode' | 'stopIds'>;
  readonly replyTokensMax: number;
  /** Prompt and reply together; without it, a prompt that is too long rejects. */
  readonly windowTokens?: number;
  /** The engine's current version when absent. */
  readonly version?: string;
  /** Awaited before each reply: resolves at once, or after a pause. */
  readonly beforeEach?: () => Promise<void>;
  readonly signal?: AbortSignal;
}

/**
 * One greedy reply, first take, to each scenario that leaves it room in the window; in order.
 * @throws the signal's reason: a reply that was cut off is not judged
 */
export async function freeReplies(
  scenarios: readonly Scenario[],
  { engine, tokenizer, replyTokensMax, version, signal, ...more }: FreeReplyOptions,
): Promise<FreeReply[]> {
  const { windowTokens = Number.POSITIVE_INFINITY, beforeEach } = more;
  const replies: FreeReply[] = [];
  for (const scenario of scenarios) {
    const { ids } = tokenizer.renderChat(scenario.messages, { addGenerationPrompt: true });
    if (ids.length + replyTokensMax > windowTokens) continue;
    await beforeEach?.();
    const request = {
      ids,
      replyTokensMax,
      sampling: { ...GREEDY, seed: 0 },
      stopIds: tokenizer.stopIds,
      ...(version === undefined ? {} : { version }),
    };
    const result = await engine.generate(request, () => {}, signal);
    signal?.throwIfAborted();
    const reply = tokenizer.decode(result.ids).trim();
    const { passes, reason } = checkReply(scenario, reply);
    replies.push({ id: scenario.id, kind: scenario.kind, reply, passes, reason });
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
