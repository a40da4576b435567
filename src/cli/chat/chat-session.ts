// The chat of one person at one terminal: says lines, shows replies, carries out commands.
import { randomUUID } from 'node:crypto';
import { AttuneError } from '../../base/errors.ts';
import type { Conversation, ConversationSummary } from '../../protocol/conversation.ts';
import type { ClientState, DaemonClient } from '../../protocol/daemon-client.ts';
import type { Flag } from '../../protocol/flag.ts';
import type { ServerMessage, ServerMessageOf } from '../../protocol/server-message.ts';
import type { Address } from '../address.ts';
import { connectFirst, createDaemonClient } from '../daemon-connection.ts';
import { ChatView, type Shown } from './chat-view.ts';
import { printable, type Terminal } from './terminal.ts';

const YOU = 'you › ';
const ELSEWHERE = 'you, elsewhere › ';
const REPLY = 'attune › ';

/** Of a talk that is opened: so many messages are known here, and so many are put on the screen. */
const KNOWN_MAX = 500;
const SHOWN_MAX = 40;

/** Carries out "/name rest". @returns true: leave */
type RunCommand = (line: string, session: ChatSession) => Promise<boolean>;

export class ChatSession {
  readonly client: DaemonClient;
  readonly terminal: Terminal;
  view = new ChatView(randomUUID());
  /** What `/list` or `/search` showed last, so that `/open 2` can mean one of them. */
  listed: readonly ConversationSummary[] = [];
  /** What `/flags` showed last, for `/edit 1` and `/withdraw 1`. */
  flagged: readonly Flag[] = [];
  readonly #runCommand: RunCommand;
  #onQuiet: (() => void)[] = [];
  #isAtLineStart = true;
  #hasFailed = false;
  #isLeaving = false;

  constructor(address: Address, terminal: Terminal, runCommand: RunCommand) {
    this.terminal = terminal;
    this.#runCommand = runCommand;
    this.client = createDaemonClient({
      ...address,
      client: 'attune chat',
      onMessage: (message) => this.#onMessage(message),
      onState: (state) => this.#onState(state),
    });
  }

  /** Ends with the input. @throws daemon-unreachable, token-required */
  async run(options: { readonly open?: string | undefined } = {}): Promise<void> {
    const { engine } = await connectFirst(this.client);
    if (this.terminal.isInteractive) {
      const model = engine.modelId === null ? 'the model is still loading' : engine.modelId;
      this.terminal.note(`${model} · /help shows the commands · Ctrl-D leaves`);
    }
    if (options.open !== undefined) await this.open(options.open);
    for (;;) {
      const line = await this.#readMessage();
      if (line === undefined || this.#isLeaving) break;
      try {
        if (line.startsWith('/')) {
          if (await this.#runCommand(line, this)) break;
        } else if (line.trim() !== '') {
          await this.say(line);
        }
      } catch (error) {
        this.#tellError(error);
      }
      if (this.#isLeaving) break;
    }
    this.client.close();
  }

  /** Resolves when the reply has ended. */
  async say(text: string): Promise<void> {
    const { conversationId } = this.view;
    const messageId = randomUUID();
    this.view.own(messageId);
    await this.client.request(
      { type: 'message-say', conversationId, messageId, text },
      'message-stored',
    );
    await this.#until(() => this.view.replies.some((reply) => reply.messageId === messageId));
  }

  /** The same for a reply that is made again. */
  async again(): Promise<void> {
    const last = this.view.messages.at(-1);
    if (last === undefined) throw new AttuneError('message-not-found', 'Nothing was said yet.');
    const { conversationId } = this.view;
    const replyId = randomUUID();
    await this.client.request(
      { type: 'reply-regenerate', conversationId, replyId },
      'message-stored',
    );
    await this.#until(() => this.view.replies.some(({ id }) => id === replyId));
  }

  stop(): void {
    const { conversationId } = this.view;
    this.client.send({ type: 'reply-stop', conversationId });
  }

  /** Shows another talk and goes on in it. */
  async open(conversationId: string): Promise<void> {
    const answer = await this.#read(conversationId);
    this.leave();
    this.view = new ChatView(conversationId);
    this.#showHistory(answer.conversation);
    const shown = this.view.opened(answer);
    this.terminal.setHistory(this.view.messages.map(({ text }) => text).reverse());
    this.#show(shown);
    if (this.view.isReplying) await this.#untilQuiet();
  }

  #read(conversationId: string): Promise<ServerMessageOf<'conversation-opened'>> {
    const request = { type: 'conversation-open', conversationId, limit: KNOWN_MAX } as const;
    return this.client.request(request, 'conversation-opened');
  }

  #showHistory({ title, history, messagesBefore }: Conversation): void {
    this.terminal.note(`— ${printable(title)} —`);
    const said = history.filter((entry) => entry.role === 'user' || !entry.isSuperseded);
    const shown = said.slice(-SHOWN_MAX);
    const earlier = messagesBefore + said.length - shown.length;
    if (earlier > 0)
      this.terminal.note(`(${earlier} earlier messages; /search finds words in them)`);
    for (const { role, text } of shown) this.#line(`${role === 'user' ? YOU : REPLY}${text}`);
  }

  /** Begins a new talk; it exists once something is said in it. */
  begin(): void {
    this.leave();
    this.view = new ChatView(randomUUID());
  }

  /** Events of this talk are no longer wanted. */
  leave(): void {
    const { conversationId, messages } = this.view;
    if (messages.length > 0) this.client.send({ type: 'conversation-close', conversationId });
  }

  /** Ctrl-C: stops the reply, not the program, unless there is nobody left to talk to. */
  interrupt(typed: string): void {
    if (!this.client.isOpen) {
      this.#isLeaving = true;
      this.client.close();
      this.#quiet(true);
    } else if (this.view.isReplying) this.stop();
    else if (typed === '') this.terminal.note('Ctrl-D leaves.');
  }

  /** One message; a line that ends with a backslash goes on in the next. */
  async #readMessage(): Promise<string | undefined> {
    const parts: string[] = [];
    for (;;) {
      const prompt = parts.length === 0 ? YOU : '    … ';
      const line = await this.terminal.readLine(prompt, { isKept: true });
      if (line === undefined) return parts.length === 0 ? undefined : parts.join('\n');
      if (!line.endsWith('\\')) return [...parts, line].join('\n');
      parts.push(line.slice(0, -1));
    }
  }

