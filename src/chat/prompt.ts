// The prompt of a reply: the conversation's newest turns under the window rule, as token ids.
import { AttuneError } from '../base/errors.ts';
import { CHARACTERS_PER_TOKEN_MAX, firstKeptTurn, type Turn } from '../conversation/window.ts';
import type { TemplateVariables, WindowView } from '../protocol/conversation.ts';
import type { ChatTokenizer, ChatTokens } from '../tokenizer/chat-tokenizer.ts';
import type { ChatMessage } from '../tokenizer/rendered-chat.ts';

export interface PromptRequest {
  /** The conversation up to and including the message to answer. */
  readonly turns: readonly Turn[];
  readonly systemPrompt: string;
  /** When the conversation began: a template that writes the date writes this one throughout. */
  readonly at: number;
  readonly variables: TemplateVariables;
  readonly tools?: readonly object[] | undefined;
  readonly prefill?: string | undefined;
  /** Kept free for the reply, as far as half the window allows. */
  readonly reserveTokens: number;
  readonly windowTokens: number;
}

export interface Prompt {
  readonly ids: readonly number[];
  readonly window: WindowView;
  /** It ends within a thought that the template began. */
  readonly isThinking: boolean;
  /** What was rendered; of a prompt without a chat template the prompt itself. */
  readonly messages?: readonly ChatMessage[];
  readonly raw?: string | readonly number[];
}

/** Turns are counted until they overflow the window; most texts do at this length. */
const CHARACTERS_PER_TOKEN = 4;
/** What the chat format writes round a message, four tokens at least. */
const CHARACTERS_PER_MESSAGE = 4 * CHARACTERS_PER_TOKEN;

/**
 * What cannot fit is refused or left out before it is rendered, which takes time.
 * @throws window-overflow when the last message alone does not fit, template-failed
 */
export async function buildPrompt(
  tokenizer: Pick<ChatTokenizer, 'renderChat'>,
  request: PromptRequest,
): Promise<Prompt> {
  const { systemPrompt, windowTokens, at, variables, turns, tools, prefill } = request;
  const replyTokens = Math.min(request.reserveTokens, Math.floor(windowTokens / 2));
  const system = systemPrompt === '' ? [] : [{ role: 'system', content: systemPrompt }];
  const messagesFrom = (first: number) => [...system, ...turns.slice(first).flat()];
  const render = (first: number): Promise<ChatTokens> => {
    const messages = messagesFrom(first);
    const more = { ...(tools && { tools }), ...(prefill !== undefined && { prefill }) };
    return tokenizer.renderChat(messages, { addGenerationPrompt: true, at, variables, ...more });
  };

  const charactersMax = windowTokens * CHARACTERS_PER_TOKEN_MAX;
  assertFits(systemPrompt, turns.at(-1) ?? [], charactersMax);
  let characters = windowTokens * CHARACTERS_PER_TOKEN;
  let older = turnsBefore(turns, characters, charactersMax);
  let chat = await render(older);
  while (chat.ids.length + replyTokens <= windowTokens) {
    characters *= 2;
    const before = turnsBefore(turns, characters, charactersMax);
    if (before === older) break;
    older = before;
    chat = await render(older);
  }

  const turnTokens = tokensOf(turns.slice(older), chat.messages.slice(system.length));
  let fixedTokens = chat.ids.length - turnTokens.reduce((sum, tokens) => sum + tokens, 0);
  for (;;) {
    const first = firstKeptTurn(turnTokens, { windowTokens, replyTokens, fixedTokens }, older);
    const { ids, messages, isThinking } = first === older ? chat : await render(first);
    const isLast = first >= turns.length - 1;
    const room = isLast ? windowTokens - 1 : windowTokens - replyTokens;
    if (ids.length <= room) {
      const window = { turnsDropped: first, firstMessageId: turns[first]?.[0]?.id ?? 'none' };
      return { ids, window, isThinking, messages: messagesFrom(first) };
    }
    if (isLast) {
      const systemTokens = systemPrompt === '' ? 0 : (messages[0]?.end ?? 0);
      throw overflow(ids.length, { systemTokens, windowTokens });
    }
    // Turns do not add up exactly in every template.
    fixedTokens += ids.length - room;
  }
}

/**
 * A prompt without a chat template; a text is encoded.
 * @throws window-overflow for a text that cannot fit
 */
export async function buildRawPrompt(
  tokenizer: Pick<ChatTokenizer, 'encodeRaw'>,
  raw: string | readonly number[],
  windowTokens: number,
): Promise<Prompt> {
  const isText = typeof raw === 'string';
  const said: Turn = isText ? [{ role: 'user', content: raw, id: 'none' }] : [];
  assertFits('', said, windowTokens * CHARACTERS_PER_TOKEN_MAX);
  const ids = isText ? await tokenizer.encodeRaw(raw) : raw;
  const window = { turnsDropped: 0, firstMessageId: 'none' };
  return { ids, window, isThinking: false, raw };
}

/** The number of turns before the newest ones that have so many characters, or more do not fit. */
function turnsBefore(turns: readonly Turn[], characters: number, charactersMax: number): number {
  let first = Math.max(0, turns.length - 1);
  let counted = lengthOf(turns[first] ?? []);
  while (first > 0 && counted < characters) {
    counted += lengthOf(turns[first - 1] as Turn);
    if (counted > charactersMax) break;
    first--;
  }
  return first;
}

function lengthOf(turn: Turn): number {
  return turn.reduce((sum, { content }) => sum + content.length + CHARACTERS_PER_MESSAGE, 0);
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

/** @throws window-overflow when no tokenizer makes so few tokens of so many characters */
function assertFits(systemPrompt: string, last: Turn, charactersMax: number): void {
  const said = last.reduce((sum, { content }) => sum + content.length, 0);
  const characters = systemPrompt.length + said;
  if (characters <= charactersMax) return;
  const which = systemPrompt.length > said ? 'The system prompt' : 'This message';
  const message =
    `${which} is too long: with it the prompt has ${characters} characters, and the model's ` +
    `window never holds more than ${charactersMax}. Shorten it.`;
  throw new AttuneError('window-overflow', message, { characters, charactersMax });
}

function overflow(
  tokens: number,
  { systemTokens, windowTokens }: { readonly systemTokens: number; readonly windowTokens: number },
): AttuneError {
  const facts = { tokens, systemTokens, windowTokens };
  const holds = `the model's window holds ${windowTokens}`;
  const message =
    systemTokens > tokens / 2
      ? `The system prompt takes ${systemTokens} of ${tokens} tokens; ${holds}. Shorten it.`
      : `This message takes ${tokens} tokens with the chat format; ${holds}. Shorten it, or send ` +
        'it in several messages.';
  return new AttuneError('window-overflow', message, facts);
}
