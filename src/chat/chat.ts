// One turn end to end: stores the message, has it answered, stores the reply, tells the listeners.
import { randomInt } from 'node:crypto';
import { AttuneError } from '../base/errors.ts';
import type { Config } from '../config/schema.ts';
import { notFound } from '../conversation/open-logs.ts';
import {
  type HeaderRecord,
  LOG_SCHEMA_VERSION,
  type LogRecord,
  type MessageRecord,
  type ReplyRecord,
} from '../conversation/record.ts';
import {
  applyRecord,
  type ConversationState,
  type Entry,
  emptyState,
  replyTo,
  replyView,
  userMessageView,
} from '../conversation/state.ts';
import { entriesUpTo, type Turn, turnsOf } from '../conversation/window.ts';
import type { EngineDescription } from '../engine/engine.ts';
import type { ConversationSettings, Reply, UserMessage } from '../protocol/conversation.ts';
import { buildPrompt, buildRawPrompt, type Prompt } from './prompt.ts';
import {
  type InFlight,
  type ReplyOrder,
  ReplyRunner,
  type ReplyWatcher,
  type RunnerOptions,
} from './reply-runner.ts';
import type { RunningReply } from './running-reply.ts';
import { type ChatDefaults, type ReplySettings, resolveSettings } from './settings.ts';

export interface ChatOptions extends RunnerOptions {
  readonly defaults: ChatDefaults;
  readonly limits: Pick<Config['server']['limits'], 'repliesMax' | 'messageCharactersMax'> &
    Pick<Config['chat'], 'replyReserveTokens'>;
}

/** The records of a new conversation before its first message. */
export type Beginning = readonly [HeaderRecord, ...LogRecord[]];

/** Options of one reply. */
export interface ReplyOptions
  extends Pick<
    ReplyOrder,
    'topLogprobs' | 'adjustment' | 'calling' | 'prefill' | 'tools' | 'speak'
  > {
  readonly overrides?: ConversationSettings;
  /** What the prompt has in place of what the log has: calls of tools, and what they answered. */
  readonly turns?: readonly Turn[] | undefined;
}

export interface SayRequest extends ReplyOptions {
  readonly conversationId: string;
  readonly messageId: string;
  readonly text: string;
  /** The records of a new conversation before this message. Default: an empty live one. */
  readonly beginning?: Beginning;
  /** False: the conversation is known to be there, and none is created. */
  readonly isNew?: boolean | undefined;
  /** Who asks; passed on to the listeners, which tell everyone else. */
  readonly by?: object;
  /** The message and a reply are sure to be kept, if the disk takes them. */
  readonly onTaken?: () => void;
  /** The message is on the disk; called before anything of the reply is told. */
  readonly onStored?: (message: UserMessage, isDuplicate: boolean) => void;
}

export interface UnstoredRequest extends ReplyOptions {
  readonly conversationId: string;
  /** The whole prompt, without a chat template; a text is encoded. */
  readonly raw?: string | readonly number[];
}

export interface RegenerateRequest extends ReplyOptions {
  readonly conversationId: string;
  readonly replyId: string;
  /** The reply will be made; called before anything of it is told. */
  readonly onTaken?: (message: UserMessage) => void;
}

export interface ToldRequest extends ReplyOptions {
  readonly conversationId: string;
  readonly flagId: string;
  readonly messageId: string;
  /** The message as it is told. */
  readonly text: string;
  readonly keep: (record: ReplyRecord) => void;
}

/** A reply that runs (or just began), or the one that was given before. */
export type Answer = InFlight | { readonly given: Reply };

type ToAsk = ReplyOptions & Pick<UnstoredRequest, 'raw'>;

/** A reply that is to begin, as its request says. */
interface ToBegin extends ToAsk, Omit<ReplyOrder, 'prompt' | 'settings'> {
  /** What has to be on the disk before the reply begins. */
  readonly before?: () => Promise<void>;
}

export interface Asked {
  readonly settings: ReplySettings;
  readonly prompt: Prompt;
}

const RETRY_AFTER_MS = 1_000;

/** Of a request that a server answers as it is. */
const PASSED_ON: Prompt = {
  ids: [],
  window: { turnsDropped: 0, firstMessageId: 'none' },
  isThinking: false,
};

