// The prompt of a reply: the talk's newest turns under the window rule, as token ids.
import { createHash } from 'node:crypto';
import { AttuneError } from '../base/errors.ts';
import type { Entry } from '../conversation/state.ts';
import { firstKeptTurnFromEnd, type Turn, turnsOf } from '../conversation/window.ts';
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
const COUNTS_MAX = 65_536;
const COUNTED_AT_ONCE = 64;
const WORD: SpeechMessage = { role: 'user', content: '.' };
const ANSWER: SpeechMessage = { role: 'assistant', content: '.' };

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
    const whole = this.#whole(turns, { system, replyTokens, windowTokens });
    if (whole !== undefined) return promptOf(turns, 0, whole);
    let first = this.#firstKept(turns, { system, replyTokens, windowTokens });
    for (;;) {
      const ids = this.#speech.render([...system, ...turns.slice(first).flat()]);
      const isLast = first >= turns.length - 1;
      const room = isLast ? windowTokens - 1 : windowTokens - replyTokens;
      if (ids.length <= room) return promptOf(turns, first, ids);
      if (isLast) throw overflow(ids.length, windowTokens);
      // Turns do not add up exactly in every template: one more leaves.
      first++;
    }
  }

  /** All of it, when everything fits now: then it fitted at every turn before. */
  #whole(
    turns: readonly Turn[],
    { system, replyTokens, windowTokens }: KeepOptions,
  ): readonly number[] | undefined {
    const characters = turns.flat().reduce((sum, { content }) => sum + content.length, 0);
    if (characters > windowTokens * CHARACTERS_PER_TOKEN_MAX) return undefined;
    const ids = this.#speech.render([...system, ...turns.flat()]);
    return ids.length + replyTokens <= windowTokens ? ids : undefined;
  }

  #firstKept(turns: readonly Turn[], { system, replyTokens, windowTokens }: KeepOptions): number {
    const probe = [...system, WORD];
    const fixedTokens =
      this.#speech.render(probe).length - (this.#speech.messageTokens(probe).at(-1) as number);
    const count = (from: number, to: number): number[] => this.#turnTokens(turns.slice(from, to));
    const budget = { windowTokens, replyTokens, fixedTokens };
    return firstKeptTurnFromEnd(turns.length, count, budget);
  }

  /** Tokens of each turn; those that were not counted before are counted many at a time. */
  #turnTokens(turns: readonly Turn[]): number[] {
    const keys = turns.map((turn) =>
      createHash('sha1').update(JSON.stringify(turn)).digest('base64'),
    );
    const counts = keys.map((key) => this.#counts.get(key));
    for (let from = 0; from < turns.length; ) {
      if (counts[from] !== undefined) {
        from++;
        continue;
      }
      let to = from + 1;
      while (to < turns.length && to - from < COUNTED_AT_ONCE && counts[to] === undefined) to++;
      for (const [i, count] of this.#count(turns.slice(from, to)).entries()) {
        counts[from + i] = count;
        this.#note(keys[from + i] as string, count);
      }
      from = to;
    }
    return counts as number[];
  }

  #count(turns: readonly Turn[]): number[] {
    const isAnswerFirst = turns[0]?.[0]?.role === 'assistant';
    // What stands at the beginning of every prompt is no turn's, and an answer before the last
    // message may be written otherwise than the last: so there is a word on either side.
    const before: SpeechMessage[] = isAnswerFirst ? [WORD] : [WORD, ANSWER];
    const after = turns.at(-1)?.at(-1)?.role === 'assistant' ? [WORD] : [];
    const messages = [...before, ...turns.flat(), ...after];
    const tokens = this.#speech.messageTokens(messages);
    let at = before.length;
    return turns.map((turn) => {
      const own = tokens.slice(at, at + turn.length);
      at += turn.length;
      return own.reduce((sum, each) => sum + each, 0);
    });
  }

  #note(key: string, count: number): void {
    if (this.#counts.size >= COUNTS_MAX) this.#counts.clear();
    this.#counts.set(key, count);
  }
}

function promptOf(turns: readonly Turn[], first: number, ids: readonly number[]): Prompt {
  return { ids, window: { turnsDropped: first, firstMessageId: turns[first]?.[0]?.id as string } };
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
