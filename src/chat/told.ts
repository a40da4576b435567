// "Hear me now": a flagged message is answered again at once by the same model, told again what the
// person asked, as a night's teacher is told. Nothing is stored until the person keeps it.
import { AttuneError } from '../base/errors.ts';
import type { ConversationStore } from '../conversation/conversation-store.ts';
import type { ReplyRecord } from '../conversation/record.ts';
import type { FlagStore } from '../flag/flag-store.ts';
import { momentOf } from '../night/gather.ts';
import { conversationOf } from '../night/prepare.ts';
import type { Flag, ToldReply } from '../protocol/flag.ts';
import type { FlaggedMoment } from '../scenario/moment.ts';
import { carriesOut } from '../teach/carried-out.ts';
import { directionOf, lastMessage } from '../teach/teacher.ts';
import type { Chat } from './chat.ts';
import type { ChatEvents, ReplyEnding } from './event.ts';
import type { RunningReply } from './running-reply.ts';

export interface ToldOptions {
  readonly store: ConversationStore;
  readonly flags: FlagStore;
  readonly chat: Chat;
  readonly events: ChatEvents;
}

/** One flag's: the reply that runs or ran last, and its record once it ended. */
interface Telling {
  readonly conversationId: string;
  reply?: RunningReply;
  record?: ReplyRecord;
  error: string | null;
  isRunning: boolean;
}

/** How it is told until it listens: at last one of the other replies that it may give. */
const ATTEMPTS = [
  { way: 'restated', temperature: 0 },
  { way: 'hint', temperature: 0 },
  { way: 'restated', temperature: 0.8 },
] as const;

/** The oldest are forgotten; they can be asked for again. */
const TOLD_MAX = 64;

export class ToldReplies {
  readonly #options: ToldOptions;
  readonly #tellings = new Map<string, Telling>();

  constructor(options: ToldOptions) {
    this.#options = options;
  }

  /**
   * Resolves when it runs. One that runs already goes on.
   * @throws flag-not-found, flag-withdrawn, flag-used, flag-undirected, replies-limit …
   */
  async ask(flagId: string): Promise<Flag> {
    const { flags, store, events } = this.#options;
    const flag = flags.open(flagId);
    const { conversationId, messageId } = flag;
    if (this.#tellings.get(flagId)?.isRunning) return flag;
    const telling: Telling = { conversationId, error: null, isRunning: true };
    this.#tellings.delete(flagId);
    this.#tellings.set(flagId, telling);
    try {
      const state = await store.read(conversationId);
      const bounds = { isHeldBack: false, contextCharactersMax: Number.POSITIVE_INFINITY };
      const moment = momentOf(flag, conversationOf(state, { systemPrompt: '' }), bounds);
      if (moment === undefined || directionOf(moment.context) === '') throw undirected(flagId);
      const { ended } = await this.#tell(telling, { flagId, messageId, moment }, 0);
      void ended.then(() => {
        telling.isRunning = false;
        if (this.#isCurrent(flagId, telling)) {
          events.toldEnded(conversationId, view(flagId, telling));
        }
      });
      this.#forgetOldest();
      return flag;
    } catch (error) {
      if (this.#isCurrent(flagId, telling)) this.#tellings.delete(flagId);
      throw error;
    }
  }

  /** What was told in a conversation and waits for the person's word. */
  of(conversationId: string): { readonly told: ToldReply; readonly running?: RunningReply }[] {
    return [...this.#tellings].flatMap(([flagId, telling]) => {
      const { reply, isRunning } = telling;
      if (telling.conversationId !== conversationId || reply === undefined) return [];
      return [{ told: view(flagId, telling), ...(isRunning && { running: reply }) }];
    });
  }

  /** The record of a told reply that has ended. @throws reply-not-found */
  record(flagId: string, replyId: string): ReplyRecord {
    const { record, isRunning } = this.#tellings.get(flagId) ?? {};
    if (record?.id === replyId && record.text !== '' && !isRunning) return record;
    const message = 'There is no such told reply any more. Flag the reply again, or ask again.';
    throw new AttuneError('reply-not-found', message, { flagId, replyId });
  }

  /** The flag was changed or withdrawn, or its conversation deleted. */
  drop(flagId: string): void {
    const telling = this.#tellings.get(flagId);
    this.#tellings.delete(flagId);
    telling?.reply?.abort();
  }

  dropOf(conversationId: string): void {
    for (const [flagId, telling] of this.#tellings) {
      if (telling.conversationId === conversationId) this.drop(flagId);
    }
  }

  /** Begins one reply; `ended` settles when it, or the last one after it, has ended. */
  async #tell(
    telling: Telling,
    order: { flagId: string; messageId: string; moment: FlaggedMoment },
    attempt: number,
  ): Promise<{ readonly ended: Promise<void> }> {
    const { flagId, messageId, moment } = order;
    const { way, temperature } = ATTEMPTS[attempt] ?? ATTEMPTS[0];
    const { context, reason, rejected } = moment;
    const { reply, ended } = await this.#options.chat.answerTold({
      ...{ conversationId: telling.conversationId, flagId, messageId },
      text: lastMessage(context, way, { reason }),
      overrides: { temperature },
      keep: (record) => {
        telling.record = record;
      },
    });
    telling.reply = reply;
    if (!this.#isCurrent(flagId, telling)) reply.abort();
    const after = async (ending: ReplyEnding): Promise<void> => {
      telling.error = ending.error?.message ?? null;
      const isHeard = reply.text !== rejected && carriesOut(context, reply.text);
      const isLast = attempt + 1 >= ATTEMPTS.length || isHeard || reply.isAborted;
      if (!isLast && telling.error === null && this.#isCurrent(flagId, telling)) {
        // Where there is no room for another, what was said stays.
        const next = await this.#tell(telling, order, attempt + 1).catch(() => undefined);
        await next?.ended;
      }
    };
    return { ended: ended.then(after) };
  }

  #isCurrent(flagId: string, telling: Telling): boolean {
    return this.#tellings.get(flagId) === telling;
  }

  #forgetOldest(): void {
    for (const [flagId, { isRunning }] of this.#tellings) {
      if (this.#tellings.size <= TOLD_MAX) return;
      if (!isRunning) this.#tellings.delete(flagId);
    }
  }
}

function view(flagId: string, { reply, error, isRunning }: Telling): ToldReply {
  const { text = '', thought = '' } = reply ?? {};
  const replyId = reply?.head.replyId ?? '';
  return { flagId, replyId, text, ...(thought !== '' && { thought }), isRunning, error };
}

function undirected(flagId: string): AttuneError {
  const message = 'Nothing is marked that could be said again: select the words that went unheard.';
  return new AttuneError('flag-undirected', message, { flagId });
}
