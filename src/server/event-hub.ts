// Who gets told what: connections by conversation and by topic; it implements what live chat calls.
import type { ChatEvents, FlagChange, ReplyEnding } from '../chat/event.ts';
import type { RunningReply } from '../chat/running-reply.ts';
import type { EventTopic } from '../protocol/client-message.ts';
import type { ConversationSummary, Reply, UserMessage } from '../protocol/conversation.ts';
import type { Flag, ToldReply } from '../protocol/flag.ts';
import type { ServerMessage } from '../protocol/server-message.ts';
import type { Outbox } from './outbox.ts';

/** A connection as the event hub sees it. */
export interface Subscriber {
  readonly outbox: Outbox;
  readonly topics: ReadonlySet<EventTopic>;
  /** Conversations it has opened. */
  readonly openConversations: ReadonlySet<string>;
}

/** The message that begins a reply, as subscribers and late joiners get it. */
export function replyStart({ head }: RunningReply): ServerMessage {
  const { conversationId, flagId, replyId } = head;
  if (flagId !== undefined) return { type: 'told-start', conversationId, flagId, replyId };
  return {
    type: 'reply-start',
    conversationId,
    replyId,
    messageId: head.messageId,
    replaces: head.replaces,
    window: head.window,
    at: head.startedAt,
  };
}

export class EventHub implements ChatEvents {
  /** Of all replies since the start. */
  readonly totals = { replies: 0, failed: 0, promptTokens: 0, reusedTokens: 0, replyTokens: 0 };
  readonly #subscribers = new Set<Subscriber>();

  add(subscriber: Subscriber): void {
    this.#subscribers.add(subscriber);
  }

  remove(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber);
  }

  /** To all who asked for the topic. */
  publish(topic: EventTopic, message: ServerMessage): void {
    for (const one of this.#subscribers) if (one.topics.has(topic)) one.outbox.send(message);
  }

  /** To everyone, whatever they asked for. */
  broadcast(message: ServerMessage): void {
    for (const one of this.#subscribers) one.outbox.send(message);
  }

  messageStored(conversationId: string, message: UserMessage, by?: object): void {
    for (const one of this.#following(conversationId)) {
      // Who said it gets its own answer, with its request id.
      if (one === by) continue;
      one.outbox.send({ type: 'message-stored', conversationId, message, isDuplicate: false });
    }
  }

  replyStarted(reply: RunningReply): void {
    for (const { outbox } of this.#following(reply.head.conversationId)) {
      outbox.send(replyStart(reply));
      outbox.follow(reply);
    }
  }

  replyAdvanced(reply: RunningReply): void {
    const { conversationId, replyId } = reply.head;
    for (const { outbox } of this.#following(conversationId)) outbox.advance(replyId);
  }

  replyEnded(reply: RunningReply, ending: ReplyEnding): void {
    this.totals.replies++;
    if (ending.error !== null) this.totals.failed++;
    if (ending.type === 'reply-end') {
      this.totals.promptTokens += ending.reply.usage.promptTokens;
      this.totals.reusedTokens += ending.reply.usage.reusedTokens;
      this.totals.replyTokens += ending.reply.usage.replyTokens;
    }
    const { conversationId, replyId } = reply.head;
    for (const { outbox } of this.#following(conversationId)) {
      outbox.unfollow(replyId);
      if (reply.head.flagId === undefined) outbox.send(ending);
    }
  }

  toldEnded(conversationId: string, told: ToldReply): void {
    this.#tell({ type: 'told-end', conversationId, told });
  }

  replyPlaced(conversationId: string, reply: Reply): void {
    this.#tell({ type: 'reply-end', conversationId, reply, error: null });
  }

  #tell(message: ServerMessage & { readonly conversationId: string }): void {
    for (const { outbox } of this.#following(message.conversationId)) outbox.send(message);
  }

  conversationChanged(change: 'created' | 'updated', conversation: ConversationSummary): void {
    this.publish('conversations', { type: `conversation-${change}`, conversation });
  }

  conversationDeleted(conversationId: string): void {
    const message: ServerMessage = { type: 'conversation-deleted', conversationId };
    for (const one of this.#subscribers) {
      const isConcerned =
        one.topics.has('conversations') || one.openConversations.has(conversationId);
      if (isConcerned) one.outbox.send(message);
    }
  }

  flagChanged(change: FlagChange, flag: Flag): void {
    this.publish('flags', { type: `flag-${change}`, flag });
  }

  *#following(conversationId: string): Generator<Subscriber> {
    for (const one of this.#subscribers) if (one.openConversations.has(conversationId)) yield one;
  }
}
