// The walk through a flag in a few keys: questions and answers; asks and tells through functions.
import type { Span } from '../protocol/conversation.ts';
import type { FlagDraftInput } from '../protocol/flag.ts';
import type { SaidMessage } from './chat-view.ts';

export interface FlagWalk {
  readonly kind: 'missed' | 'good';
  readonly flagId: string;
  readonly conversationId: string;
  readonly reply: { readonly id: string; readonly text: string };
  /** What the person said up to this reply, newest first. */
  readonly messages: readonly SaidMessage[];
  /** The next line, or undefined at the end of the input. */
  readonly ask: (question: string) => Promise<string | undefined>;
  readonly tell: (text: string) => void;
}

interface Word {
  readonly start: number;
  readonly end: number;
}

function wordsOf(text: string): Word[] {
  return [...text.matchAll(/\S+/g)].map(({ index, 0: word }) => ({
    start: index,
    end: index + word.length,
  }));
}

function spanOf(text: string, start: number, end: number): Span {
  return { start, end, text: text.slice(start, end) };
}

/** Every word with its number, for choosing by number. */
export function numberWords(text: string): string {
  return wordsOf(text)
    .map(({ start, end }, at) => `${at + 1}:${text.slice(start, end)}`)
    .join(' ');
}

/** "3-5" or "3" (word numbers), or words as they stand in the text; undefined: neither. */
export function chooseSpan(text: string, answer: string): Span | undefined {
  const numbers = /^(\d+)(?:\s*-\s*(\d+))?$/.exec(answer.trim());
  if (numbers !== null) {
    const words = wordsOf(text);
    const first = words[Number(numbers[1]) - 1];
    const last = words[Number(numbers[2] ?? numbers[1]) - 1];
    if (first === undefined || last === undefined || last.end < first.end) return undefined;
    return spanOf(text, first.start, last.end);
  }
  const wanted = answer.trim();
  if (wanted === '') return undefined;
  const exact = text.indexOf(wanted);
  if (exact !== -1) return spanOf(text, exact, exact + wanted.length);
  const pattern = wanted.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&').replace(/\s+/g, '\\s+');
  const found = new RegExp(pattern, 'iu').exec(text);
  if (found === null) return undefined;
  return spanOf(text, found.index, found.index + found[0].length);
}

const TRIES = 3;

/** Asks until the answer names words of one of the texts; an empty answer skips. */
async function askSpan(
  { ask, tell }: FlagWalk,
  question: string,
  texts: readonly SaidMessage[],
): Promise<{ readonly id: string; readonly span: Span } | null> {
  for (let tries = 0; tries < TRIES; tries++) {
    const answer = await ask(question);
    if (answer === undefined || answer.trim() === '') return null;
    for (const { id, text } of texts) {
      const span = chooseSpan(text, answer);
      if (span !== undefined) return { id, span };
    }
    tell('These words are not there; give word numbers such as 3-5, or the words. Enter skips.');
  }
  return null;
}

/** The draft as the person made it, or undefined when it was given up (/cancel). */
export async function walkFlag(walk: FlagWalk): Promise<FlagDraftInput | undefined> {
  const { ask, tell, reply, messages, kind } = walk;
  let isCancelled = false;
  const asking: FlagWalk = {
    ...walk,
    ask: async (question) => {
      if (isCancelled) return undefined;
      const answer = await ask(question);
      isCancelled = answer?.trim() === '/cancel';
      return isCancelled ? undefined : answer;
    },
  };
  const draft = {
    id: walk.flagId,
    conversationId: walk.conversationId,
    replyId: reply.id,
    kind,
  } as const;
  const last = messages[0];
  if (last !== undefined) tell(`You:   ${numberWords(last.text)}`);
  tell(`Reply: ${numberWords(reply.text)}`);
  tell('Enter skips a question, /cancel gives up.');
  const heard = kind === 'good' ? 'heard' : 'not heard';
  const userSpan = await askSpan(asking, `Your words that were ${heard}: `, messages);
  if (kind === 'good') {
    return isCancelled ? undefined : { ...draft, ...(userSpan ? userSpanOf(userSpan) : {}) };
  }
  const drifted = await askSpan(asking, 'Words of the reply that drifted: ', [reply]);
  const betterWords = (await asking.ask('What would have listened? '))?.trim();
  const strength = await asking.ask('How much? 1 slight, 2 clear, 3 it hurt [2]: ');
  const reason = (await asking.ask('Why, in a word? '))?.trim();
  if (isCancelled) return undefined;
  return {
    ...draft,
    ...(userSpan ? userSpanOf(userSpan) : {}),
    ...(drifted ? { replySpan: drifted.span } : {}),
    ...(betterWords ? { betterWords } : {}),
    ...(reason ? { reason } : {}),
    strength: /^[123]$/.test(strength?.trim() ?? '') ? Number(strength) : 2,
  };
}

function userSpanOf({ id, span }: { readonly id: string; readonly span: Span }) {
  return { userSpan: { messageId: id, span } };
}
