// Says of a free reply, by fixed rules, what it does in its scene; no model is asked. How far it
// agrees with labels set by reading is in suites/listen/README.md.
import { phrases } from '../scenario/phrases.ts';
import { contentWords, hasPhrase, sentencesOf, wordsOf } from '../scenario/words.ts';
import { mentionsOf } from './generate.ts';
import type { Act, Scene } from './scene.ts';
import type { Thing } from './suite.ts';

export interface ReplyVerdict {
  /** Does what the scene asks for. */
  readonly isRight: boolean;
  /** Does what the twin would ask for: goes on with the other thing, agrees, cheers, makes it up. */
  readonly isWrong: boolean;
  /** Says something on the last question beyond the words of the conversation. */
  readonly isAnswer: boolean;
  /** Share of its runs of four words that stand in the conversation. */
  readonly copied: number;
  readonly words: number;
}

/** Fewer words of its own are no answer. */
const OWN_WORDS_MIN = 3;
const RUN_WORDS = 4;
/** A sentence of which as much stands in the conversation only repeats it. */
const COPIED_MAX = 0.5;
/** Sentences that put an answer off. */
const EVADES =
  /^(?:sorry|i(?:'m| am) (?:sorry|not sure|glad|here)|you(?:'re| are) (?:right|welcome)|i (?:can't|cannot|don't))\b/i;
const COUNTED = /\bhow (?:much|many|long|often|far)\b|\bcosts?\b/i;

