// The questions with which a flag is added or edited in the terminal.
import type { Span } from '../../protocol/conversation.ts';
import type { Flag, FlagDraftInput, FlagPatch } from '../../protocol/flag.ts';

interface SaidMessage {
  readonly id: string;
  readonly text: string;
}

export interface Walk {
  readonly conversationId: string;
  readonly reply: { readonly id: string; readonly text: string };
  /** What the person said up to this reply, newest first. */
  readonly messages: readonly SaidMessage[];
  /** The next line, or undefined at the end of the input. */
  readonly ask: (question: string) => Promise<string | undefined>;
  readonly tell: (text: string) => void;
}

export interface FlagWalk extends Walk {
  readonly kind: 'missed' | 'good';
  readonly flagId: string;
}

export interface EditWalk extends Walk {
  readonly flag: Flag;
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
  { ask, tell }: Pick<Walk, 'ask' | 'tell'>,
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
function cancelling({ ask }: Walk): { ask: Walk['ask']; isCancelled: () => boolean } {
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

/** Both texts with their words numbered. */
function tellWords({ tell, messages, reply }: Walk): void {
  const last = messages[0];
  if (last !== undefined) tell(`You:   ${numberWords(last.text)}`);
  tell(`Reply: ${numberWords(reply.text)}`);
}

/** @returns the draft, or undefined where the person cancelled */
export async function walkFlag(walk: FlagWalk): Promise<FlagDraftInput | undefined> {
  const { tell, reply, messages, kind } = walk;
  const { ask, isCancelled } = cancelling(walk);
  const asking = { ask, tell };
  const draft = {
    id: walk.flagId,
    conversationId: walk.conversationId,
    replyId: reply.id,
    kind,
  } as const;
  tellWords(walk);
  tell('Answer with word numbers such as 3-5 or with the words; Enter skips, /cancel stops.');
  const heard = kind === 'good' ? 'heard' : 'not heard';
  const userSpan = await askSpan(asking, `Your words that were ${heard}: `, messages);
  if (kind === 'good') {
    return isCancelled() ? undefined : { ...draft, ...(userSpan ? userSpanOf(userSpan) : {}) };
  }
  const drifted = await askSpan(asking, 'Words of the reply that missed the point: ', [reply]);
  const betterWords = (await ask('What would a reply that listens have said? '))?.trim();
  const strength = await ask('Strength? 1 slight, 2 clear, 3 strong [2]: ');
  const reason = (await ask('Reason, in a few words? '))?.trim();
  if (isCancelled()) return undefined;
  return {
    ...draft,
    ...(userSpan ? userSpanOf(userSpan) : {}),
    ...(drifted ? { replySpan: drifted.span } : {}),
    ...(betterWords ? { betterWords } : {}),
    ...(reason ? { reason } : {}),
    strength: strengthOf(strength) ?? 2,
  };
}

/** @returns the changes, or undefined where nothing was changed or the person cancelled */
export async function walkEdit(walk: EditWalk): Promise<FlagPatch | undefined> {
  const { tell, flag, reply, messages } = walk;
  const { ask, isCancelled } = cancelling(walk);
  const asking = { ask, tell };
  tellWords(walk);
  tell('Enter keeps a value, - clears it, /cancel changes nothing.');
  const now = (value: string | null | undefined): string =>
    value ? ` [${value.replace(/\s+/g, ' ')}]: ` : ': ';
  const patch: { -readonly [Key in keyof FlagPatch]: FlagPatch[Key] } = {};
  const said = await askChange(asking, `Your words${now(flag.userSpan?.span.text)}`, messages);
  if (said !== undefined) patch.userSpan = said && userSpanOf(said).userSpan;
  const heard = await askChange(asking, `Words of the reply${now(flag.replySpan?.text)}`, [reply]);
  if (heard !== undefined) patch.replySpan = heard === null ? null : heard.span;
  if (flag.kind === 'missed') {
    const better = await ask(`A reply that listens${now(flag.betterWords)}`);
    if (better?.trim()) patch.betterWords = emptied(better);
  }
  const strength = strengthOf(await ask(`Strength? 1, 2 or 3 [${flag.strength}]: `));
  if (strength !== undefined) patch.strength = strength;
  const reason = await ask(`Reason${now(flag.reason)}`);
  if (reason?.trim()) patch.reason = emptied(reason);
  return isCancelled() || Object.keys(patch).length === 0 ? undefined : patch;
}

/** @returns undefined to keep the words, null to clear them */
async function askChange(
  asking: Pick<Walk, 'ask' | 'tell'>,
  question: string,
  texts: readonly SaidMessage[],
): Promise<Awaited<ReturnType<typeof askSpan>> | undefined> {
  let isEmptied = false;
  const ask: Walk['ask'] = async (text) => {
    const answer = await asking.ask(text);
    isEmptied = answer?.trim() === '-';
    return isEmptied ? '' : answer;
  };
  const found = await askSpan({ ...asking, ask }, question, texts);
  return found ?? (isEmptied ? null : undefined);
}

const emptied = (answer: string): string | null => (answer.trim() === '-' ? null : answer.trim());

function strengthOf(answer: string | undefined): number | undefined {
  return /^[123]$/.test(answer?.trim() ?? '') ? Number(answer) : undefined;
}

function userSpanOf({ id, span }: { readonly id: string; readonly span: Span }) {
  return { userSpan: { messageId: id, span } };
}
