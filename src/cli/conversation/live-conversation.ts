// Says things in a live talk and waits for the replies: what replay needs of the WebSocket.
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

export interface NewLiveConversation {
  readonly conversationId: string;
  readonly title: string;
}

/** Ids are the caller's: said twice, after a loss or in a second run, it happens once. */
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

  async begin({ conversationId, title }: NewLiveConversation): Promise<void> {
    const message = {
      type: 'conversation-create',
      conversationId,
      title,
      origin: 'replay',
    } as const;
    await this.#ask(message, 'conversation-created');
  }

  /** Resolves with the reply. @throws what the daemon refuses with, reply-not-found when lost */
  async say(conversationId: string, messageId: string, text: string): Promise<Reply> {
    this.#open.add(conversationId);
    const replied = new Promise<Reply>((resolve, reject) => {
      this.#waiting.set(messageId, { resolve, reject });
    });
    // Refused, it is never answered; and what is answered was not refused.
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

  /** No more events of this talk. */
  leave(conversationId: string): void {
    if (this.#open.delete(conversationId)) {
      this.#client.send({ type: 'conversation-close', conversationId });
    }
  }

  async flag(flag: FlagDraftInput): Promise<void> {
    await this.#ask({ type: 'flag-add', flag }, 'flag-added');
  }

  /** Asks again, later, where the daemon says that there is too much going on. */
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

  /** After a loss: the ends of replies that came meanwhile are in the talks. */
  #reopen(): void {
    for (const conversationId of this.#open) {
      void this.#client
        .request({ type: 'conversation-open', conversationId }, 'conversation-opened')
        .then(({ conversation }) => {
          for (const entry of conversation.history) {
            if (entry.role === 'assistant') this.#waiting.get(entry.messageId)?.resolve(entry);
          }
        })
        // The talk is not there yet: then its message is still on its way.
        .catch(() => undefined);
    }
  }
}
