// The tokenizer as the daemon uses it: a chat becomes ids while the daemon goes on, ids become text
// at once.
import { isAttuneError } from '../base/errors.ts';
import type { RenderChatOptions } from './chat-renderer.ts';
import type { ChatMessage, MessageTokens, TokenSpan } from './rendered-chat.ts';
import { endsInThought } from './thought.ts';
import type { Tokenizer, TokenizerFacts } from './tokenizer.ts';

export interface ChatTokenizer extends TokenizerFacts {
  /**
   * Long chats are rendered one after the other, and short ones beside them. Ids of a message that
   * do not spell its content (a reply that was cut within a character) are left out of account.
   * @throws template-failed (also when rendering takes too long), span-unaligned, tokenizer-invalid
   */
  renderChat(messages: readonly ChatMessage[], request?: RenderRequest): Promise<ChatTokens>;
  /** A prompt without the chat template; names of control tokens are those tokens. */
  encodeRaw(text: string): Promise<readonly number[]>;
  close(): Promise<void>;
}

export interface RenderRequest extends Omit<RenderChatOptions, 'template'> {
  /** Characters `[start, end)` of messages' contents whose tokens are asked for. */
  readonly spans?: readonly ContentSpan[];
}

export interface ContentSpan {
  readonly message: number;
  readonly start: number;
  readonly end: number;
}

export interface ChatTokens {
  readonly ids: readonly number[];
  readonly messages: readonly MessageTokens[];
  /** One for each span that was asked for. */
  readonly spans: readonly TokenSpan[];
  /** The template began the thought of the reply to come. */
  readonly isThinking: boolean;
}

/** Renders in this thread; a worker does the same in its own. */
export function renderChatTokens(
  tokenizer: Pick<Tokenizer, 'renderChat'>,
  messages: readonly ChatMessage[],
  { spans = [], ...options }: RenderRequest = {},
): ChatTokens {
  const render = (list: readonly ChatMessage[]): ChatTokens => {
    const chat = tokenizer.renderChat(list, options);
    return {
      ids: chat.ids,
      messages: chat.messages,
      spans: spans.map(({ message, start, end }) => chat.spanToTokens(message, start, end)),
      isThinking: options.addGenerationPrompt === true && endsInThought(chat.text),
    };
  };
  try {
    return render(messages);
  } catch (error) {
    const hasIds = messages.some(({ ids }) => ids !== undefined);
    if (!hasIds || !isAttuneError(error, 'span-unaligned')) throw error;
    return render(messages.map(({ ids: _ids, ...message }) => message));
  }
}

/** A chat tokenizer without a worker. */
export function createChatTokenizer(tokenizer: Tokenizer): ChatTokenizer {
  return {
    ...tokenizer,
    encodeRaw: async (text) => tokenizer.encodeRaw(text),
    renderChat: async (messages, request) => renderChatTokens(tokenizer, messages, request),
    close: async () => undefined,
  };
}
