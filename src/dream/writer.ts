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

export interface Writer {
  /**
   * The same writer for one dream: what it has read of the dream's talk is kept from one piece to
   * the next, until `end`.
   */
  forDream(id: string): Writer & { end(): Promise<void> };
  /** @throws DreamsEnded, AttuneError from engine and tokenizer */
  write(request: WriteRequest): Promise<Written>;
  readonly tokens: number;
  /** Throws when nothing more may be written. */
  check(): void;
}

/** A budget is used up, or the night was told to stop. Not a fault: what was written stays. */
export class DreamsEnded extends Error {
  readonly why: 'tokens' | 'minutes' | 'aborted';

  constructor(why: DreamsEnded['why']) {
    super(`dreams ended: ${why}`);
    this.why = why;
  }
}

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

  function check(): void {
    if (signal?.aborted) throw new DreamsEnded('aborted');
    if (tokens >= budget.tokensMax) throw new DreamsEnded('tokens');
    if (clock.monotonicMs() - startedMs >= budget.minutesMax * 60_000) {
      throw new DreamsEnded('minutes');
    }
  }

  async function write(request: WriteRequest, cacheKey?: string): Promise<Written> {
    await options.turn?.();
    check();
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
    if (result.stopReason === 'aborted') throw new DreamsEnded('aborted');
    return { text: tokenizer.decode(result.ids).trim(), isEnded: result.stopReason === 'stop' };
  }

  return {
    get tokens() {
      return tokens;
    },
    check,
    write: (request) => write(request),
    forDream(id) {
      const keys = new Set<string>();
      return {
        ...this,
        get tokens() {
          return tokens;
        },
        write(request) {
          // Guidance stands first: with and without it are two talks.
          const key = `${id}:${request.messages[0]?.content ?? ''}`;
          keys.add(key);
          return write(request, key);
        },
        async end() {
          for (const key of keys) await engine.forget(key);
        },
      };
    },
  };
}
