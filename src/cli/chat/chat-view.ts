// What the terminal shows of one conversation: server messages in, what changed on the screen out.
import type { Reply, RunningReply, UserMessage } from '../../protocol/conversation.ts';
import type { ToldReply } from '../../protocol/flag.ts';
import {
  newConversation,
  type OpenConversation,
  receive,
} from '../../protocol/open-conversation.ts';
import type { ServerMessage, ServerMessageOf } from '../../protocol/server-message.ts';

/** One change of the screen. */
export type Shown =
  | { readonly kind: 'said'; readonly text: string }
  | { readonly kind: 'begin'; readonly turnsDropped: number }
  | { readonly kind: 'thinking' }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'restart' }
  | { readonly kind: 'told'; readonly isPlainer: boolean }
  | { readonly kind: 'told-end' }
  | { readonly kind: 'end'; readonly reply: Reply; readonly problem: string | null }
  | { readonly kind: 'failed'; readonly problem: string };

/** One conversation as far as a terminal has shown it. */
export class ChatView {
  readonly conversationId: string;
  /** The flag whose told reply is shown; those that were asked for elsewhere are not. */
  hearing: string | null = null;
  #state: OpenConversation;
  /** Messages that were typed here, and told replies, are on the screen already. */
  readonly #own = new Set<string>();

  constructor(conversationId: string) {
    this.conversationId = conversationId;
    this.#state = newConversation(conversationId, Date.now());
  }

  get isReplying(): boolean {
    return this.#state.running !== null;
  }

  /** Of the flag that is heard. */
  get told(): ToldReply | undefined {
    return this.#state.told.find(({ flagId }) => flagId === this.hearing);
  }

  /** The person's messages, oldest first. */
  get messages(): UserMessage[] {
    return messagesOf(this.#state);
  }

  /** The last reply to each message, oldest first. */
  get replies(): Reply[] {
    const replies = this.#state.conversation.history.filter((entry) => entry.role === 'assistant');
    return [...new Map(replies.map((reply) => [reply.messageId, reply])).values()];
  }

  /** Marks a message as typed here, or a told reply as shown here: it is not shown again when the daemon reports it. */
  own(messageId: string): void {
    this.#own.add(messageId);
  }

  /** For a conversation that is read for the first time: its history is not shown as news. */
  opened(message: ServerMessageOf<'conversation-opened'>): Shown[] {
    this.#state = receive(this.#state, message);
    const { running } = this.#state;
    return running === null ? [] : begun(running);
  }

  /** Also what was missed while the connection was lost, when the conversation is read again. */
  receive(message: ServerMessage): Shown[] {
    const before = this.#state;
    const isOther =
      message.type === 'conversation-opened' && message.conversation.id !== this.conversationId;
    if (isOther) return [];
    this.#state = receive(before, message);
    const problem = message.type === 'reply-end' ? (message.error?.message ?? null) : null;
    return this.#changes(before, this.#state, problem);
  }

  #changes(before: OpenConversation, now: OpenConversation, problem: string | null): Shown[] {
    const shown: Shown[] = [];
    const known = new Set(before.conversation.history.map(({ id }) => id));
    const { running } = before;
    const news = now.conversation.history.filter(({ id }) => !known.has(id));
    if (running !== null && now.running?.replyId !== running.replyId) {
      shown.push(...ended(running, now, problem));
    }
    for (const entry of news) {
      if (entry.role === 'user') {
        if (!this.#own.has(entry.id)) shown.push({ kind: 'said', text: entry.text });
      } else if (entry.id !== running?.replyId && !entry.isSuperseded && !this.#own.has(entry.id)) {
        const turnsDropped = entry.window?.turnsDropped ?? 0;
        shown.push(...begun({ ...entry, turnsDropped }), { kind: 'end', reply: entry, problem });
      }
    }
    if (now.running !== null) {
      const isSame = now.running.replyId === running?.replyId;
      if (isSame && !running.thought && now.running.thought) shown.push({ kind: 'thinking' });
      shown.push(...(isSame ? grown(running.text, now.running.text) : begun(now.running)));
    }
    const toldBefore = before.told.find(({ flagId }) => flagId === this.hearing);
    return [...shown, ...heard(toldBefore, this.told)];
  }
}

function heard(before: ToldReply | undefined, now: ToldReply | undefined): Shown[] {
  const isSame = before?.replyId === now?.replyId;
  const shown: Shown[] = [];
  if (now !== undefined && !isSame) {
    shown.push({ kind: 'told', isPlainer: before !== undefined });
  }
  if (now !== undefined) shown.push(...grown(isSame ? (before?.text ?? '') : '', now.text));
  const hasEnded = !(now?.isRunning ?? false) && (before?.isRunning ?? !isSame);
  return hasEnded ? [...shown, { kind: 'told-end' }] : shown;
}

const messagesOf = ({ conversation }: OpenConversation): UserMessage[] =>
  conversation.history.filter((entry) => entry.role === 'user');

const begun = ({
  text,
  thought,
  turnsDropped,
}: Pick<RunningReply, 'text' | 'thought'> & { readonly turnsDropped: number }): Shown[] => [
  { kind: 'begin', turnsDropped },
  ...(thought ? [{ kind: 'thinking' } as const] : []),
  ...grown('', text),
];

/** The reply that ran runs no more: it ended, it could not be stored, or it is lost. */
function ended(
  { replyId, text }: NonNullable<OpenConversation['running']>,
  { conversation, failure }: OpenConversation,
  problem: string | null,
): Shown[] {
  const reply = conversation.history.find(({ id }) => id === replyId);
  if (reply?.role === 'assistant') {
    return [...grown(text, reply.text), { kind: 'end', reply, problem }];
  }
  return [{ kind: 'failed', problem: failure?.why ?? 'the daemon stopped during this reply' }];
}

/** What is new; a text that does not continue what is on the screen is shown from its beginning. */
function grown(known: string, text: string): Shown[] {
  if (known.startsWith(text)) return [];
  if (text.startsWith(known)) return [{ kind: 'text', text: text.slice(known.length) }];
  return [{ kind: 'restart' }, { kind: 'text', text }];
}
