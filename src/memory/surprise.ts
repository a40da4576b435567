// How little the model expected what a person said; one of the inputs of salience.
import { isAttuneError } from '../base/errors.ts';
import { CHARACTERS_PER_TOKEN_MAX } from '../conversation/window.ts';
import type { Engine } from '../engine/engine.ts';
import type { ChatTokenizer } from '../tokenizer/chat-tokenizer.ts';
import type { Turn } from './extract.ts';

export interface SurpriseParts {
  readonly engine: Pick<Engine, 'score' | 'describe'>;
  readonly tokenizer: Pick<ChatTokenizer, 'renderChat'>;
}

/** Turns that are looked at, from the end: an old conversation costs no more than a short one. */
const TURNS_MAX = 24;

/**
 * Mean of `−log p` over the tokens of the person's words, in nats, each given all before it.
 * @returns undefined for conversations that the chat format or the window cannot hold
 * @throws engine-failed
 */
export async function surpriseOf(
  turns: readonly Turn[],
  { engine, tokenizer }: SurpriseParts,
): Promise<number | undefined> {
  const recent = turns.slice(-TURNS_MAX);
  // Chat formats begin with the person.
  const first = recent.findIndex(({ role }) => role === 'user');
  if (first === -1) return undefined;
  const messages = recent.slice(first).map(({ role, text }) => ({ role, content: text }));
  const { windowTokens } = await engine.describe();
  const characters = messages.reduce((sum, { content }) => sum + content.length, 0);
  if (characters > windowTokens * CHARACTERS_PER_TOKEN_MAX) return undefined;
  try {
    const { ids, messages: places } = await tokenizer.renderChat(messages);
    if (ids.length > windowTokens) return undefined;
    const [scored = new Float32Array()] = await engine.score({ sequences: [{ ids, from: 1 }] });
    const surprises = places.flatMap(({ contentStart, contentEnd }, index) => {
      if (messages[index]?.role !== 'user') return [];
      // The first score is that of the token at 1.
      return Array.from(scored.slice(Math.max(0, contentStart - 1), Math.max(0, contentEnd - 1)));
    });
    if (surprises.length === 0) return undefined;
    return -surprises.reduce((sum, value) => sum + value, 0) / surprises.length;
  } catch (error) {
    const isUnfit =
      isAttuneError(error, 'template-failed') ||
      isAttuneError(error, 'span-unaligned') ||
      isAttuneError(error, 'window-overflow');
    if (isUnfit) return undefined;
    throw error;
  }
}
