// Runs the replies of conversations: prompt to engine, tokens to listeners, the end to the log.
import { randomUUID } from 'node:crypto';
import { type Clock, yieldToEventLoop } from '../base/clock.ts';
import { codedError, publicMessage } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { ConversationStore } from '../conversation/conversation-store.ts';
import type { ReplyRecord } from '../conversation/record.ts';
import { replyView } from '../conversation/state.ts';
import type { EngineDescription, GenerateResult } from '../engine/engine.ts';
import type { ReplyStopReason } from '../protocol/conversation.ts';
import type { Adjustment } from '../protocol/sampling.ts';
import type { ChatTokenizer } from '../tokenizer/chat-tokenizer.ts';
import type { ChatEvents, ReplyEnding } from './event.ts';
import type { Prompt } from './prompt.ts';
import { type ReplyHead, RunningReply } from './running-reply.ts';

export interface RunnerOptions {
  readonly store: ConversationStore;
  readonly speaker: Speaker;
  /** The engine as it last described itself; undefined while it was never up. */
  readonly describeEngine: () => EngineDescription | undefined;
  /** Called with whatever interrupted a reply. */
  readonly onEngineFailure?: (error: unknown) => void;
  readonly tokenizer: ChatTokenizer;
  readonly events: ChatEvents;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How a reply ended. Numbers that are absent are those of its tokens. */
export interface Spoken extends Pick<GenerateResult, 'stopReason' | 'reusedTokens'> {
  readonly promptTokens?: number;
  readonly replyTokens?: number;
  /** Where a server spoke: its weights version, and what it calls the model. */
  readonly server?: { readonly version: string; readonly kind: string; readonly model: string };
}

export interface Speaker {
  readonly isServer: boolean;
  /** Fills the reply until it has ended. @throws engine-failed, upstream-failed … */
  speak(order: ReplyOrder, reply: RunningReply, onGrown: () => void): Promise<Spoken>;
  /** The conversation goes on no more. */
  forget(conversationId: string): Promise<void>;
}

/** Told when the first reply begins and when the last one is stored. */
export interface ReplyWatcher {
  onBusy(): void;
  onIdle(): void;
}

export interface ReplyOrder
  extends Omit<
    ReplyHead,
    'replyId' | 'window' | 'promptTokens' | 'startedAt' | 'thoughts' | 'keepTokens'
  > {
  /** A new id when absent. */
  readonly replyId?: string | undefined;
  readonly prompt: Prompt;
  /** Number of the likeliest tokens to report for each token; absent: no log-probabilities. */
  readonly topLogprobs?: number | undefined;
  readonly adjustment?: Adjustment | undefined;
  /** Descriptions of the tools that it may call. */
  readonly tools?: readonly object[] | undefined;
  /** Makes the reply, in place of the speaker. */
  readonly speak?: Speaker['speak'];
  /** Takes its record, in place of the log. */
  readonly keep?: (record: ReplyRecord) => void;
}

export interface InFlight {
  readonly reply: RunningReply;
  /** Settles, never rejects, once the end is stored and told. */
  readonly ended: Promise<ReplyEnding>;
}

/** At most one reply for each conversation and flag; the caller limits how many there are. */
export class ReplyRunner {
  readonly #options: RunnerOptions;
  readonly #inFlight = new Map<string, InFlight>();
  readonly #watchers: ReplyWatcher[] = [];
  readonly #storing = new Set<Promise<unknown>>();
  readonly #ahead = new Set<Promise<void>>();

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#inFlight.size;
  }

  /** @param key the id of the conversation; of a told reply that of its flag */
  get(key: string): InFlight | undefined {
    return this.#inFlight.get(key);
  }

