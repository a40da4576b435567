// What is on its way to one client: bounded, and text of replies is merged for a slow reader.
import type { ServerMessage } from '../protocol/server-message.ts';

/** The part of a socket that an outbox needs. */
export interface Sink {
  /** Bytes that were sent and have not left yet. */
  readonly bufferedBytes: number;
  /** `onFlushed` is called when this message has left. */
  send(text: string, onFlushed: () => void): void;
}

/** A reply whose text grows, as the runner has it. */
export interface GrowingText {
  readonly head: { readonly conversationId: string; readonly replyId: string };
  readonly text: string;
  readonly thought?: string;
}

export interface OutboxLimits {
  /** Above this, text of replies waits and is merged. */
  readonly mergeBytes: number;
  /** Above this the reader is given up. */
  readonly closeBytes: number;
}

interface Cursor {
  readonly reply: GrowingText;
  /** How much of each was sent. */
  readonly sent: { text: number; thought: number };
}

/**
 * Memory is bounded: other messages count against `closeBytes`, and of a running reply only a
 * position is kept, since its text is in memory anyway.
 */
export class Outbox {
  readonly #sink: Sink;
  readonly #limits: OutboxLimits;
  readonly #onOverflow: () => void;
  readonly #cursors = new Map<string, Cursor>();
  #isOver = false;

  constructor(sink: Sink, limits: OutboxLimits, onOverflow: () => void) {
    this.#sink = sink;
    this.#limits = limits;
    this.#onOverflow = onOverflow;
  }

  send(message: ServerMessage): void {
    if (this.#isOver) return;
    if (this.#sink.bufferedBytes > this.#limits.closeBytes) {
      this.#isOver = true;
      this.#cursors.clear();
      this.#onOverflow();
      return;
    }
    this.#sink.send(JSON.stringify(message), () => this.#drain());
  }

  /** From now on the text of this reply is sent, from where the client's copy ends. */
  follow(reply: GrowingText, copy: Pick<GrowingText, 'text' | 'thought'> = { text: '' }): void {
    const sent = { text: copy.text.length, thought: copy.thought?.length ?? 0 };
    this.#cursors.set(reply.head.replyId, { reply, sent });
    this.#flush(reply.head.replyId);
  }

  /** The text has grown. */
  advance(replyId: string): void {
    if (this.#sink.bufferedBytes <= this.#limits.mergeBytes) this.#flush(replyId);
  }

  /** No more of this reply; what was not sent stands in its `reply-end`. */
  unfollow(replyId: string): void {
    this.#cursors.delete(replyId);
  }

  /** Conversations stop growing here when a client closes them. */
  unfollowConversation(conversationId: string): void {
    for (const [replyId, { reply }] of this.#cursors) {
      if (reply.head.conversationId === conversationId) this.#cursors.delete(replyId);
    }
  }

  #drain(): void {
    for (const replyId of this.#cursors.keys()) this.advance(replyId);
  }

  #flush(replyId: string): void {
    const cursor = this.#cursors.get(replyId);
    if (cursor === undefined) return;
    const { reply, sent } = cursor;
    const { conversationId } = reply.head;
    for (const part of ['thought', 'text'] as const) {
      const offset = sent[part];
      const text = reply[part]?.slice(offset) ?? '';
      if (text === '') continue;
      sent[part] += text.length;
      const type = part === 'text' ? 'reply-delta' : 'thought-delta';
      this.send({ type, conversationId, replyId, offset, text });
    }
  }
}
