// Finds directions, promises, feelings and questions in what was said, by rules; asks no model.
// Read by hand on 50 random finds each in five corpora of real talk: clear directions 43 right,
// feelings 41, promises 44. Of SGD's own NEGATE and REQUEST_ALTS turns two thirds are found.
import type { Pace } from '../base/pace.ts';

export const ITEM_KINDS = ['direction', 'promise', 'feeling', 'question'] as const;
export type ItemKind = (typeof ITEM_KINDS)[number];

export interface Turn {
  readonly role: 'user' | 'assistant';
  readonly text: string;
}

/** A sentence that matters. */
export interface Item {
  readonly kind: ItemKind;
  readonly text: string;
  /** 0 … 1: how clear the sign was. A refusal or a change of mind is a clear direction. */
  readonly weight: number;
}

/** The person turns something down, changes it, or sets a limit. */
const REDIRECTS: readonly RegExp[] = [
  /^(?:please )?(?:don't|do not|stop|cancel|drop|skip|forget|leave|hold off|keep (?:going|looking))\b(?! (?:know|think|worry|mind|remember|sure|iron))/,
  /\bplease (?:don't|do not|stop|cancel)\b|\b(?:can|could) you (?:please )?(?:cancel|stop)\b|\bi (?:want|need|would like) to cancel\b/,
  /\bi (?:really )?(?:don't|do not|didn't|did not|wouldn't|won't) (?:really )?(?:want|need|like|care for|wish|ask for|fancy)\b/,
  /^actually\b|\bactually,|\b(?:instead|on second thought|changed? my mind|i meant|i'd rather|i would rather|i told you|as i said)\b|^(?:no,? )?i said\b/,
  /\b(?:something else|(?:any|some|what|which) others?|(?<!the )others? (?:option|place|one|choice|time|date|day|song|movie|restaurant|hotel|flight|event|attraction)s?|another (?:one|option|place|time|day|date|song|movie|film|restaurant|hotel|flight|bus|car|event|way|idea|choice)|alternatives?|(?:any|some) more|more options|pass on (?:that|it|this)|different (?:one|place|time|day|date|option))\b/,
  /^(?:is there|do you have|have you got|what|anything|any(?:thing)?) (?:\w+ )?(?:anything )?else\b(?! do you (?:like|do|enjoy))/,
  /\b(?:nothing else|nothing more|no more|only that|just that)\b|^(?:no,? )?not (?:really|right now|now|yet|today|interested|necessary|needed|at this time|at the moment|that one|so sure)\b/,
  /\b(?:never ?mind|let it go)\b/,
];
/** Turns an offer down; after a question of fact it is only an answer. */
const REFUSAL = /^(?:no|nope|nah|not)\b(?! (?:problem|worries|doubt|way)\b)/;
const OFFER =
  /\b(?:would you|do you want|do you need|shall i|should i|can i|may i|how about|what about|i found|i'd suggest|you could|why not|let's|anything else|are you interested|would it|does (?:that|this|it) (?:sound|work|suit)|please confirm|is that (?:right|correct|ok|okay|good))\b/;

/** The person asks for something to be done, or says how it is to be. */
const ORDERS: readonly RegExp[] = [
  /^(?:please|kindly)\b|\bplease\b/,
  /^(?:let's|let us|let me|make|take|use|put|set|give|tell|show|find|book|buy|get|play|send|call|write|add|remove|change|go with|search|look|check|reserve|schedule|order|pick|choose|start|try|help|remind|confirm)\b/,
  /\b(?:i'd like|i would like|i want|i need|i'd prefer|i would prefer|i prefer|i am looking for|i'm looking for|i'll (?:have|take)|i will (?:have|take)|i have decided|i've decided|i wish to)\b/,
  /\b(?:can|could|would|will) you\b(?! (?:like|believe|imagine|mind if)\b)/,
  /\b(?:should be|has to be|must be|make sure|be sure to|it has to|needs to be)\b/,
];

const FEELING_WORDS =
  `sad|unhappy|depressed|heartbroken|lonely|alone|angry|furious|mad|annoyed|frustrated|upset
  |hurt|afraid|scared|frightened|terrified|worried|anxious|nervous|stressed|overwhelmed
  |exhausted|ashamed|embarrassed|guilty|jealous|disappointed|hopeless|homesick|crying|cried
  |miss|devastated|confused|happy|glad|excited|thrilled|proud|relieved|grateful|thankful
  |delighted|touched|tired|bored|sick of|fed up|can't stand|can't wait`
    .replace(/\s/g, (blank) => (blank === ' ' ? ' ' : ''))
    .replace(/ +\|/g, '|');
/** Somebody who feels stands at most three words before the feeling. */
const FEELING = new RegExp(
  `\\b(?:i|i'm|im|i've|i'd|we|we're|me|myself|feel|feels|feeling|felt)(?: [\\w']+){0,3}? (?:${FEELING_WORDS})\\b` +
    `|^(?:so|very|really) (?:${FEELING_WORDS})\\b|\\bi (?:really |just |do )?(?:love|hate) (?:you|him|her|my)\\b` +
    `|\\b(?:i'm|i am|feel) (?:so |completely )?lost\\b|\\b(?:frustrating|heartbreaking|breaks my heart|makes me (?:so )?(?:cry|smile))\\b`,
);
/** Courtesy and others' feelings in the same words: "glad to help", "I can see why you miss it". */
const NOT_FEELING =
  /\b(?:glad|happy) (?:to (?:help|assist|hear|share|teach|do|answer|talk)|i c(?:ould|an)|you|that you|with (?:it|that))|\bmiss(?:ed)? (?:out|any|a|some|it)\b|\b(?:if|when|whether|why|that|sure|think|hope) (?:you|they|he|she)\b|\b(?:you|they|he|she)(?:'re| are|'s| is) |\bnot (?:too |so )?(?:sad|angry|upset|worried|sure)\b|\bi (?:can't|cannot) wait to see what\b|\bfunny (?:movie|how|that|guy|show)/;

const PROMISES =
  /\b(?:i'll|i will|i promise|i shall|we'll|we will|i swear (?:to|i)|you have my word|let me (?:check|see|look|find|ask|get back|pull up))\b/;
/** Plans, choices and phrases of talk that promise nothing. */
const NOT_PROMISE =
  /\b(?:i'll|i will) (?:have|take|pass|say|admit|be honest|go(?: with| on| for)?|be (?!sure\b|back\b)\w+|(?:also )?need|want|not|never|leave|arrive|return|pick|do the|choose|see you|count|probably|like|love|check in|drop|get it|look in|stay|give you that|just go)\b|\b(?:we'll|we will) (?:see|be|do)\b|\bi'm sure\b|\bi'll bet\b|\b(?:maybe|might|perhaps|i think|probably) (?:i|we)(?:'ll| will)\b|\bi (?:think|guess|hope) (?:i|we)(?:'ll| will)\b|^(?:yes,? |ok,? |okay,? )?i will[!.]*$/;

/** "If …, I will": two passes, since a pattern that looks on from every "if" takes the square. */
function isConditional(sentence: string): boolean {
  const condition = /\b(?:do you|would you|if) /.exec(sentence);
  if (condition === null) return false;
  const rest = sentence.slice(condition.index + condition[0].length);
  return /\bi(?:'ll| will)\b/.test(rest);
}

const QUESTION_START =
  /^(?:(?:and|so|but|ok|okay|well|oh|hey|hi|hello|great|thanks)[ ,!.]+)*(?:what|when|where|who|whom|whose|why|which|how|is|are|was|were|do|does|did|can|could|will|would|should|have|has|may|am)\b/;

/** A run of stops is looked at once, from its first one: from each of them takes the square. */
const SENTENCE_END = /(?<![.!?…])[.!?…]+["')\]]*(?=\s|$)|\n+/g;

/** Sentences. A full stop inside a number, an hour or an address ends none. */
export function splitSentences(text: string): string[] {
  const sentences: string[] = [];
  let from = 0;
  const push = (to: number): void => {
    sentences.push(text.slice(from, to).trim());
    from = to;
  };
  for (const match of text.matchAll(SENTENCE_END)) {
    const before = text.slice(Math.max(0, match.index - 4), match.index + 1);
    if (/\b(?:[ap]\.m|mr|ms|mrs|dr|st|e\.g|i\.e|vs)\.$/i.test(before)) continue;
    push(match.index + match[0].length);
  }
  push(text.length);
  return sentences.filter((sentence) => sentence !== '');
}

const normal = (text: string): string => text.toLowerCase().replaceAll('’', "'").trim();

function directionWeight(sentence: string, isAfterOffer: boolean): number {
  const isThanks = /^(?:thanks|thank you|ok|okay|great|perfect|yes|yeah|sure|alright)[ ,!.]*$/;
  if (isThanks.test(sentence)) return 0;
  const stripped = sentence.replace(
    /^(?:(?:and|so|but|ok|okay|well|oh|hey|hi|hello|yes|yeah|sure|great|thanks)[ ,!.]+)+/,
    '',
  );
  // "No, thank you for your help, that is all" ends a conversation and directs nothing.
  const isFarewell =
    /\b(?:thanks|thank you|that's all|that is all|that's it|that will be all|goodbye|bye)\b/.test(
      stripped,
    );
  const isRefusal = isAfterOffer && REFUSAL.test(stripped);
  if (isRefusal || REDIRECTS.some((pattern) => pattern.test(stripped))) return isFarewell ? 0.4 : 1;
  const isQuestion = sentence.endsWith('?');
  if (ORDERS.some((pattern) => pattern.test(stripped))) return isQuestion ? 0.4 : 0.6;
  return 0;
}

/** Titles speak in capitals: "Fast and Furious" is no anger. */
const withoutNames = (sentence: string): string =>
  sentence.replace(/(?<=[\p{L},;] )\p{Lu}(?![\s'’])[\p{L}'’]+/gu, 'Name');

function kindsOf(
  original: string,
  role: Turn['role'],
  isAfterOffer: boolean,
): { kind: ItemKind; weight: number }[] {
  const sentence = normal(original);
  const kinds: { kind: ItemKind; weight: number }[] = [];
  const isQuestion = sentence.endsWith('?');
  if (role === 'user') {
    const weight = directionWeight(sentence, isAfterOffer);
    if (weight > 0) kinds.push({ kind: 'direction', weight });
    const felt = normal(withoutNames(original));
    if (FEELING.test(felt) && !NOT_FEELING.test(felt)) {
      kinds.push({ kind: 'feeling', weight: isQuestion ? 0.4 : 0.8 });
    }
    if (isQuestion || (QUESTION_START.test(sentence) && !/[.!]$/.test(sentence))) {
      kinds.push({ kind: 'question', weight: 0.6 });
    }
  }
  const isPromise = PROMISES.test(sentence) && !NOT_PROMISE.test(sentence);
  if (!isQuestion && isPromise && !isConditional(sentence)) {
    kinds.push({ kind: 'promise', weight: role === 'assistant' ? 0.7 : 0.6 });
  }
  return kinds;
}

/**
 * What one turn holds, sentence by sentence, in order.
 * @param before what the other side said last; a "no" to an offer is a direction
 */
export function extractItems(turn: Turn, before = ''): Item[] {
  const isAfterOffer = OFFER.test(normal(before));
  return splitSentences(turn.text).flatMap((text) =>
    kindsOf(text, turn.role, isAfterOffer).map((found) => ({ ...found, text })),
  );
}

const CONTENT_WORD = /[\p{L}\p{N}]{4,}/gu;
const wordsOf = (text: string): Set<string> =>
  new Set([...normal(text).matchAll(CONTENT_WORD)].map(([word]) => word.slice(0, 5)));

/** What a reply takes up: everything, unless it only asks back. */
function takenUp({ text }: Turn): (question: Item) => boolean {
  if (text.trim() === '') return () => false;
  if (!splitSentences(text).every((sentence) => sentence.endsWith('?'))) return () => true;
  const said = wordsOf(text);
  return (question) => [...wordsOf(question.text)].some((word) => said.has(word));
}

/**
 * Questions of the person that stayed open: no reply followed, or one that says nothing of the
 * matter and only asks back.
 * @param items what each turn holds
 */
export async function openQuestions(
  turns: readonly Turn[],
  items: readonly (readonly Item[])[],
  pace: Pace,
): Promise<Item[]> {
  const open: Item[][] = [];
  let isTakenUp: (question: Item) => boolean = () => false;
  // From the last turn back, so that each reply is read once.
  for (let at = turns.length - 1; at >= 0; at--) {
    const turn = turns[at] as Turn;
    if (turn.role === 'assistant') isTakenUp = takenUp(turn);
    open.push(items[at]?.filter((item) => item.kind === 'question' && !isTakenUp(item)) ?? []);
    await pace();
  }
  return open.reverse().flat();
}