  all(): InFlight[] {
    return [...this.#inFlight.values()];
  }

  /** A message on its way to the disk, whose answer goes out already. */
  async ahead(storing: Promise<void>): Promise<void> {
    this.#ahead.add(storing);
    await storing.finally(() => this.#ahead.delete(storing));
  }

  /** Waits until replies that have ended are in the log. */
  async stored(): Promise<void> {
    const ahead = [...this.#ahead];
    await Promise.allSettled(ahead);
    // Where all of an answer had come by then, its reply ends in the same turn.
    if (ahead.length > 0) await yieldToEventLoop();
    await Promise.all(this.#storing);
  }

  watch(watcher: ReplyWatcher): void {
    this.#watchers.push(watcher);
  }

  begin(order: ReplyOrder): InFlight {
    const { tokenizer, events, clock } = this.#options;
    const { prompt, replyId = randomUUID(), topLogprobs, ...head } = order;
    const about = {
      ...{ ...head, replyId, window: prompt.window, promptTokens: prompt.ids.length },
      thoughts: thoughtsOf(order, this.#options),
      startedAt: clock.now(),
      keepTokens: topLogprobs !== undefined,
    };
    const reply = new RunningReply(about, tokenizer);
    // One microtask later, so that it is registered as running before anything can end it.
    const ended = Promise.resolve().then(() => this.#run(reply, order));
    const inFlight = { reply, ended };
    this.#inFlight.set(order.flagId ?? order.conversationId, inFlight);
    if (this.#inFlight.size === 1) for (const watcher of this.#watchers) watcher.onBusy();
    events.replyStarted(reply);
    return inFlight;
  }

  async #run(reply: RunningReply, order: ReplyOrder): Promise<ReplyEnding> {
    const { clock, events, store, speaker, logger, describeEngine } = this.#options;
    const { conversationId, flagId, keep } = order;
    const speak = order.speak ?? speaker.speak;
    const outcome = await speak(order, reply, () => events.replyAdvanced(reply)).catch(
      (error: unknown) => ({ error }),
    );
    if (reply.finish()) events.replyAdvanced(reply);
    if ('error' in outcome) {
      logger.warn({ conversationId, ...outcome }, 'a reply was interrupted');
      this.#options.onEngineFailure?.(outcome.error);
    }
    const storing = recordReply(reply, outcome, {
      clock,
      engine: describeEngine(),
      append: async (record) => {
        if (keep !== undefined) return keep(record);
        // Nothing is said yet: the answer comes once the tools have answered.
        if (reply.calls.length > 0) return;
        await store.exclusive(conversationId, () => store.append(conversationId, record));
      },
    });
    this.#storing.add(storing);
    const ending = await storing;
    this.#storing.delete(storing);
    // A dead engine has no cache left to forget.
    if (keep !== undefined && flagId === undefined)
      await speaker.forget(conversationId).catch(() => undefined);
    if (ending.type === 'reply-failed') {
      logger.error({ conversationId, error: ending.error }, 'a reply could not be stored');
    }
    this.#inFlight.delete(flagId ?? conversationId);
    if (this.#inFlight.size === 0) for (const watcher of this.#watchers) watcher.onIdle();
    events.replyEnded(reply, ending);
    if (keep === undefined && store.has(conversationId)) {
      events.conversationChanged('updated', store.summary(conversationId));
    }
    return ending;
  }
}

/** A server takes the beginning of a thought that its template writes for the thought itself. */
function thoughtsOf(
  { prompt, prefill }: ReplyOrder,
  { tokenizer, speaker }: RunnerOptions,
): 'none' | 'possible' | 'open' {
  if (tokenizer.thoughts === 'none' || prefill !== undefined || prompt.raw !== undefined)
    return 'none';
  return prompt.isThinking && !speaker.isServer ? 'open' : 'possible';
}

// The end of a reply: what goes into the log, and what the listeners are told about it.

type Outcome = Spoken | { readonly error: unknown };

interface Recorder {
  readonly clock: Clock;
  readonly engine: EngineDescription | undefined;
  /** Resolves once the record is on the disk. */
  readonly append: (record: ReplyRecord) => Promise<unknown>;
}

function stopReasonOf(reply: RunningReply, outcome: Outcome): ReplyStopReason {
  if (reply.isStopped) return 'stop';
  if (reply.isInterrupted || 'error' in outcome) return 'interrupted';
  return reply.isAborted ? 'aborted' : outcome.stopReason;
}

/** Code and message of an error for those outside. */
function publicError(error: unknown): { readonly code: string; readonly message: string } {
  const coded = codedError(error);
  return { code: coded.code, message: publicMessage(coded) };
}

/** Stores the reply as far as it came; `reply-end` is sent only when it is on the disk. */
async function recordReply(
  reply: RunningReply,
  outcome: Outcome,
  { clock, engine, append }: Recorder,
): Promise<ReplyEnding> {
  const { head, text, thought, ids, versionRuns } = reply;
  const { conversationId, replyId } = head;
  const spoken: Partial<Spoken> = 'error' in outcome ? {} : outcome;
  const { server, replyTokens = ids.length } = spoken;
  const record: ReplyRecord = {
    type: 'reply',
    id: replyId,
    messageId: head.messageId,
    replaces: head.replaces,
    at: clock.now(),
    text: (head.prefill ?? '') + text,
    ...(thought === '' ? {} : { thought }),
    ids: [...ids],
    isCut: reply.isStopped || head.prefill !== undefined,
    versionRuns: server ? [[0, Math.max(1, replyTokens), server.version]] : [...versionRuns],
    stopReason: stopReasonOf(reply, outcome),
    usage: {
      promptTokens: spoken.promptTokens || head.promptTokens,
      reusedTokens: spoken.reusedTokens ?? 0,
      replyTokens,
    },
    window: head.window,
    making: {
      modelId: server?.model ?? engine?.modelId ?? 'unknown',
      ...(server && { server: server.kind }),
      baseHash: engine?.baseHash ?? '',
      sampling: head.settings.sampling,
    },
  };
  try {
    await append(record);
  } catch (error) {
    return { type: 'reply-failed', conversationId, replyId, error: publicError(error) };
  }
  const error = 'error' in outcome ? publicError(outcome.error) : null;
  return { type: 'reply-end', conversationId, reply: replyView(record), error };
}
