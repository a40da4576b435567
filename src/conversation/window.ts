// Which part of a long talk the model sees: the one rule, shared by live chat and training.
import type { Entry } from './state.ts';

/**
 * After an overflow the kept turns may fill this share of the room at most, so that several turns
 * pass before the next cut and each of them prefills only its new tokens.
 */
export const KEEP_SHARE = 0.75;

export interface WindowBudget {
  /** Tokens the window holds, prompt and reply together. */
  readonly windowTokens: number;
  /** Kept free for the reply. */
  readonly replyTokens: number;
  /** Tokens that are always there: begin marker, system prompt, the start of the reply. */
  readonly fixedTokens: number;
}

/**
 * The index of the oldest turn that stays in the prompt. The oldest whole turns leave first; the
 * last turn always stays, even when it alone does not fit (the caller refuses it then).
 *
 * The talk is replayed turn by turn: at each overflow turns leave until the rest fills at most
 * `KEEP_SHARE` of the room. So the answer depends on the talk alone, not on what was asked before,
 * and the same talk gives the same prompt live and in training.
 *
 * @param turnTokens tokens of each turn, oldest first, as they stand in the prompt
 */
export function firstKeptTurn(turnTokens: readonly number[], budget: WindowBudget): number {
  const room = roomOf(budget);
  let first = 0;
  let kept = 0;
  for (const [turn, tokens] of turnTokens.entries()) {
    kept += tokens;
    if (kept <= room) continue;
    while (first < turn && kept > room * KEEP_SHARE) {
      kept -= turnTokens[first] as number;
      first++;
    }
  }
  return first;
}

/** Turns that are counted first, the newest; while they do not decide, twice as many. */
const LOOK_BACK_TURNS = 64;

/**
 * The turn that `firstKeptTurn` finds, without counting more of a long talk than decides it.
 *
 * Where the window began before the counted turns is not known. So every turn at which it can have
 * begun is followed to the end of the talk: where all of them arrive at the same turn, nothing
 * earlier makes a difference. Where they do not (turns of equal length), all turns are counted.
 * Source: coupling from the past (Propp and Wilson 1996).
 *
 * @param countTurns tokens of the turns `[from, to)`, oldest first; asked once for each turn
 */
export function firstKeptTurnFromEnd(
  turns: number,
  countTurns: (from: number, to: number) => readonly number[],
  budget: WindowBudget,
): number {
  let counted: readonly number[] = [];
  for (let wanted = LOOK_BACK_TURNS; wanted < turns; wanted *= 2) {
    const known = turns - counted.length;
    counted = [...countTurns(turns - wanted, known), ...counted];
    const first = firstOfEveryPast(counted, roomOf(budget));
    if (first !== undefined) return turns - wanted + first;
  }
  return firstKeptTurn([...countTurns(0, turns - counted.length), ...counted], budget);
}

/** The index of the first kept turn whatever came before these turns; undefined: it depends. */
function firstOfEveryPast(turnTokens: readonly number[], room: number): number | undefined {
  const before = [0];
  for (const tokens of turnTokens) before.push((before.at(-1) as number) + tokens);
  const kept = (first: number, turn: number): number =>
    (before[turn + 1] as number) - (before[first] as number);
  const start = turnTokens.findIndex((_, turn) => kept(0, turn) > room);
  if (start === -1) return undefined;
  let firsts = new Set([start]);
  for (let first = start - 1; first >= 0 && kept(first, start) <= room; first--) firsts.add(first);
  for (let turn = start + 1; turn < turnTokens.length; turn++) {
    const staying = [...firsts].filter((first) => kept(first, turn) <= room);
    if (staying.length < firsts.size) {
      let first = Math.min(...firsts);
      while (first < turn && kept(first, turn) > room * KEEP_SHARE) first++;
      staying.push(first);
    }
    firsts = new Set(staying);
  }
  const [first] = firsts;
  return firsts.size === 1 ? first : undefined;
}

function roomOf({ windowTokens, replyTokens, fixedTokens }: WindowBudget): number {
  return windowTokens - replyTokens - fixedTokens;
}

export interface PromptMessage {
  readonly role: 'user' | 'assistant';
  readonly content: string;
  /** The oldest log entry in it. */
  readonly id: string;
  /** What the model really said, where the content is exactly that. */
  readonly ids?: readonly number[];
}

/** A user's words and what was answered to them; the last turn of a prompt has no answer yet. */
export type Turn = readonly PromptMessage[];

/**
 * The turns of a talk as the model is to see them: superseded replies are left out, messages that
 * got no answer are joined with the next (chat templates want the roles to alternate), a reply at
 * the very beginning is a turn of its own.
 */
export function turnsOf(entries: readonly Entry[]): Turn[] {
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
      turns.push([promptMessage(entry)]);
    } else {
      turn.push(promptMessage(entry));
    }
  }
  return turns;
}

function promptMessage(entry: Entry): PromptMessage {
  const { id, text: content } = entry;
  if (entry.type === 'message') return { role: 'user', content, id };
  const hasIds = entry.ids.length > 0 && !entry.isCut;
  return { role: 'assistant', content, id, ...(hasIds ? { ids: entry.ids } : {}) };
}

/** The entries up to and including a user message: what the model saw when it answered it. */
export function entriesUpTo(entries: readonly Entry[], messageId: string): Entry[] {
  const at = entries.findIndex((entry) => entry.id === messageId);
  return at === -1 ? [] : entries.slice(0, at + 1);
}
