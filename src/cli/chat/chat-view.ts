// What a chat client knows of one talk: server messages in, text to show out. No terminal in here.
import type { Conversation, Reply, RunningReply } from '../../protocol/conversation.ts';
import type { ServerMessage } from '../../protocol/server-message.ts';

/** Something to put on the screen, in this order. */
export type Shown =
  | { readonly kind: 'said'; readonly text: string }
  | { readonly kind: 'begin'; readonly turnsDropped: number }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'restart' }
  | { readonly kind: 'end'; readonly reply: Reply; readonly problem: string | null }
  | { readonly kind: 'failed'; readonly problem: string };

export interface SaidMessage {
  readonly id: string;
  readonly text: string;
}

interface Current {
  readonly replyId: string;
  readonly messageId: string;
  /** What is on the screen. */
  text: string;
}

/** One talk as far as a client has seen it. */
export class ChatView {
  readonly conversationId: string;
  /** The person's messages, oldest first. */
  readonly messages: SaidMessage[] = [];
  /** Replies that count, oldest first. */
  readonly replies: Reply[] = [];
  #current: Current | undefined;
  /** Messages that were said here, and are on the screen already. */
  readonly #own = new Set<string>();

  constructor(conversationId: string) {
    this.conversationId = conversationId;
  }

  get isReplying(): boolean {
    return this.#current !== undefined;
  }

  /** A message that is said here: it is not shown again when the server tells of it. */
  own(messageId: string): void {
    this.#own.add(messageId);
  }

  /** The talk as the server has it, seen for the first time: nothing is news. */
  opened(conversation: Conversation, running: RunningReply | null): Shown[] {
    this.#load(conversation);
    this.#current = undefined;
    return running === null ? [] : this.#begin(running);
  }

  /** The same after the connection was lost: what was missed meanwhile is shown. */
  reopened(conversation: Conversation, running: RunningReply | null): Shown[] {
    const seen = new Set(this.replies.map(({ id }) => id));
    const before = this.#current;
    const known = new Set(this.messages.map(({ id }) => id));
    this.#load(conversation);
    const missed = this.replies.filter(({ id }) => !seen.has(id) && id !== before?.replyId);
    const given = this.replies.find(({ id }) => id === before?.replyId);
    const shown: Shown[] = [];
    if (given !== undefined) shown.push(...this.#end(given, null));
    else if (before !== undefined && running?.replyId === before.replyId) {
      shown.push(...this.#grow(0, running.text));
    } else if (before !== undefined) {
      this.#current = undefined;
      shown.push({ kind: 'failed', problem: 'the daemon stopped in the middle of this reply' });
    }
    for (const message of this.messages) {
      if (!known.has(message.id)) shown.push(...this.#said(message));
      const reply = missed.find(({ messageId }) => messageId === message.id);
      if (reply !== undefined) shown.push(...this.#whole(reply, null));
    }
    if (running !== null && running.replyId !== before?.replyId)
      shown.push(...this.#begin(running));
    return shown;
  }

  #load({ history }: Conversation): void {
    this.messages.length = 0;
    this.replies.length = 0;
    for (const entry of history) {
      if (entry.role === 'user') this.messages.push(entry);
      else if (!entry.isSuperseded) this.replies.push(entry);
    }
  }

  receive(message: ServerMessage): Shown[] {
    if (!('conversationId' in message) || message.conversationId !== this.conversationId) return [];
    switch (message.type) {
      case 'message-stored':
        if (this.messages.some(({ id }) => id === message.message.id)) return [];
        this.messages.push(message.message);
        return this.#said(message.message);
      case 'reply-start': {
        if (message.replyId === this.#current?.replyId) return [];
        const { replyId, messageId } = message;
        return this.#begin({ replyId, messageId, text: '' }, message.window.turnsDropped);
      }
      case 'reply-delta':
        if (message.replyId !== this.#current?.replyId) return [];
        return this.#grow(message.offset, message.text);
      case 'reply-end':
        return this.#end(message.reply, message.error?.message ?? null);
      case 'reply-failed':
        if (message.replyId !== this.#current?.replyId) return [];
        this.#current = undefined;
        return [{ kind: 'failed', problem: message.error.message }];
      default:
        return [];
    }
  }

  /** What the person said elsewhere, in the browser for instance. */
  #said({ id, text }: SaidMessage): Shown[] {
    return this.#own.has(id) ? [] : [{ kind: 'said', text }];
  }

  #begin({ replyId, messageId, text }: RunningReply, turnsDropped = 0): Shown[] {
    this.#current = { replyId, messageId, text: '' };
    return [{ kind: 'begin', turnsDropped }, ...this.#grow(0, text)];
  }

  /** Shows what is new; text that differs from what is on the screen is shown from its beginning. */
  #grow(offset: number, text: string): Shown[] {
    const current = this.#current;
    if (current === undefined) return [];
    const whole = current.text.slice(0, offset) + text;
    const known = current.text;
    if (whole.length <= known.length && known.startsWith(whole)) return [];
    current.text = whole;
    if (whole.startsWith(known)) return [{ kind: 'text', text: whole.slice(known.length) }];
    return [{ kind: 'restart' }, { kind: 'text', text: whole }];
  }

  #end(reply: Reply, problem: string | null): Shown[] {
    const isCurrent = this.#current?.replyId === reply.id;
    // Told again after it was shown, because it was asked for again.
    if (!isCurrent && this.replies.some(({ id }) => id === reply.id)) return [];
    const at = this.replies.findIndex(({ messageId }) => messageId === reply.messageId);
    if (at === -1) this.replies.push(reply);
    else this.replies[at] = reply;
    if (!isCurrent) return this.#whole(reply, problem);
    const shown = this.#grow(0, reply.text);
    this.#current = undefined;
    return [...shown, { kind: 'end', reply, problem }];
  }

  #whole(reply: Reply, problem: string | null): Shown[] {
    const begin = { kind: 'begin', turnsDropped: reply.window?.turnsDropped ?? 0 } as const;
    return [begin, { kind: 'text', text: reply.text }, { kind: 'end', reply, problem }];
  }
}
