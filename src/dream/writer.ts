// Lets the model write: a turn of a conversation, or the rest of a line; bounded in every way.
import type { Clock } from '../base/clock.ts';
import { AttuneError } from '../base/errors.ts';
import type { Engine } from '../engine/engine.ts';
import { GREEDY } from '../protocol/sampling.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Role } from './draft.ts';

export interface WriterOptions {
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  readonly clock: Clock;
  readonly budget: { readonly tokensMax: number; readonly minutesMax: number };
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

interface Asked {
  readonly tokensMax: number;
  readonly seed: number;
  /** Instead of the writer's own. */
  readonly temperature?: number;
  /** What was read under this key before is not read again; `forget` drops it. */
  readonly key?: string;
}

export interface TurnRequest extends Asked {
  readonly messages: readonly Message[];
  readonly role: 'user' | 'assistant';
}

export interface LineRequest extends Asked {
  /** Plain text, without the chat template; the model goes on from there. */
  readonly text: string;
}

export interface Written {
  /** Trimmed. */
  readonly text: string;
  /** The model ended the turn, or the line, itself. */
  readonly isEnded: boolean;
  /** Mean natural log p a token, before temperature and top p; 0 of nothing. */
  readonly logprob: number;
}

/** Why nothing more is written: a budget is used up, or the night was told to stop. */
export type WritingEnd = 'tokens' | 'minutes' | 'aborted';

/** Both give an empty text once writing has ended. @throws AttuneError from engine and tokenizer */
export interface Writer {
  turn(request: TurnRequest): Promise<Written>;
  line(request: LineRequest): Promise<Written>;
  forget(key: string): Promise<void>;
  /** Tokens that were generated. */
  readonly tokens: number;
  /** Set when a request came too late: what it was for is unfinished. */
  readonly end: WritingEnd | undefined;
}

/** The prompt up to where the turn begins. */
export function openTurn(tokenizer: Tokenizer, { messages, role }: TurnRequest): number[] {
  if (role === 'assistant') {
    return tokenizer.renderChat(messages, { addGenerationPrompt: true }).ids;
  }
  const rendered = tokenizer.renderChat([...messages, { role, content: 'x' }]);
  const place = rendered.messages.at(-1);
  if (place === undefined || !place.isWritten) {
    throw new AttuneError('template-failed', `The chat template writes no turn of ${role}.`, {
      role,
    });
  }
  return rendered.ids.slice(0, place.contentStart);
}

export function createWriter(options: WriterOptions): Writer {
  const { engine, tokenizer, clock, budget, signal } = options;
  const startedMs = clock.monotonicMs();
  const lineEnds = ['\n', '\n\n']
    .map((text) => tokenizer.encode(text))
    .flatMap(([id, ...more]) => (id === undefined || more.length > 0 ? [] : [id]));
  let tokens = 0;
  let end: WritingEnd | undefined;

  function endOf(): WritingEnd | undefined {
    if (signal?.aborted) return 'aborted';
    if (tokens >= budget.tokensMax) return 'tokens';
    const minutes = (clock.monotonicMs() - startedMs) / 60_000;
    return minutes >= budget.minutesMax ? 'minutes' : undefined;
  }

  async function write(ids: number[], asked: Asked, stopIds: readonly number[]): Promise<Written> {
    await options.turn?.();
    end ??= endOf();
    if (end !== undefined) return { text: '', isEnded: false, logprob: 0 };
    const room = options.contextTokensMax - ids.length;
    if (room < 1) {
      throw new AttuneError('window-overflow', `A dream of ${ids.length} tokens is too long.`, {
        tokens: ids.length,
        tokensMax: options.contextTokensMax,
      });
    }
    const { topP } = options;
    const temperature = asked.temperature ?? options.temperature;
    let sum = 0;
    const result = await engine.generate(
      {
        ids,
        replyTokensMax: Math.min(asked.tokensMax, room, Math.max(1, budget.tokensMax - tokens)),
        sampling: { ...GREEDY, temperature, topP, seed: asked.seed },
        stopIds,
        ...(asked.key === undefined ? {} : { cacheKey: asked.key }),
      },
      ({ logprob }) => {
        sum += logprob;
      },
      signal,
    );
    tokens += result.ids.length;
    if (result.stopReason === 'aborted') end = 'aborted';
    return {
      text: tokenizer.decode(result.ids).trim(),
      isEnded: result.stopReason === 'stop',
      logprob: sum / Math.max(1, result.ids.length),
    };
  }

  return {
    get tokens() {
      return tokens;
    },
    get end() {
      return end;
    },
    turn: (request) => write(openTurn(tokenizer, request), request, tokenizer.stopIds),
    async line(request) {
      const stopIds = [...tokenizer.stopIds, ...lineEnds];
      const written = await write(tokenizer.encodePrompt(request.text), request, stopIds);
      const [text = '', ...more] = written.text.split('\n');
      return { ...written, text: text.trim(), isEnded: written.isEnded || more.length > 0 };
    },
    forget: (key) => engine.forget(key),
  };
}
