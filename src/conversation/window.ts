// Which part of a long conversation the model sees: the one rule, shared by live chat and training.
import type { ToolCall } from '../tokenizer/rendered-chat.ts';
import { THOUGHT_END, THOUGHT_START } from '../tokenizer/thought.ts';
import type { Entry } from './state.ts';

/** Where old turns leave, the others fill at least this share of the room, if the next one does. */
export const KEEP_SHARE = 0.6;

/** A text of more characters a token of the window is not rendered: nothing that people write is. */
export const CHARACTERS_PER_TOKEN_MAX = 16;

export interface WindowBudget {
  /** Tokens the window holds, prompt and reply together. */
  readonly windowTokens: number;
  /** Kept free for the reply. */
  readonly replyTokens: number;
  /** Tokens that are always there: begin marker, system prompt, the start of the reply. */
  readonly fixedTokens: number;
}

/**
 * The number of the oldest turn that stays in the prompt, counted from the conversation's start.
 *
 * All turns stay while they fit. Then the window begins, among the turns at which it can begin (all
 * from there on fit, and fill at least `KEEP_SHARE` of the room), at the one whose number a higher
 * power of two divides than any other's. That turn stays the first until it no longer fits, so that
 * the turns in between prefill only their new tokens. The start never moves back, and it depends on
 * the newest turns alone: the same conversation gives the same prompt live and in training.
 *
 * The last turn always stays, even when it alone does not fit (the caller refuses it then).
 *
 * @param turnTokens tokens of the newest turns, oldest first; all of them, or more than fit
 * @param olderTurns number of turns before these
 */
export function firstKeptTurn(
  turnTokens: readonly number[],
  { windowTokens, replyTokens, fixedTokens }: WindowBudget,
  olderTurns = 0,
): number {
  const room = windowTokens - replyTokens - fixedTokens;
  const last = Math.max(0, turnTokens.length - 1);
  let oldest = last;
  let kept = turnTokens[last] ?? 0;
  while (oldest > 0 && kept + (turnTokens[oldest - 1] as number) <= room) {
    oldest--;
    kept += turnTokens[oldest] as number;
  }
  if (olderTurns + oldest === 0) return 0;
  let first = oldest;
  for (let turn = oldest; turn <= last && kept >= room * KEEP_SHARE; turn++) {
    if (evenness(olderTurns + turn) > evenness(olderTurns + first)) first = turn;
    kept -= turnTokens[turn] as number;
  }
  return olderTurns + first;
}

/** The highest power of two that divides a number above 0. */
function evenness(turn: number): number {
  return turn & -turn;
}

export interface PromptMessage {
  readonly role: 'user' | 'assistant' | 'tool';
  readonly content: string;
  /** The oldest log entry in it. */
  readonly id: string;
  /** What the model really said, where the content is exactly that. */
  readonly ids?: readonly number[];
  readonly toolCalls?: readonly ToolCall[];
  readonly toolCallId?: string;
}

/** A user's words and what was answered to them; the last turn of a prompt has no answer yet. */
export type Turn = readonly PromptMessage[];

/**
 * Turns of a conversation as the model sees them. Superseded replies are left out, messages that
 * got no answer are joined with the next (chat templates want the roles to alternate), and a reply
 * at the very beginning is a turn of its own.
 * @param withThoughts replies as the model wrote them, thoughts first; else what was said
 */
export function turnsOf(
  entries: readonly Entry[],
  { withThoughts = false }: { readonly withThoughts?: boolean } = {},
): Turn[] {
  const turns: PromptMessage[][] = [];
  for (const entry of entries) {
    if (entry.type === 'reply' && (entry.isSuperseded || entry.text === '')) continue;
    const role = entry.type === 'message' ? 'user' : 'assistant';
    const turn = turns.at(-1);
    const last = turn?.at(-1);
    if (turn !== undefined && last?.role === role) {
      const { ids: _ids, ...first } = last;
      turn[turn.length - 1] = { ...first, content: `${last.content}\n\n${entry.text}` };
    } else if (turn === undefined || role === 'user') {
      turns.push([promptMessage(entry, withThoughts)]);
    } else {
      turn.push(promptMessage(entry, withThoughts));
    }
  }
  return turns;
}

function promptMessage(entry: Entry, withThoughts: boolean): PromptMessage {
  const { id, text: content } = entry;
  if (entry.type === 'message') return { role: 'user', content, id };
  if (entry.thought !== undefined) {
    const thought = `${THOUGHT_START}\n${entry.thought.trim()}\n${THOUGHT_END}\n\n`;
    return { role: 'assistant', content: withThoughts ? thought + content : content, id };
  }
  const hasIds = entry.ids.length > 0 && !entry.isCut;
  return { role: 'assistant', content, id, ...(hasIds ? { ids: entry.ids } : {}) };
}

/** The entries up to and including a user message: what the model saw when it answered it. */
export function entriesUpTo(entries: readonly Entry[], messageId: string): Entry[] {
  const at = entries.findIndex((entry) => entry.id === messageId);
  return at === -1 ? [] : entries.slice(0, at + 1);
}
