// A gist: a conversation compressed to what mattered in it, with the way back into the log.
import { z } from 'zod';
import { sha256 } from '../base/hash.ts';
import { createPace, type Pace } from '../base/pace.ts';
import type { Config } from '../config/schema.ts';
import { extractItems, ITEM_KINDS, type Item, openQuestions, type Turn } from './extract.ts';

const itemSchema = z.strictObject({
  kind: z.enum(ITEM_KINDS),
  role: z.enum(['user', 'assistant']),
  turnId: z.string(),
  start: z.int().min(0),
  end: z.int().min(0),
  text: z.string(),
  weight: z.number().min(0).max(1),
});

/** The named inputs of salience, each 0 … 1. */
const inputsSchema = z.strictObject({
  flags: z.number().min(0).max(1),
  goodMoments: z.number().min(0).max(1),
  directions: z.number().min(0).max(1),
  feelings: z.number().min(0).max(1),
  promises: z.number().min(0).max(1),
  openQuestions: z.number().min(0).max(1),
  surprise: z.number().min(0).max(1),
});
export type SalienceInputs = z.infer<typeof inputsSchema>;

export const gistSchema = z.strictObject({
  id: z.string(),
  conversationId: z.string(),
  /** When the conversation came to rest; salience fades from here. Ms since 1970. */
  restedAt: z.number(),
  /** Turns of the conversation when it was compressed; with more turns it is compressed again. */
  turns: z.int().min(0),
  items: z.array(itemSchema),
  /** Words that the conversation was about, the most frequent first. */
  topics: z.array(z.string()),
  /** Names, numbers and times that were said. */
  values: z.array(z.string()),
  flagIds: z.array(z.string()),
  /** A held-back flag belongs to it: it is kept, and never dreamt of. */
  isHeldBack: z.boolean(),
  inputs: inputsSchema,
  /** 0 … 1, when it rested. */
  salience: z.number().min(0).max(1),
});
export type Gist = z.infer<typeof gistSchema>;

export interface GistFlag {
  readonly id: string;
  readonly kind: 'missed' | 'good';
  /** 1 … 3 */
  readonly strength: number;
  readonly isHeldBack: boolean;
}

export interface RestedConversation {
  readonly conversationId: string;
  readonly restedAt: number;
  readonly turns: readonly Turn[];
  readonly flags: readonly GistFlag[];
  /** Mean surprise of the person's words under the model, nats a token, if it was measured. */
  readonly surprise?: number;
}

const ITEMS_MAX = 12;
const ITEM_CHARACTERS_MAX = 240;
/** Of one message; what is longer is a document, of which the beginning says enough. */
const TURN_CHARACTERS_MAX = 20_000;
const TOPICS_MAX = 8;
/** Longer ones are no words. */
const WORD_CHARACTERS_MAX = 40;
const VALUES_MAX = 12;
/** Nats a token that count as half surprised; everyday conversation lies around 2 to 4. */
const SURPRISE_HALF = 4;

const STOP_WORDS = new Set(
  `about after again also always anything because been before being could does doing done else every
  from going good great hello help here into just know like little look looking make many maybe more
  most much need nice nothing okay only other over please really right said same should since some
  something still sure take tell than thank thanks that their them then there these they thing think
  this those time very want well were what when where which will with would yeah your you're that's
  there's i'd don't let's it's have give find them`.split(/\s+/),
);

/** n things of weight w count as 1 − ∏(1 − w / 2): the first ones most. */
function saturate(weights: readonly number[]): number {
  return 1 - weights.reduce((rest, weight) => rest * (1 - weight / 2), 1);
}

