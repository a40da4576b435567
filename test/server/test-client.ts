// A WebSocket client for tests: keeps all messages, waits for one, checks each against the schema.
import { WebSocket } from 'ws';
import type { ClientMessageInput } from '../../src/protocol/client-message.ts';
import { parseServerMessage } from '../../src/protocol/codec.ts';
import { PROTOCOL_VERSION } from '../../src/protocol/handshake.ts';
import type { ServerMessage, ServerMessageOf } from '../../src/protocol/server-message.ts';

type Type = ServerMessage['type'];

export class TestClient {
  readonly socket: WebSocket;
  readonly messages: ServerMessage[] = [];
  closeCode: number | undefined;
  #seen = 0;
  #wake: (() => void)[] = [];

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data: Buffer) => {
      this.messages.push(parseServerMessage(data.toString('utf8')));
      this.#notify();
    });
    socket.on('close', (code) => {
      this.closeCode = code;
      this.#notify();
    });
    socket.on('error', () => undefined);
  }

  static async open(port: number, headers: Record<string, string> = {}): Promise<TestClient> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers });
    const client = new TestClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    return client;
  }

  send(message: ClientMessageInput): void {
    this.socket.send(JSON.stringify(message));
  }

  async hello(token?: string): Promise<ServerMessageOf<'server-hello'>> {
    const named = token === undefined ? {} : { token };
    this.send({ type: 'client-hello', protocol: PROTOCOL_VERSION, client: 'test', ...named });
    return this.next('server-hello');
  }

  /** The next message of this type after those that were waited for before. */
  async next<T extends Type>(
    type: T,
    matches: (message: ServerMessageOf<T>) => boolean = () => true,
    timeoutMs = 10_000,
  ): Promise<ServerMessageOf<T>> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      for (; this.#seen < this.messages.length; this.#seen++) {
        const message = this.messages[this.#seen] as ServerMessage;
        if (message.type === type && matches(message as ServerMessageOf<T>)) {
          this.#seen++;
          return message as ServerMessageOf<T>;
        }
      }
      const left = deadline - Date.now();
      if (left <= 0 || this.closeCode !== undefined) {
        const had = this.messages.map((message) => message.type).join(' ');
        throw new Error(`no ${type} came (closed: ${this.closeCode}); there were: ${had}`);
      }
      await this.#change(left);
    }
  }

  all<T extends Type>(type: T): ServerMessageOf<T>[] {
    return this.messages.filter((one) => one.type === type) as ServerMessageOf<T>[];
  }

  /** Says something and waits for the end of the reply. */
  async say(
    conversationId: string,
    messageId: string,
    text: string,
  ): Promise<ServerMessageOf<'reply-end'>> {
    this.send({ type: 'message-say', conversationId, messageId, text });
    const isOwn = (end: ServerMessageOf<'reply-end'>): boolean =>
      end.conversationId === conversationId && end.reply.messageId === messageId;
    return this.next('reply-end', isOwn);
  }

  async closed(timeoutMs = 10_000): Promise<number> {
    const deadline = Date.now() + timeoutMs;
    while (this.closeCode === undefined) {
      if (Date.now() > deadline) throw new Error('the connection was not closed');
      await this.#change(deadline - Date.now());
    }
    return this.closeCode;
  }

  /** As when the machine loses its network: no goodbye. */
  kill(): void {
    this.socket.terminate();
  }

  /** The text of a reply as its deltas tell it. */
  textOf(replyId: string): string {
    let text = '';
    for (const delta of this.all('reply-delta')) {
      if (delta.replyId === replyId) text = text.slice(0, delta.offset) + delta.text;
    }
    return text;
  }

  #change(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#wake.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const one of wake) one();
  }
}
