// What an engine says to a conversation: rendered, generated, decoded. Nothing of it is kept.
import { spoken } from '../conversation/spoken.ts';
import type { Engine, GenerateRequest } from '../engine/engine.ts';
import type { Rendering } from '../scenario/scenario.ts';
import type { RenderChatOptions } from '../tokenizer/chat-renderer.ts';
import type { ChatMessage } from '../tokenizer/rendered-chat.ts';
import type { TokenDecoder } from '../tokenizer/token-bytes.ts';

export interface AnswerOptions
  extends Pick<GenerateRequest, 'sampling' | 'replyTokensMax' | 'version'> {
  readonly engine: Pick<Engine, 'generate'>;
  /** In this thread, or one that renders in another. */
  readonly tokenizer: Pick<TokenDecoder, 'decode'> & {
    readonly stopIds: readonly number[];
    renderChat(messages: readonly ChatMessage[], options: RenderChatOptions): Rendered;
  };
  readonly signal?: AbortSignal | undefined;
}

/** Rendered as the chat rendered it, where that is known. */
interface Conversation {
  readonly messages: readonly ChatMessage[];
  readonly rendering?: Rendering | undefined;
}

type Rendered = { readonly ids: readonly number[] } | Promise<{ readonly ids: readonly number[] }>;

/**
 * The reply to a conversation, without white space around it.
 * @throws the signal's reason: a reply that was cut off is none
 */
export async function answer(
  { messages, rendering }: Conversation,
  options: AnswerOptions,
): Promise<string> {
  const rendered = { ...rendering, addGenerationPrompt: true };
  const { ids } = await options.tokenizer.renderChat(messages, rendered);
  return answerTo(ids, options);
}

/** The same to a rendered conversation. */
export async function answerTo(
  ids: readonly number[],
  { engine, tokenizer, signal, ...options }: AnswerOptions,
): Promise<string> {
  const { sampling, replyTokensMax, version } = options;
  const result = await engine.generate(
    {
      ids,
      sampling,
      replyTokensMax,
      stopIds: tokenizer.stopIds,
      ...(version === undefined ? {} : { version }),
    },
    () => undefined,
    signal,
  );
  signal?.throwIfAborted();
  return spoken(tokenizer.decode(result.ids)).trim();
}