async function topicsOf(turns: readonly Turn[], pace: Pace): Promise<string[]> {
  const counts = new Map<string, number>();
  for (const { text, role } of turns) {
    await pace();
    for (const [word] of text.toLowerCase().matchAll(/\p{L}[\p{L}'-]{3,}/gu)) {
      // The person's words say more about what the conversation was about.
      if (word.length <= WORD_CHARACTERS_MAX && !STOP_WORDS.has(word))
        counts.set(word, (counts.get(word) ?? 0) + (role === 'user' ? 2 : 1));
    }
  }
  return [...counts]
    .sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
    .slice(0, TOPICS_MAX)
    .map(([word]) => word);
}

/** Names inside a sentence, numbers, hours, amounts: what a gist must not blur. */
export function valuesOf(texts: readonly string[]): string[] {
  const pattern =
    /\$?\d[\d:.,]*\d(?: ?[ap]\.?m\b|(?:st|nd|rd|th)\b)?|\d+(?: ?[ap]\.?m\b|(?:st|nd|rd|th)\b)?|(?<=[a-z,;] )\p{Lu}\p{Ll}+(?: \p{Lu}\p{Ll}+)*/gu;
  const found = texts.flatMap((text) => [...text.matchAll(pattern)].map(([value]) => value));
  return [...new Set(found)]
    .filter((value) => value.length <= WORD_CHARACTERS_MAX)
    .slice(0, VALUES_MAX);
}

/** The items that weigh most, in the order of the conversation; long sentences lose their end. */
function chooseItems(items: readonly Item[]): Item[] {
  const chosen = new Set(
    [...items.entries()]
      .sort(([i, a], [j, b]) => b.weight - a.weight || j - i)
      .slice(0, ITEMS_MAX)
      .map(([index]) => index),
  );
  return items
    .filter((_, index) => chosen.has(index))
    .map((item) => {
      if (item.text.length <= ITEM_CHARACTERS_MAX) return item;
      const text = item.text.slice(0, ITEM_CHARACTERS_MAX).replace(/[\uD800-\uDBFF]$/, '');
      return { ...item, text, end: item.start + text.length };
    });
}

function inputsOf(
  conversation: RestedConversation,
  items: readonly Item[],
  open: readonly Item[],
): SalienceInputs {
  const weights = (kind: Item['kind']): number[] =>
    items.filter((item) => item.kind === kind).map((item) => item.weight);
  const strengths = (kind: GistFlag['kind']): number[] =>
    conversation.flags.filter((flag) => flag.kind === kind).map((flag) => flag.strength / 3);
  const surprise = Math.max(0, conversation.surprise ?? 0);
  return {
    flags: saturate(strengths('missed').map((strength) => 2 * strength)),
    goodMoments: saturate(strengths('good').map((strength) => 2 * strength)),
    directions: saturate(weights('direction').filter((weight) => weight >= 0.6)),
    feelings: saturate(weights('feeling')),
    promises: saturate(weights('promise')),
    openQuestions: saturate(open.map((item) => item.weight)),
    surprise: surprise / (surprise + SURPRISE_HALF),
  };
}

/** `1 − exp(−Σ weight · input)`: 0 when nothing was there, never above 1. */
export function salienceOf(inputs: SalienceInputs, weights: Config['memory']['weights']): number {
  const names = Object.keys(weights) as (keyof SalienceInputs)[];
  const sum = names.reduce((total, name) => total + weights[name] * inputs[name], 0);
  return 1 - Math.exp(-sum);
}

/** Compresses a conversation. The same conversation gives the same gist. */
export async function compress(
  conversation: RestedConversation,
  settings: Config['memory'],
): Promise<Gist> {
  const pace = createPace();
  const turns = conversation.turns.map((turn) => ({
    ...turn,
    text: turn.text.slice(0, TURN_CHARACTERS_MAX),
  }));
  const itemsOf: Item[][] = [];
  for (const [index, turn] of turns.entries()) {
    itemsOf.push(extractItems(turn, turns[index - 1]?.text));
    await pace();
  }
  const open = await openQuestions(turns, itemsOf, pace);
  const items = itemsOf.flat().filter((item) => item.kind !== 'question');
  const inputs = inputsOf(conversation, items, open);
  const kept = chooseItems([...items, ...open]);
  return {
    id: sha256(`gist\u0000${conversation.conversationId}`).slice(0, 24),
    conversationId: conversation.conversationId,
    restedAt: conversation.restedAt,
    turns: conversation.turns.length,
    items: kept,
    topics: await topicsOf(turns, pace),
    values: valuesOf(kept.map((item) => item.text)),
    flagIds: conversation.flags.map((flag) => flag.id),
    isHeldBack: conversation.flags.some((flag) => flag.isHeldBack),
    inputs,
    salience: salienceOf(inputs, settings.weights),
  };
}

/** Salience now: halved every half-life; what was flagged fades slower. */
export function fadedSalience(gist: Gist, now: number, settings: Config['memory']): number {
  const slower = gist.inputs.flags > 0 ? settings.flaggedHalfLifeFactor : 1;
  const halfLifeMs = settings.halfLifeDays * slower * 86_400_000;
  return gist.salience * 2 ** (-Math.max(0, now - gist.restedAt) / halfLifeMs);
}

const NAMES: Record<Item['kind'], string> = {
  direction: 'They asked',
  promise: 'Promised',
  feeling: 'They felt',
  question: 'Left open',
};

/** The gist in words, as a dream or a page shows it. */
export function gistText(gist: Gist): string {
  const lines = gist.items.map((item) => {
    const who =
      item.kind === 'promise' && item.role === 'user' ? 'They promised' : NAMES[item.kind];
    return `${who}: “${item.text}”`;
  });
  const about = gist.topics.length === 0 ? [] : [`A conversation about ${gist.topics.join(', ')}.`];
  return [...about, ...lines].join('\n');
}
