// A gist: a conversation compressed to what mattered in it.
import { z } from 'zod';
import { sha256 } from '../base/hash.ts';
import { createPace } from '../base/pace.ts';
import type { Config } from '../config/schema.ts';
import { extractItems, ITEM_KINDS, type Item, openQuestions, type Turn } from './extract.ts';

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

/** Earlier releases wrote more, which is left out. */
export const gistSchema = z.object({
  id: z.string(),
  conversationId: z.string(),
  /** When the conversation came to rest; salience fades from here. Ms since 1970. */
  restedAt: z.number(),
  /** Turns of the conversation when it was compressed; with more turns it is compressed again. */
  turns: z.int().min(0),
  items: z.array(z.object({ kind: z.enum(ITEM_KINDS), text: z.string() })),
  isHeldBack: z.boolean(),
  inputs: inputsSchema,
  /** 0 … 1, when it rested. */
  salience: z.number().min(0).max(1),
});
export type Gist = z.infer<typeof gistSchema>;

export interface GistFlag {
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
/** Longer ones are no words. */
const WORD_CHARACTERS_MAX = 40;
const VALUES_MAX = 12;
/** Nats a token that count as half surprised; everyday conversation lies around 2 to 4. */
const SURPRISE_HALF = 4;

/** n things of weight w count as 1 − ∏(1 − w / 2): the first ones most. */
function saturate(weights: readonly number[]): number {
  return 1 - weights.reduce((rest, weight) => rest * (1 - weight / 2), 1);
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
function chooseItems(items: readonly Item[]): Gist['items'] {
  const chosen = new Set(
    [...items.entries()]
      .sort(([i, a], [j, b]) => b.weight - a.weight || j - i)
      .slice(0, ITEMS_MAX)
      .map(([index]) => index),
  );
  return items
    .filter((_, index) => chosen.has(index))
    .map(({ kind, text }) => {
      if (text.length <= ITEM_CHARACTERS_MAX) return { kind, text };
      return { kind, text: text.slice(0, ITEM_CHARACTERS_MAX).replace(/[\uD800-\uDBFF]$/, '') };
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
