// Sends messages in live conversations and waits for the replies, for replay and demo.
import { AttuneError } from '../../base/errors.ts';
import type { Reply } from '../../protocol/conversation.ts';
import type { DaemonClient, Request } from '../../protocol/daemon-client.ts';
import type { FlagDraftInput } from '../../protocol/flag.ts';
import type { ServerMessage } from '../../protocol/server-message.ts';
import type { Address } from '../address.ts';
import { connectFirst, createDaemonClient } from '../daemon-connection.ts';

interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

/** Ids are chosen by the caller: a message that is sent twice is stored and answered once. */
export class LiveConversations {
  readonly #client: DaemonClient;
  readonly #waiting = new Map<string, Waiting>();
  readonly #open = new Set<string>();

  constructor(address: Address) {
    this.#client = createDaemonClient({
      ...address,
      client: 'attune replay',
      onMessage: (message) => this.#receive(message),
      onState: (state) => state.kind === 'open' && state.isBack && this.#reopen(),
    });
  }

  async connect(): Promise<void> {
    await connectFirst(this.#client);
  }

  close(): void {
    this.#client.close();
  }

  async begin(conversationId: string, title: string): Promise<void> {
    const message = { type: 'conversation-create', conversationId, title } as const;
    await this.#ask({ ...message, origin: 'replay' }, 'conversation-created');
  }

  /** Resolves with the reply. @throws the daemon's error; reply-not-found where the reply failed */
  async say(conversationId: string, messageId: string, text: string): Promise<Reply> {
    this.#open.add(conversationId);
    const replied = new Promise<Reply>((resolve, reject) => {
      this.#waiting.set(messageId, { resolve, reject });
    });
    // A refused message gets no reply.
    const refused = this.#ask(
      { type: 'message-say', conversationId, messageId, text },
      'message-stored',
    ).then(() => replied);
    try {
      return await Promise.race([refused, replied]);
    } finally {
      this.#waiting.delete(messageId);
    }
  }

  /** Ends the events of this conversation. */
  leave(conversationId: string): void {
    if (this.#open.delete(conversationId)) {
      this.#client.send({ type: 'conversation-close', conversationId });
    }
  }

  async flag(flag: FlagDraftInput): Promise<void> {
    await this.#ask({ type: 'flag-add', flag }, 'flag-added');
  }

  /** Retries where the daemon says after how many milliseconds. */
  async #ask(message: Request, answer: ServerMessage['type']): Promise<void> {
    for (;;) {
      try {
        await this.#client.request(message, answer);
        return;
      } catch (error) {
        const wait = error instanceof AttuneError ? error.facts.retryAfterMs : undefined;
        if (typeof wait !== 'number') throw error;
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  }

  #receive(message: ServerMessage): void {
    if (message.type === 'reply-end') {
      const { messageId } = message.reply;
      this.#waiting.get(messageId)?.resolve(message.reply);
    } else if (message.type === 'reply-failed') {
      for (const { reject } of this.#waiting.values()) {
        reject(new AttuneError('reply-not-found', message.error.message));
      }
    }
  }

  /** After a reconnect: replies that ended meanwhile are in the history. */
  #reopen(): void {
    for (const conversationId of this.#open) {
      void this.#client
        .request({ type: 'conversation-open', conversationId }, 'conversation-opened')
        .then(({ conversation }) => {
          for (const entry of conversation.history) {
            if (entry.role === 'assistant') this.#waiting.get(entry.messageId)?.resolve(entry);
          }
        })
        // The conversation does not exist yet: its first message is still to be sent again.
        .catch(() => undefined);
    }
  }
}
