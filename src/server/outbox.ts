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
}

export interface OutboxLimits {
  /** Above this, text of replies waits and is merged. */
  readonly mergeBytes: number;
  /** Above this the reader is given up. */
  readonly closeBytes: number;
}

interface Cursor {
  readonly reply: GrowingText;
  /** How much of its text was sent. */
  sent: number;
}

/**
 * Memory is bounded: other messages count against `closeBytes`, and of a running reply only a
 * position is kept, since its text lies in memory once anyway.
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

  /** From now on the text of this reply is sent, beginning at `from`. */
  follow(reply: GrowingText, from = 0): void {
    this.#cursors.set(reply.head.replyId, { reply, sent: from });
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

  /** Talks stop growing here when a client closes them. */
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
    if (cursor === undefined || cursor.sent >= cursor.reply.text.length) return;
    const { conversationId } = cursor.reply.head;
    const offset = cursor.sent;
    const text = cursor.reply.text.slice(offset);
    cursor.sent += text.length;
    this.send({ type: 'reply-delta', conversationId, replyId, offset, text });
  }
}
