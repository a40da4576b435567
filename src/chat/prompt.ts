// The prompt of a reply: the conversation's newest turns under the window rule, as token ids.
import { AttuneError } from '../base/errors.ts';
import type { Entry } from '../conversation/state.ts';
import { firstKeptTurn, type Turn, turnsOf } from '../conversation/window.ts';
import type { WindowView } from '../protocol/conversation.ts';
import type { ChatTokenizer, ChatTokens } from '../tokenizer/chat-tokenizer.ts';

export interface PromptRequest {
  /** The conversation up to and including the message to answer. */
  readonly entries: readonly Entry[];
  readonly systemPrompt: string;
  /** Kept free for the reply, as far as half the window allows. */
  readonly reserveTokens: number;
  readonly windowTokens: number;
}

export interface Prompt {
  readonly ids: readonly number[];
  readonly window: WindowView;
}

/** Turns are counted until they overflow the window; most texts do at this length. */
const CHARACTERS_PER_TOKEN = 4;

/** @throws window-overflow when the last message alone does not fit, template-failed */
export async function buildPrompt(
  tokenizer: Pick<ChatTokenizer, 'renderChat'>,
  request: PromptRequest,
): Promise<Prompt> {
  const { systemPrompt, windowTokens } = request;
  const replyTokens = Math.min(request.reserveTokens, Math.floor(windowTokens / 2));
  const system = systemPrompt === '' ? [] : [{ role: 'system', content: systemPrompt }];
  const turns = turnsOf(request.entries);
  const render = (first: number): Promise<ChatTokens> => {
    const messages = [...system, ...turns.slice(first).flat()];
    return tokenizer.renderChat(messages, { addGenerationPrompt: true });
  };

  let characters = windowTokens * CHARACTERS_PER_TOKEN;
  let older = turnsBefore(turns, characters);
  let chat = await render(older);
  while (older > 0 && chat.ids.length + replyTokens <= windowTokens) {
    characters *= 2;
    older = turnsBefore(turns, characters);
    chat = await render(older);
  }

  const turnTokens = tokensOf(turns.slice(older), chat.messages.slice(system.length));
  let fixedTokens = chat.ids.length - turnTokens.reduce((sum, tokens) => sum + tokens, 0);
  for (;;) {
    const first = firstKeptTurn(turnTokens, { windowTokens, replyTokens, fixedTokens }, older);
    const { ids } = first === older ? chat : await render(first);
    const isLast = first >= turns.length - 1;
    const room = isLast ? windowTokens - 1 : windowTokens - replyTokens;
    if (ids.length <= room) {
      const firstMessageId = turns[first]?.[0]?.id as string;
      return { ids, window: { turnsDropped: first, firstMessageId } };
    }
    if (isLast) throw overflow(ids.length, windowTokens);
    // Turns do not add up exactly in every template.
    fixedTokens += ids.length - room;
  }
}

/** Number of turns before the newest ones that together have at least so many characters. */
function turnsBefore(turns: readonly Turn[], characters: number): number {
  let first = turns.length;
  let counted = 0;
  do {
    first--;
    for (const { content } of turns[first] ?? []) counted += content.length;
  } while (first > 0 && counted < characters);
  return Math.max(0, first);
}

/** Tokens of each turn, from those of its messages. */
function tokensOf(turns: readonly Turn[], messages: ChatTokens['messages']): number[] {
  let at = 0;
  return turns.map((turn) => {
    const own = messages.slice(at, at + turn.length);
    at += turn.length;
    return own.reduce((sum, { start, end }) => sum + end - start, 0);
  });
}

function overflow(tokens: number, windowTokens: number): AttuneError {
  return new AttuneError(
    'window-overflow',
    `This message takes ${tokens} tokens with the chat format; the model's window holds ` +
      `${windowTokens}. Shorten it, or send it in several messages.`,
    { tokens, windowTokens },
  );
}
