// The speech of a model: its tokenizer and chat template, as live chat needs them.
import { isAttuneError } from '../base/errors.ts';
import type { RenderedChat } from '../tokenizer/rendered-chat.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Speech, SpeechMessage } from './speech.ts';

/** @throws template-failed for a model without a chat template, when it is to speak */
export function createSpeech(tokenizer: Tokenizer): Speech {
  const encode = (messages: readonly SpeechMessage[]): RenderedChat => {
    try {
      return tokenizer.renderChat(messages, { addGenerationPrompt: true });
    } catch (error) {
      if (!isAttuneError(error, 'span-unaligned')) throw error;
      // A reply that was cut within a character: its words will do, at the price of its cache.
      const words = messages.map(({ role, content }) => ({ role, content }));
      return tokenizer.renderChat(words, { addGenerationPrompt: true });
    }
  };
  return {
    stopIds: tokenizer.stopIds,
    render: (messages) => encode(messages).ids,
    messageTokens: (messages) => encode(messages).messages.map(({ start, end }) => end - start),
    decoder: () => tokenizer.createStreamDecoder(),
    tokenText: (id) => tokenizer.tokenText(id),
  };
}
