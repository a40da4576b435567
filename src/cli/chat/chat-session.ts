// A chat session in a terminal: sends lines, shows replies, runs slash commands.
import { randomUUID } from 'node:crypto';
import { AttuneError, isAttuneError } from '../../base/errors.ts';
import type { Conversation, ConversationSummary } from '../../protocol/conversation.ts';
import type { ClientState, DaemonClient } from '../../protocol/daemon-client.ts';
import type { Flag, ToldReply } from '../../protocol/flag.ts';
import type { ServerMessage, ServerMessageOf } from '../../protocol/server-message.ts';
import type { Address } from '../daemon.ts';
import { connectFirst, createDaemonClient } from '../daemon-connection.ts';
import { ChatView, type Shown } from './chat-view.ts';
import { printable, type Terminal } from './terminal.ts';

const YOU = 'you › ';
const ELSEWHERE = 'you, elsewhere › ';
const REPLY = 'attune › ';

/** Of a conversation that is opened: number of messages loaded, and number of messages shown. */
const LOADED_MAX = 500;
const SHOWN_MAX = 40;

/** Runs "/name rest". @returns true to end the session */
type RunCommand = (line: string, session: ChatSession) => Promise<boolean>;

export class ChatSession {
  readonly client: DaemonClient;
  readonly terminal: Terminal;
  view = new ChatView(randomUUID());
  /** What `/list` or `/search` showed last, for `/open 2`. */
  listed: readonly ConversationSummary[] = [];
  /** What `/flags` showed last, for `/hear 1` and `/withdraw 1`. */
  flagged: readonly Flag[] = [];
  readonly #runCommand: RunCommand;
  #onQuiet: (() => void)[] = [];
  #isAtLineStart = true;
  #hasFailed = false;
  #isLeaving = false;
  /** What was refused, to be said elsewhere. */
  #unsaid: string | undefined;

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
      this.terminal.note(`${model} · /help shows the commands · Ctrl-D quits`);
      for (const notice of engine.notices) this.terminal.note(notice);
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
        if (isAttuneError(error, 'conversation-not-found')) this.#takeBack(line);
      }
      if (this.#isLeaving) break;
    }
    this.client.close();
  }

  /** Resolves when the reply has ended. */
  async say(text: string): Promise<void> {
    const { conversationId } = this.view;
    const messageId = randomUUID();
    const isNew = this.view.messages.length === 0;
    this.view.own(messageId);
    await this.client.request(
      { type: 'message-say', conversationId, messageId, text, isNew },
      'message-stored',
    );
    await this.#until(() => this.view.replies.some((reply) => reply.messageId === messageId));
  }

  /** The conversation was deleted elsewhere: its words wait to be said in a new one. */
  #takeBack(line: string): void {
    if (line.startsWith('/') || this.view.messages.length === 0) return;
    this.begin();
    this.terminal.note('(what is said next begins a new conversation)');
    if (!line.includes('\n')) this.#unsaid = line;
  }

  /** Regenerates the last reply. Resolves when it has ended. */
  async again(): Promise<void> {
    const last = this.view.messages.at(-1);
    if (last === undefined)
      throw new AttuneError('message-not-found', 'There is no message to answer yet.');
    const { conversationId } = this.view;
    const replyId = randomUUID();
    await this.client.request(
      { type: 'reply-regenerate', conversationId, replyId },
      'message-stored',
    );
    await this.#until(() => this.view.replies.some(({ id }) => id === replyId));
  }

  /** Shows what the model says of a flagged message when it is told; undefined when it was left. */
  async hear(flagId: string): Promise<ToldReply | undefined> {
    const { view } = this;
    view.hearing = flagId;
    try {
      await this.client.request({ type: 'told-ask', flagId }, 'told-asked');
      while (view.hearing !== null && view.told?.isRunning) await this.#untilQuiet();
      return view.told;
    } finally {
      view.hearing = null;
    }
  }

  stop(): void {
    const { conversationId } = this.view;
    this.client.send({ type: 'reply-stop', conversationId });
  }

  /** Shows another conversation and continues it. */
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
    const request = { type: 'conversation-open', conversationId, limit: LOADED_MAX } as const;
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

  /** Starts a new conversation; the daemon stores it with its first message. */
  begin(): void {
    this.leave();
    this.view = new ChatView(randomUUID());
  }

  /** Ends the events of this conversation. */
  leave(): void {
    const { conversationId, messages } = this.view;
    if (messages.length > 0) this.client.send({ type: 'conversation-close', conversationId });
  }

  /** Ctrl-C: stops the reply, or the program where there is no connection. */
  interrupt(typed: string): void {
    if (!this.client.isOpen) {
      this.#isLeaving = true;
      this.client.close();
      this.#quiet(true);
    } else if (this.view.isReplying) this.stop();
    else if (this.view.hearing !== null) {
      this.view.hearing = null;
      this.#quiet(false);
    } else if (typed === '') this.terminal.note('Ctrl-D quits.');
  }

  /** One message; a line that ends with a backslash continues on the next. */
  async #readMessage(): Promise<string | undefined> {
    const parts: string[] = [];
    for (;;) {
      const prompt = parts.length === 0 ? YOU : '    … ';
      const typed = this.#unsaid;
      this.#unsaid = undefined;
      const kept = typed === undefined ? { isKept: true } : { isKept: true, typed };
      const line = await this.terminal.readLine(prompt, kept);
      if (line === undefined) return parts.length === 0 ? undefined : parts.join('\n');
      if (!line.endsWith('\\')) return [...parts, line].join('\n');
      parts.push(line.slice(0, -1));
    }
  }

  /** Waits until the condition holds and no reply is running, or until a reply has failed. */
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
    if (message.type === 'conversation-deleted') this.terminal.forget(message.conversationId);
    if (message.type === 'server-closing') this.#freshNote('The daemon is shutting down.');
    if (message.type === 'summary-ready') {
      this.#freshNote(`A night has ended: ${printable(message.headline)} (${message.path})`);
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
            `(the oldest ${one.turnsDropped} turns no longer fit the model's context window)`,
          );
        }
        if (terminal.isInteractive) this.#write(REPLY);
        return;
      case 'thinking':
        this.#freshNote('(thinking; /thought shows it afterwards)');
        return;
      case 'text':
        this.#write(printable(one.text));
        return;
      case 'told':
        this.#freshNote(one.isPlainer ? '(told more plainly:)' : '(told again what you asked:)');
        if (terminal.isInteractive) this.#write(REPLY);
        return;
      case 'told-end':
        this.#freshLine();
        this.#quiet(false);
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
    if (stopReason === 'length') this.terminal.note('(the reply reached its length limit)');
    if (stopReason === 'interrupted') {
      this.terminal.note(
        `(interrupted${problem === null ? '' : `: ${problem}`}; /again asks again)`,
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
