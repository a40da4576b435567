// The prompt of a reply: the talk's newest turns under the window rule, as token ids.
import { createHash } from 'node:crypto';
import { AttuneError } from '../base/errors.ts';
import type { Entry } from '../conversation/state.ts';
import { firstKeptTurn, type Turn, turnsOf } from '../conversation/window.ts';
import type { WindowView } from '../protocol/conversation.ts';
import type { Speech, SpeechMessage } from './speech.ts';

export interface PromptRequest {
  /** The talk up to and including the message to answer. */
  readonly entries: readonly Entry[];
  readonly systemPrompt: string;
  /** Kept free for the reply, as far as half the window allows. */
  readonly reserveTokens: number;
  readonly windowTokens: number;
}

export interface Prompt {
  readonly ids: readonly number[];
  readonly window: WindowView;
}

/** More characters a token than any text has: beyond it a talk cannot fit and is not tried. */
const CHARACTERS_PER_TOKEN_MAX = 16;
const COUNTS_MAX = 8192;

/** Builds prompts; remembers how many tokens each turn takes, since talks only grow at the end. */
export class PromptBuilder {
  readonly #speech: Speech;
  readonly #counts = new Map<string, number>();

  constructor(speech: Speech) {
    this.#speech = speech;
  }

  /** @throws window-overflow when the last message alone does not fit, template-failed */
  build(request: PromptRequest): Prompt {
    const { windowTokens, systemPrompt } = request;
    const turns = turnsOf(request.entries);
    const replyTokens = Math.min(request.reserveTokens, Math.floor(windowTokens / 2));
    const system = systemOf(systemPrompt);
    let first = this.#firstKept(turns, { system, replyTokens, windowTokens });
    for (;;) {
      const kept = turns.slice(first);
      const ids = this.#speech.render([...system, ...kept.flat()]);
      const isLast = first >= turns.length - 1;
      const room = isLast ? windowTokens - 1 : windowTokens - replyTokens;
      if (ids.length <= room) {
        return { ids, window: { turnsDropped: first, firstMessageId: kept[0]?.[0]?.id as string } };
      }
      if (isLast) throw overflow(ids.length, windowTokens);
      // Turns do not add up exactly in every template: one more leaves.
      first++;
    }
  }

  #firstKept(turns: readonly Turn[], { system, replyTokens, windowTokens }: KeepOptions): number {
    const characters = turns.flat().reduce((sum, { content }) => sum + content.length, 0);
    if (characters <= windowTokens * CHARACTERS_PER_TOKEN_MAX) {
      const whole = this.#speech.render([...system, ...turns.flat()]);
      // When everything fits now, it fitted at every turn before.
      if (whole.length + replyTokens <= windowTokens) return 0;
    }
    const fixedTokens = this.#count(system, []);
    const turnTokens = turns.map((turn) => this.#count(system, turn) - fixedTokens);
    return firstKeptTurn(turnTokens, { windowTokens, replyTokens, fixedTokens });
  }

  /** Tokens of a prompt with this one turn before an empty message. */
  #count(system: readonly SpeechMessage[], turn: Turn): number {
    const messages = [...system, ...turn];
    const key = createHash('sha1').update(JSON.stringify(messages)).digest('base64');
    const known = this.#counts.get(key);
    if (known !== undefined) return known;
    const isAnswered = turn.length === 0 || turn.at(-1)?.role === 'assistant';
    const next: SpeechMessage[] = isAnswered ? [{ role: 'user', content: '' }] : [];
    const count = this.#speech.render([...messages, ...next]).length;
    if (this.#counts.size >= COUNTS_MAX) this.#counts.clear();
    this.#counts.set(key, count);
    return count;
  }
}

interface KeepOptions {
  readonly system: readonly SpeechMessage[];
  readonly replyTokens: number;
  readonly windowTokens: number;
}

function systemOf(systemPrompt: string): SpeechMessage[] {
  return systemPrompt === '' ? [] : [{ role: 'system', content: systemPrompt }];
}

function overflow(tokens: number, windowTokens: number): AttuneError {
  return new AttuneError(
    'window-overflow',
    `This message takes ${tokens} tokens with its surroundings; the model's window holds ` +
      `${windowTokens}. Say it in fewer words, or in several messages.`,
    { tokens, windowTokens },
  );
}