export class Chat {
  readonly #options: ChatOptions;
  readonly #runner: ReplyRunner;
  /** Replies whose prompt is still being made, or whose message is not on the disk yet. */
  #starting = 0;
  #isClosing = false;

  constructor(options: ChatOptions) {
    this.#options = options;
    this.#runner = new ReplyRunner(options);
  }

  get repliesRunning(): number {
    return this.#runner.size;
  }

  /** Waits until replies that have ended are in the log. */
  stored(): Promise<void> {
    return this.#runner.stored();
  }

  /** Tells the watcher, from now on, when somebody is being answered. */
  watchReplies(watcher: ReplyWatcher): void {
    this.#runner.watch(watcher);
  }

  running(conversationId: string): RunningReply | undefined {
    return this.#runner.get(conversationId)?.reply;
  }

  /**
   * Stores the message and begins the reply. The same `messageId` again stores nothing and gives
   * the reply that runs or that was given; if there is none (the daemon crashed), it is made now.
   * What is said in a conversation that was deleted creates none.
   * @throws conversation-not-found, message-conflict, message-too-long, reply-running,
   * replies-limit, window-overflow, shutting-down, engine-failed, disk-full …; nothing is stored
   * then
   */
  say(request: SayRequest): Promise<Answer> {
    const { conversationId, messageId, text } = request;
    const { store, clock, limits } = this.#options;
    return store.exclusive(conversationId, async () => {
      this.#assertTaking();
      assertLength(text, limits.messageCharactersMax);
      const at = clock.now();
      const { beginning = [emptyConversation(conversationId, at)] } = request;
      const isNew = !store.has(conversationId);
      const isGone = store.isDeleted(conversationId) || request.isNew === false;
      if (isNew && isGone) throw notFound(conversationId);
      const state = isNew ? stateOf(beginning) : await store.read(conversationId);
      if (state.known.has(messageId)) return this.#sayAgain(request, state);
      this.#assertFree(conversationId);
      const message: MessageRecord = { type: 'message', id: messageId, at, text };
      return this.#begin(state, [...state.entries, message], {
        ...request,
        replaces: null,
        before: async () => {
          const storing = this.#store(message, request, isNew ? beginning : undefined);
          request.onTaken?.();
          await (request.onTaken === undefined ? storing : this.#runner.ahead(storing));
          request.onStored?.(userMessageView(message), false);
        },
      });
    });
  }

  /** Answers the turns of the request, or goes on with its raw prompt, and keeps nothing of it. */
  async answerUnstored(request: UnstoredRequest): Promise<InFlight> {
    const { conversationId } = request;
    this.#assertTaking();
    this.#assertFree(conversationId);
    const state = stateOf([emptyConversation(conversationId, this.#options.clock.now())]);
    const order = { ...request, messageId: 'none', replaces: null, keep: () => undefined };
    return this.#begin(state, [], order);
  }

  /**
   * Answers a message as if it had been said in other words, beside whatever runs.
   * @throws conversation-not-found, message-not-found, replies-limit, window-overflow …
   */
  answerTold(request: ToldRequest): Promise<InFlight> {
    const { conversationId, messageId, text } = request;
    return this.#options.store.exclusive(conversationId, async () => {
      this.#assertTaking();
      this.#assertRoom();
      const state = await this.#options.store.read(conversationId);
      const entries = entriesUpTo(state.entries, messageId);
      const last = entries.pop();
      if (last === undefined) throw noMessage(messageId);
      return this.#begin(state, [...entries, { ...last, text }], { ...request, replaces: null });
    });
  }

  /**
   * A reply that was made elsewhere takes the place of the one to the last message.
   * @returns false where the conversation has gone on: then nothing changes
   * @throws conversation-not-found, reply-running, disk-full
   */
  place(conversationId: string, reply: ReplyRecord): Promise<boolean> {
    const { store, clock, events } = this.#options;
    return store.exclusive(conversationId, async () => {
      const state = await store.read(conversationId);
      if (state.known.has(reply.id)) return true;
      const last = state.entries.findLast((entry) => entry.type === 'message');
      if (last?.id !== reply.messageId) return false;
      this.#assertQuiet(conversationId);
      const replaces = replyTo(state, reply.messageId)?.id ?? null;
      const record = { ...reply, replaces, at: clock.now() };
      await store.append(conversationId, record);
      events.replyPlaced(conversationId, replyView(record));
      events.conversationChanged('updated', store.summary(conversationId));
      return true;
    });
  }

  /**
   * Answers the last message again; its reply stays in the log as superseded. The same `replyId`
   * again changes nothing.
   * @throws conversation-not-found, message-not-found, message-conflict, reply-running …
   */
  regenerate(request: RegenerateRequest): Promise<Answer> {
    const { conversationId, replyId } = request;
    return this.#options.store.exclusive(conversationId, async () => {
      this.#assertTaking();
      const state = await this.#options.store.read(conversationId);
      const running = this.#runner.get(conversationId);
      const message = state.entries.findLast((entry) => entry.type === 'message');
      const known = state.entries.find((entry) => entry.id === replyId);
      if (known !== undefined && known.type !== 'reply') throw conflict(replyId);
      if (message === undefined) {
        throw noMessage();
      }
      const isRunning = running?.reply.head.replyId === replyId;
      if (known === undefined && !isRunning) this.#assertFree(conversationId);
      request.onTaken?.(userMessageView(message));
      if (isRunning) return running;
      return known === undefined
        ? this.#answer(request, state, message.id)
        : { given: replyView(known) };
    });
  }

  /** What would be asked for a reply to a message. @throws conversation-not-found, window-overflow … */
  async prompt(conversationId: string, messageId: string): Promise<Asked> {
    const state = await this.#options.store.read(conversationId);
    return this.#ask(entriesUpTo(state.entries, messageId), state, {});
  }

  /** Ends the running reply; what was said so far is kept. @throws reply-not-found */
  stop(conversationId: string): void {
    const running = this.#runner.get(conversationId);
    if (running === undefined) {
      const message = 'No reply is running in this conversation.';
      throw new AttuneError('reply-not-found', message, { conversationId });
    }
    running.reply.abort();
  }

  /** Ends the replies that run, told ones too, and waits until they are stored. */
  async quiet(conversationId: string): Promise<void> {
    const all = this.#runner.all();
    const own = all.filter(({ reply }) => reply.head.conversationId === conversationId);
    for (const { reply } of own) reply.abort();
    await Promise.all(own.map(({ ended }) => ended));
  }

  /**
   * Accepts no more messages, lets replies go on for `graceMs`, then interrupts them. Resolves when
   * all of them are stored.
   */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    const deadline = this.#options.clock.setTimeout(() => {
      for (const { reply } of this.#runner.all()) reply.interrupt();
    }, graceMs);
    while (this.#runner.size > 0 || this.#starting > 0) {
      await Promise.all(this.#runner.all().map(({ ended }) => ended));
      await new Promise((resolve) => setImmediate(resolve));
    }
    deadline.cancel();
  }

  async #sayAgain(request: SayRequest, state: ConversationState): Promise<Answer> {
    const { conversationId, messageId, text } = request;
    const entry = state.entries.find((one) => one.id === messageId);
    if (entry?.type !== 'message' || entry.text !== text) throw conflict(messageId);
    const running = this.#runner.get(conversationId);
    const given = replyTo(state, messageId);
    const isAnswered = running?.reply.head.messageId === messageId || given !== undefined;
    if (!isAnswered) this.#assertFree(conversationId);
    request.onStored?.(userMessageView(entry), true);
    if (running?.reply.head.messageId === messageId) return running;
    return given === undefined
      ? this.#answer(request, state, messageId)
      : { given: replyView(given) };
  }

  #answer(
    request: ReplyOptions & { readonly conversationId: string; readonly replyId?: string },
    state: ConversationState,
    messageId: string,
  ): Promise<Answer> {
    const replaces = replyTo(state, messageId)?.id ?? null;
    const entries = entriesUpTo(state.entries, messageId);
    return this.#begin(state, entries, { ...request, messageId, replaces });
  }

  /** Makes the prompt, then begins the reply; it counts as a running one all the while. */
  async #begin(
    state: ConversationState,
    entries: readonly Entry[],
    order: ToBegin,
  ): Promise<InFlight> {
    this.#starting++;
    try {
      const asked = await this.#ask(entries, state, order);
      await order.before?.();
      return this.#runner.begin({ ...order, ...asked });
    } finally {
      this.#starting--;
    }
  }

  async #store(
    message: MessageRecord,
    { conversationId: id, by }: SayRequest,
    beginning: Beginning | undefined,
  ): Promise<void> {
    const { store, events } = this.#options;
    if (beginning === undefined) {
      await store.append(id, message);
    } else {
      const [header, ...history] = beginning;
      await store.create(header, [...history, message]);
      events.conversationChanged('created', store.summary(id));
    }
    events.messageStored(id, userMessageView(message), by);
  }

  /** @throws window-overflow, engine-failed, template-failed, shutting-down */
  async #ask(
    entries: readonly Entry[],
    { settings: own, createdAt: at }: ConversationState,
    { overrides = {}, turns, tools, prefill, raw, speak }: ToAsk,
  ): Promise<Asked> {
    const { defaults, limits, tokenizer } = this.#options;
    const settings = resolveSettings(defaults, [own, overrides], () => randomInt(2 ** 32));
    if (speak !== undefined) return { settings, prompt: PASSED_ON };
    const { windowTokens } = this.#engine();
    if (raw !== undefined) {
      return { settings, prompt: await buildRawPrompt(tokenizer, raw, windowTokens) };
    }
    const prompt = await buildPrompt(tokenizer, {
      // A template that knows nothing of thoughts sees none.
      turns: turns ?? turnsOf(entries, { withThoughts: tokenizer.thoughts === 'written' }),
      ...{ tools, prefill, at },
      systemPrompt: settings.systemPrompt,
      variables: settings.templateVariables,
      reserveTokens: Math.min(settings.replyTokensMax, limits.replyReserveTokens),
      windowTokens,
    });
    this.#assertTaking();
    return { settings, prompt };
  }

  #engine(): EngineDescription {
    const description = this.#options.describeEngine();
    if (description !== undefined) return description;
    const message = 'The model is not loaded yet. Try again in a moment.';
    throw new AttuneError('engine-failed', message, { retryAfterMs: RETRY_AFTER_MS });
  }

  #assertTaking(): void {
    if (!this.#isClosing) return;
    const message = 'The daemon is shutting down. Send it again after a restart.';
    throw new AttuneError('shutting-down', message);
  }

  #assertFree(conversationId: string): void {
    this.#assertQuiet(conversationId);
    this.#assertRoom();
  }

  #assertQuiet(conversationId: string): void {
    if (this.#runner.get(conversationId) === undefined) return;
    const message = 'Wait for the running reply, or stop it, before the next message.';
    throw new AttuneError('reply-running', message, { conversationId });
  }

  #assertRoom(): void {
    const { repliesMax } = this.#options.limits;
    if (this.#runner.size + this.#starting < repliesMax) return;
    const message = `${repliesMax} replies are running already (the limit). Try again in a moment.`;
    throw new AttuneError('replies-limit', message, { repliesMax, retryAfterMs: RETRY_AFTER_MS });
  }
}

/** A live conversation without a title or settings of its own. */
function emptyConversation(id: string, at: number): HeaderRecord {
  const header = { origin: 'live', title: '', settings: {}, canLearn: true } as const;
  return { type: 'conversation', schemaVersion: LOG_SCHEMA_VERSION, id, at, ...header };
}

function stateOf(beginning: Beginning): ConversationState {
  const state = emptyState(beginning[0].id);
  for (const record of beginning) applyRecord(state, record);
  return state;
}

function noMessage(id?: string): AttuneError {
  const which = id === undefined ? 'no message yet' : `no message ${id}`;
  return new AttuneError('message-not-found', `This conversation has ${which}.`);
}

function conflict(id: string): AttuneError {
  return new AttuneError(
    'message-conflict',
    `The id ${id} is used by something else in this conversation. Choose a new id.`,
    { id },
  );
}

function assertLength(text: string, messageCharactersMax: number): void {
  if (text.length <= messageCharactersMax) return;
  throw new AttuneError(
    'message-too-long',
    `This message has ${text.length} characters; the limit is ${messageCharactersMax}.`,
    { characters: text.length, messageCharactersMax },
  );
}
