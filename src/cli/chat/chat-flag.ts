// The questions with which a flag is added in the terminal.
import type { Span } from '../../protocol/conversation.ts';
import type { FlagDraftInput } from '../../protocol/flag.ts';

interface SaidMessage {
  readonly id: string;
  readonly text: string;
}

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

type Asking = Pick<FlagWalk, 'ask' | 'tell'>;

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

/** Each word with its number, so that words can be chosen by number. */
export function numberWords(text: string): string {
  return wordsOf(text)
    .map(({ start, end }, at) => `${at + 1}:${text.slice(start, end)}`)
    .join(' ');
}

const NUMBERS = /^(\d+)(?:\s*-\s*(\d+))?$/;

/** Reads "3-5" or "3" as word numbers, anything else as words of the text. @returns undefined where there are no such words */
export function chooseSpan(text: string, answer: string): Span | undefined {
  const numbers = NUMBERS.exec(answer.trim());
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

/** Asks until the answer names words of one of the texts. An empty answer skips the question. */
async function askSpan(
  { ask, tell }: Asking,
  question: string,
  texts: readonly SaidMessage[],
): Promise<{ readonly id: string; readonly span: Span } | null> {
  for (let tries = 0; tries < TRIES; tries++) {
    const answer = await ask(question);
    if (answer === undefined || answer.trim() === '') return null;
    for (const [at, { id, text }] of texts.entries()) {
      // Only the first is shown with its numbers.
      if (at > 0 && NUMBERS.test(answer.trim())) break;
      const span = chooseSpan(text, answer);
      if (span !== undefined) return { id, span };
    }
    tell('Not found. Type word numbers such as 3-5, or the words themselves. Enter skips.');
  }
  return null;
}

/** Stops asking after /cancel or the end of the input (Ctrl-D). */
function cancelling({ ask }: Asking): { ask: Asking['ask']; isCancelled: () => boolean } {
  let isCancelled = false;
  return {
    isCancelled: () => isCancelled,
    async ask(question) {
      if (isCancelled) return undefined;
      const answer = await ask(question);
      isCancelled = answer === undefined || answer.trim() === '/cancel';
      return isCancelled ? undefined : answer;
    },
  };
}

/** @returns the draft, or undefined where the person cancelled */
export async function walkFlag(walk: FlagWalk): Promise<FlagDraftInput | undefined> {
  const { flagId: id, conversationId, reply, messages, kind, tell } = walk;
  const { ask, isCancelled } = cancelling(walk);
  const asking = { ask, tell };
  if (messages[0] !== undefined) tell(`You:   ${numberWords(messages[0].text)}`);
  tell(`Reply: ${numberWords(reply.text)}`);
  tell('Answer with word numbers such as 3-5 or with the words; Enter skips, /cancel stops.');
  const heard = kind === 'good' ? 'heard' : 'not heard';
  const said = await askSpan(asking, `Your words that were ${heard}: `, messages);
  const userSpan = said && { messageId: said.id, span: said.span };
  const draft = { id, conversationId, replyId: reply.id, kind, userSpan };
  if (kind === 'good') return isCancelled() ? undefined : draft;
  const drifted = await askSpan(asking, 'Words of the reply that missed the point: ', [reply]);
  const betterWords = (await ask('What would a reply that listens have said? '))?.trim();
  const strength = (await ask('Strength? 1 slight, 2 clear, 3 strong [2]: '))?.trim() ?? '';
  const reason = (await ask('Reason, in a few words? '))?.trim();
  if (isCancelled()) return undefined;
  return {
    ...draft,
    replySpan: drifted?.span ?? null,
    betterWords: betterWords || null,
    reason: reason || null,
    strength: /^[123]$/.test(strength) ? Number(strength) : 2,
  };
}