  /** Waits until it is so and no reply runs, or until a reply has failed. */
  async #until(isSo: () => boolean): Promise<void> {
    while (this.view.isReplying || !isSo()) if (await this.#untilQuiet()) return;
  }

  /** Resolves at the next end of a reply; true when it failed. */
  async #untilQuiet(): Promise<boolean> {
    this.#hasFailed = false;
    await new Promise<void>((resolve) => this.#onQuiet.push(resolve));
    return this.#hasFailed;
  }

  #onMessage(message: ServerMessage): void {
    this.#show(this.view.receive(message));
    if (message.type === 'server-closing') this.#freshNote('The daemon is stopping.');
    if (message.type === 'summary-ready') {
      this.#freshNote(`A night is over: ${printable(message.headline)} (${message.path})`);
    }
  }

  #show(shown: readonly Shown[]): void {
    for (const one of shown) this.#showOne(one);
  }

  #showOne(one: Shown): void {
    const { terminal } = this;
    switch (one.kind) {
      case 'said':
        if (!terminal.isInteractive) return;
        this.#freshLine();
        this.#line(`${ELSEWHERE}${one.text}`);
        return;
      case 'begin':
        if (one.turnsDropped > 0) {
          this.#freshNote(
            `(the oldest ${one.turnsDropped} turns no longer fit the model's window)`,
          );
        }
        if (terminal.isInteractive) this.#write(REPLY);
        return;
      case 'text':
        this.#write(printable(one.text));
        return;
      case 'restart':
        this.#freshLine();
        return;
      case 'end':
        this.#freshLine();
        this.#noteEnd(one.reply.stopReason, one.problem);
        this.#quiet(false);
        return;
      case 'failed':
        this.#freshNote(`(${one.problem})`);
        this.#quiet(true);
    }
  }

  #noteEnd(stopReason: string, problem: string | null): void {
    if (stopReason === 'aborted') this.terminal.note('(stopped)');
    if (stopReason === 'length') this.terminal.note('(as long as a reply may be)');
    if (stopReason === 'interrupted') {
      this.terminal.note(
        `(interrupted${problem === null ? '' : `: ${problem}`}; /again asks anew)`,
      );
    }
  }

  #quiet(hasFailed: boolean): void {
    this.#hasFailed = hasFailed;
    this.terminal.refresh();
    const waiting = this.#onQuiet;
    this.#onQuiet = [];
    for (const resolve of waiting) resolve();
  }

  #onState(state: ClientState): void {
    if (state.kind === 'waiting' && state.wasOpen) {
      this.#freshNote('(the connection is lost; trying to reconnect)');
    }
    if (state.kind !== 'open' || !state.isBack) return;
    this.#freshNote('(connected again)');
    if (this.view.messages.length === 0) return;
    // The answer shows what was missed, as every message does.
    this.#read(this.view.conversationId).catch((error: unknown) => this.#tellError(error));
  }

  #tellError(error: unknown): void {
    if (!(error instanceof AttuneError)) throw error;
    this.#freshNote(`(${error.message})`);
  }

  #write(text: string): void {
    if (text === '') return;
    this.terminal.write(text);
    this.#isAtLineStart = text.endsWith('\n');
  }

  #line(text: string): void {
    this.#write(`${printable(text)}\n`);
  }

  #freshLine(): void {
    if (!this.#isAtLineStart) this.#write('\n');
  }

  #freshNote(text: string): void {
    this.#freshLine();
    this.terminal.note(text);
    this.terminal.refresh();
  }
}
