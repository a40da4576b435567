// Checks that what a flag names is there: the reply, the message, and the very words of its spans.
import { AttuneError } from '../base/errors.ts';
import type { Span } from '../protocol/conversation.ts';
import type { UserSpan } from '../protocol/flag.ts';
import type { ConversationState, Entry } from './state.ts';

export interface Placeable {
  readonly replyId: string;
  readonly userSpan: UserSpan | null;
  readonly replySpan: Span | null;
}

function assertSpan(span: Span, text: string, where: string): void {
  const there = text.slice(span.start, span.end);
  if (there === span.text) return;
  const message =
    `The ${where} has "${there.slice(0, 80)}" from ${span.start} to ${span.end}, ` +
    `not "${span.text.slice(0, 80)}": offsets count UTF-16 units of the plain text.`;
  throw new AttuneError('span-mismatch', message, { start: span.start, end: span.end });
}

function entry(conversation: ConversationState, id: string): Entry | undefined {
  return conversation.entries[conversation.known.get(id) ?? -1];
}

/**
 * The id of the user message that the flagged reply answers.
 * @throws reply-not-found, message-not-found, span-mismatch
 */
export function placeFlag(flag: Placeable, conversation: ConversationState): string {
  const reply = entry(conversation, flag.replyId);
  if (reply?.type !== 'reply') throw replyNotFound(flag.replyId);
  if (flag.replySpan !== null) assertSpan(flag.replySpan, reply.text, 'reply');
  if (flag.userSpan !== null) {
    const { messageId, span } = flag.userSpan;
    const message = entry(conversation, messageId);
    const { known } = conversation;
    const isBefore = (known.get(messageId) ?? 0) < (known.get(flag.replyId) ?? 0);
    if (message?.type !== 'message' || !isBefore) {
      throw new AttuneError(
        'message-not-found',
        `No message ${messageId} of the person stands before this reply.`,
        { messageId },
      );
    }
    assertSpan(span, message.text, 'message');
  }
  return reply.messageId;
}

export function replyNotFound(replyId: string): AttuneError {
  const message = `This conversation has no reply ${replyId}.`;
  return new AttuneError('reply-not-found', message, { replyId });
}