const emptyWords = new Set(contentWords(phrases.emptyWords.join(' ')).map((word) => word.text));
const NEGATED =
  /\b(?:instead of|rather than|not|without|avoid|no|than|over|unlike|against|don't|forget)\s+(?:\w+\s+){0,2}$/;

export function checkListening(scene: Scene, reply: string): ReplyVerdict {
  const words = wordsOf(reply).map(({ text }) => text);
  const isAnswer = !isLooping(words) && answers(scene, reply);
  const about = { isAnswer, copied: copiedShare(scene, words), words: words.length };
  const does = (act: Act): boolean => ACTS[act](scene, reply, isAnswer);
  switch (scene.act) {
    case 'carry-out':
      return { ...about, isRight: does('carry-out'), isWrong: isAboutOther(scene, reply) };
    case 'object':
      return { ...about, isRight: does('object'), isWrong: !does('object') && isAnswer };
    case 'ask':
      return { ...about, isRight: does('ask'), isWrong: !does('ask') && namesAny(scene, reply) };
    case 'condole':
      return { ...about, isRight: does('condole'), isWrong: tone(reply) === 'glad' };
    case 'congratulate':
      return { ...about, isRight: does('congratulate'), isWrong: tone(reply) === 'sorry' };
  }
}

const ACTS: Readonly<Record<Act, (scene: Scene, reply: string, isAnswer: boolean) => boolean>> = {
  'carry-out': (scene, reply, isAnswer) =>
    isAnswer && leads(scene.right, scene.other, reply) && !objects(scene, reply),
  object: objects,
  ask: asks,
  condole: (_, reply) => tone(reply) === 'sorry',
  congratulate: (_, reply) => tone(reply) === 'glad',
};

function isAboutOther({ right, other }: Scene, reply: string): boolean {
  return leads(other, right, reply);
}

const namesAny = ({ right, other }: Scene, reply: string): boolean =>
  [right, other].some(({ key }) => mentionsOf(reply, key).length > 0);

/** Whether a reply is about a thing: named, not only turned down, and before the other one. */
function leads(thing: Thing, other: Thing, reply: string): boolean {
  const [own, rival] = [affirmed(thing, reply), affirmed(other, reply)];
  return own.length > 0 && (rival.length === 0 || (own[0] as number) < (rival[0] as number));
}

/** Places at which a thing is named without being turned down. */
function affirmed({ key }: Thing, reply: string): number[] {
  const words = wordsOf(reply);
  return mentionsOf(reply, key).filter((at) => {
    const before = words
      .slice(Math.max(0, at - 4), at)
      .map(({ text }) => text)
      .join(' ');
    return !NEGATED.test(`${before} `);
  });
}

/**
 * Takes up a word of the last question and adds to it, gives a number where one was asked for, or
 * says enough that the conversation has not and not any question would fit.
 */
function answers(scene: Scene, reply: string): boolean {
  const { messages } = scene;
  const last = messages.at(-1)?.content ?? '';
  const question = sentencesOf(last).at(-1) ?? '';
  const said = stemsOf(messages.map(({ content }) => content).join(' '));
  const isCopied = (text: string): boolean =>
    copiedShare(
      scene,
      wordsOf(text).map(({ text: word }) => word),
    ) >= COPIED_MAX;
  const told = sentencesOf(reply).filter(
    (text) => !text.endsWith('?') && !EVADES.test(text) && !isCopied(text),
  );
  const beyond = (text: string, known: ReadonlySet<string>): string[] =>
    [...stemsOf(text)].filter((stem) => !known.has(stem) && !emptyWords.has(stem));
  const takesUp = (text: string): boolean =>
    [...stemsOf(question)].some((stem) => stemsOf(text).has(stem)) &&
    beyond(text, stemsOf(last)).length > 0;
  const own = new Set(told.flatMap((text) => beyond(text, said)));
  const counts = COUNTED.test(question) && told.some((text) => /\d/.test(text));
  return told.some(takesUp) || counts || own.size >= OWN_WORDS_MIN;
}

const stemsOf = (text: string): Set<string> => new Set(contentWords(text).map((word) => word.text));

function isLooping(words: readonly string[]): boolean {
  const runs = runsOf(words);
  return runs.length > RUN_WORDS && new Set(runs).size < runs.length / 2;
}

function runsOf(words: readonly string[]): string[] {
  const count = Math.max(0, words.length - RUN_WORDS + 1);
  return Array.from({ length: count }, (_, i) => words.slice(i, i + RUN_WORDS).join(' '));
}

function copiedShare({ messages }: Scene, words: readonly string[]): number {
  const said = messages.map(({ content }) => wordsOf(content).map(({ text }) => text));
  const runs = words.length < RUN_WORDS ? [words.join(' ')] : runsOf(words);
  const known = new Set(said.flatMap(runsOf));
  const lines = said.map((line) => ` ${line.join(' ')} `);
  const isSaid = (run: string): boolean =>
    known.has(run) || (words.length < RUN_WORDS && lines.some((line) => line.includes(` ${run} `)));
  return words.length === 0 ? 0 : runs.filter(isSaid).length / runs.length;
}

/** Names the conflict: an objection, or a reservation together with what was warned of. */
function objects({ against = '', right, other }: Scene, reply: string): boolean {
  if (against === '') return false;
  const things = new Set(contentWords(`${right.text} ${other.text}`).map(({ text }) => text));
  const reasons = new Set(contentWords(against).map(({ text }) => text));
  const said = contentWords(reply).map(({ text }) => text);
  const hasReason = said.some((word) => reasons.has(word) && !things.has(word));
  const isAboutRight = mentionsOf(against, right.key).length > 0;
  if (!isAboutRight) return false;
  return (
    hasPhrase(reply, phrases.againstWarned) || (hasReason && hasPhrase(reply, phrases.reservations))
  );
}

function asks(scene: Scene, reply: string): boolean {
  const questions = sentencesOf(reply).filter((sentence) => sentence.endsWith('?'));
  return (
    hasPhrase(reply, phrases.asksForMissing) && (questions.length > 0 || !namesAny(scene, reply))
  );
}

/** Of the first two sentences: what is said later may be about anything. */
function tone(reply: string): 'sorry' | 'glad' | undefined {
  const start = sentencesOf(reply).slice(0, 2).join(' ');
  if (hasPhrase(start, phrases.sorry)) return 'sorry';
  return hasPhrase(start, phrases.glad) ? 'glad' : undefined;
}
