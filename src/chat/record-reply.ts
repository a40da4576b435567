// The end of a reply: what goes into the log, and what the listeners are told about it.
import type { Clock } from '../base/clock.ts';
import { codedError, publicMessage } from '../base/errors.ts';
import type { ReplyRecord } from '../conversation/record.ts';
import { replyView } from '../conversation/state.ts';
import type { EngineDescription, GenerateResult } from '../engine/engine.ts';
import type { ReplyStopReason } from '../protocol/conversation.ts';
import type { ReplyEnding } from './event.ts';
import type { RunningReply } from './running-reply.ts';

export type Outcome = GenerateResult | { readonly error: unknown };

interface Recorder {
  readonly clock: Clock;
  readonly engine: EngineDescription | undefined;
  /** Resolves once the record is on the disk. */
  readonly append: (record: ReplyRecord) => Promise<unknown>;
}

function stopReasonOf(reply: RunningReply, outcome: Outcome): ReplyStopReason {
  if (reply.isStopped) return 'stop';
  if (reply.isInterrupted || 'error' in outcome) return 'interrupted';
  return reply.isAborted ? 'aborted' : outcome.stopReason;
}

/** Code and message of an error for those outside. */
function publicError(error: unknown): { readonly code: string; readonly message: string } {
  const coded = codedError(error);
  return { code: coded.code, message: publicMessage(coded) };
}

/** Stores the reply as far as it came; `reply-end` is sent only when it is on the disk. */
export async function recordReply(
  reply: RunningReply,
  outcome: Outcome,
  { clock, engine, append }: Recorder,
): Promise<ReplyEnding> {
  const { head, text, thought, ids, versionRuns } = reply;
  const { conversationId, replyId } = head;
  const record: ReplyRecord = {
    type: 'reply',
    id: replyId,
    messageId: head.messageId,
    replaces: head.replaces,
    at: clock.now(),
    text: (head.prefill ?? '') + text,
    ...(thought === '' ? {} : { thought }),
    ids: [...ids],
    isCut: reply.isStopped || head.prefill !== undefined,
    versionRuns: [...versionRuns],
    stopReason: stopReasonOf(reply, outcome),
    usage: {
      promptTokens: head.promptTokens,
      reusedTokens: 'error' in outcome ? 0 : outcome.reusedTokens,
      replyTokens: ids.length,
    },
    window: head.window,
    making: {
      modelId: engine?.modelId ?? 'unknown',
      baseHash: engine?.baseHash ?? '',
      sampling: head.settings.sampling,
    },
  };
  try {
    await append(record);
  } catch (error) {
    return { type: 'reply-failed', conversationId, replyId, error: publicError(error) };
  }
  const error = 'error' in outcome ? publicError(outcome.error) : null;
  return { type: 'reply-end', conversationId, reply: replyView(record), error };
}
