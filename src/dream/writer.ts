// Lets the model write: a turn of either side, or a few words inside one; bounded in every way.
import type { Clock } from '../base/clock.ts';
import { AttuneError } from '../base/errors.ts';
import type { Engine } from '../engine/engine.ts';
import { GREEDY } from '../protocol/sampling.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Role } from './draft.ts';

export interface DreamBudget {
  readonly tokensMax: number;
  readonly minutesMax: number;
}

export interface WriterOptions {
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  readonly clock: Clock;
  readonly budget: DreamBudget;
  readonly temperature: number;
  readonly topP: number;
  /** Prompt and what is written together. */
  readonly contextTokensMax: number;
  readonly signal?: AbortSignal;
  /** Awaited before each request to the model. */
  readonly turn?: () => Promise<void>;
}

export interface Message {
  readonly role: Role;
  readonly content: string;
}

export interface WriteRequest {
  readonly messages: readonly Message[];
  readonly role: 'user' | 'assistant';
  /** The turn begins with this; the model goes on from there. */
  readonly prefix?: string;
  readonly tokensMax: number;
  readonly seed: number;
  /** Default: the writer's. */
  readonly temperature?: number;
}

export interface Written {
  /** Without the prefix, trimmed. */
  readonly text: string;
  /** The model ended the turn itself. */
  readonly isEnded: boolean;
}

/** Why nothing more is written: a budget is used up, or the night was told to stop. */
export type WritingEnd = 'tokens' | 'minutes' | 'aborted';

export interface TurnWriter {
  /**
   * Gives an empty text once writing has ended.
   * @throws AttuneError from engine and tokenizer
   */
  write(request: WriteRequest): Promise<Written>;
}

export interface Writer extends TurnWriter {
  /**
   * The same writer for one dream: what it has read of the dream's conversation is kept from one
   * piece to the next, until `close`.
   */
  forDream(id: string): DreamWriter;
  readonly tokens: number;
}

export interface DreamWriter extends TurnWriter {
  /** Set when a request of this dream came too late: it is unfinished, and is to be dropped. */
  readonly end: WritingEnd | undefined;
  close(): Promise<void>;
}

const NOTHING: Written = { text: '', isEnded: false };

/** The prompt up to where the turn goes on: of a fresh turn its header, else its first words too. */
export function openTurn(tokenizer: Tokenizer, request: WriteRequest): number[] {
  const { messages, role, prefix = '' } = request;
  if (prefix === '' && role === 'assistant') {
    return tokenizer.renderChat(messages, { addGenerationPrompt: true }).ids;
  }
  const content = prefix === '' ? 'x' : prefix;
  const rendered = tokenizer.renderChat([...messages, { role, content }]);
  const place = rendered.messages.at(-1);
  if (place === undefined || !place.isWritten) {
    throw new AttuneError('template-failed', `The chat template writes no turn of ${role}.`, {
      role,
    });
  }
  return rendered.ids.slice(0, prefix === '' ? place.contentStart : place.contentEnd);
}

export function createWriter(options: WriterOptions): Writer {
  const { engine, tokenizer, clock, budget, signal } = options;
  const startedMs = clock.monotonicMs();
  let tokens = 0;

  function endOf(): WritingEnd | undefined {
    if (signal?.aborted) return 'aborted';
    if (tokens >= budget.tokensMax) return 'tokens';
    const minutes = (clock.monotonicMs() - startedMs) / 60_000;
    return minutes >= budget.minutesMax ? 'minutes' : undefined;
  }

  async function write(request: WriteRequest, cacheKey?: string): Promise<Written | WritingEnd> {
    await options.turn?.();
    const end = endOf();
    if (end !== undefined) return end;
    const ids = openTurn(tokenizer, request);
    const room = options.contextTokensMax - ids.length;
    if (room < 1) {
      throw new AttuneError('window-overflow', `A dream of ${ids.length} tokens is too long.`, {
        tokens: ids.length,
        tokensMax: options.contextTokensMax,
      });
    }
    const result = await engine.generate(
      {
        ids,
        replyTokensMax: Math.min(request.tokensMax, room, Math.max(1, budget.tokensMax - tokens)),
        sampling: {
          ...GREEDY,
          temperature: request.temperature ?? options.temperature,
          topP: options.topP,
          seed: request.seed,
        },
        stopIds: tokenizer.stopIds,
        ...(cacheKey === undefined ? {} : { cacheKey }),
      },
      () => undefined,
      signal,
    );
    tokens += result.ids.length;
    if (result.stopReason === 'aborted') return 'aborted';
    return { text: tokenizer.decode(result.ids).trim(), isEnded: result.stopReason === 'stop' };
  }

  return {
    get tokens() {
      return tokens;
    },
    async write(request) {
      const written = await write(request);
      return typeof written === 'string' ? NOTHING : written;
    },
    forDream(id) {
      const keys = new Set<string>();
      let end: WritingEnd | undefined;
      return {
        get end() {
          return end;
        },
        async write(request) {
          if (end !== undefined) return NOTHING;
          // Guidance stands first: with and without it are two conversations.
          const key = `${id}:${request.messages[0]?.content ?? ''}`;
          keys.add(key);
          const written = await write(request, key);
          if (typeof written !== 'string') return written;
          end = written;
          return NOTHING;
        },
        async close() {
          for (const key of keys) await engine.forget(key);
        },
      };
    },
  };
}
