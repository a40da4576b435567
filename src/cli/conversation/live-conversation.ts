// Says something in live conversations and waits for the replies, for the demo.
import { AttuneError } from '../../base/errors.ts';
import type { Reply } from '../../protocol/conversation.ts';
import type { DaemonClient } from '../../protocol/daemon-client.ts';
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

  constructor(address: Address) {
    const onMessage = (message: ServerMessage): void => this.#receive(message);
    this.#client = createDaemonClient({ ...address, client: 'attune demo', onMessage });
  }

  async connect(): Promise<void> {
    await connectFirst(this.#client);
  }

  close(): void {
    this.#client.close();
  }

  /** Resolves with the reply. @throws the daemon's error; reply-not-found where the reply failed */
  async say(conversationId: string, messageId: string, text: string): Promise<Reply> {
    const replied = new Promise<Reply>((resolve, reject) => {
      this.#waiting.set(messageId, { resolve, reject });
    });
    const message = { type: 'message-say', conversationId, messageId, text } as const;
    // A refused message gets no reply.
    const refused = this.#client.request(message, 'message-stored').then(() => replied);
    return Promise.race([refused, replied]).finally(() => this.#waiting.delete(messageId));
  }

  async flag(flag: FlagDraftInput): Promise<void> {
    await this.#client.request({ type: 'flag-add', flag }, 'flag-added');
  }

  #receive(message: ServerMessage): void {
    if (message.type === 'reply-end') {
      this.#waiting.get(message.reply.messageId)?.resolve(message.reply);
    } else if (message.type === 'reply-failed') {
      for (const { reject } of this.#waiting.values()) {
        reject(new AttuneError('reply-not-found', message.error.message));
      }
    }
  }
}
