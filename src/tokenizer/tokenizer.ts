// The tokenizer of a model folder: text and chats to ids and back. Nothing else turns text to ids.
import {
  createChatRenderer,
  type RenderChatOptions,
  type RenderDefaults,
  takesTools,
} from './chat-renderer.ts';
import { createRawEncoder, createTextEncoder, prefixIds } from './encoder.ts';
import { readTokenizer } from './read-tokenizer.ts';
import type { ChatMessage, RenderedChat } from './rendered-chat.ts';
import { endsInThought, THOUGHT_END, type Thoughts, thoughtsOf } from './thought.ts';
import { createTokenBytes, createTokenDecoder, type TokenDecoder } from './token-bytes.ts';
import { encodingHash, type TokenizerFiles } from './tokenizer-file.ts';

/** What is known of a tokenizer without a text, and decoding. */
export interface TokenizerFacts extends TokenDecoder {
  /** See `encodingHash`. */
  readonly encoding: string;
  /** Tokens that end a reply. */
  readonly stopIds: readonly number[];
  /** Tokens that begin or end turns; decoding leaves them out. */
  readonly controlIds: ReadonlySet<number>;
  /** What a person should know of how the tokenizer is used here, a sentence each. */
  readonly notices: readonly string[];
  readonly thoughts: Thoughts;
  /** Its chat template has a place for tools. */
  readonly takesTools: boolean;
}

export interface Tokenizer extends TokenizerFacts {
  readonly dir: string;
  readonly vocabularySize: number;
  readonly hasChatTemplate: boolean;
  /** Plain text: what looks like a control token is text. Nothing is added before or after. */
  encode(text: string): number[];
  /** A prompt without the chat template; names of control tokens are those tokens. */
  encodeRaw(text: string): number[];
  /** As `encode`, behind the tokens that the tokenizer itself puts at the start (BOS), if any. */
  encodePrompt(text: string): number[];
  /** The id of a token by its name in the vocabulary, such as `<|im_end|>`. */
  idOf(token: string): number | undefined;
  /** @throws template-failed, span-unaligned */
  renderChat(messages: readonly ChatMessage[], options?: RenderChatOptions): RenderedChat;
  /**
   * A prompt and a reply to it, cut where serving cuts: the prompt ends with the generation prompt,
   * the reply's tokens continue it and end with the token that ends the turn. A thought that the
   * template begins is closed in the prompt: the reply has none.
   */
  renderReply(
    messages: readonly ChatMessage[],
    reply: string,
    options?: Omit<RenderChatOptions, 'addGenerationPrompt'>,
  ): { readonly prompt: RenderedChat; readonly replyIds: number[] };
}

/** @throws tokenizer-invalid, template-failed (a template that is not Jinja) */
export async function loadTokenizer(
  path: string,
  defaults: RenderDefaults = {},
): Promise<Tokenizer> {
  return createTokenizer(path, await readTokenizer(path), defaults);
}

export function factsOf(files: TokenizerFiles, tokens = createTokenBytes(files)): TokenizerFacts {
  const controls = files.addedTokens.filter((token) => token.isControl);
  const controlIds = new Set(controls.map((token) => token.id));
  const { stopIds, notices } = files;
  return {
    ...createTokenDecoder(tokens, controlIds),
    ...{ encoding: encodingHash(files), stopIds, controlIds, notices },
    thoughts: thoughtsOf(files),
    takesTools: takesTools(files),
  };
}

/** @throws tokenizer-invalid, template-failed */
export function createTokenizer(
  dir: string,
  files: TokenizerFiles,
  defaults: RenderDefaults = {},
): Tokenizer {
  const tokens = createTokenBytes(files);
  const encoder = createTextEncoder(files);
  const renderChat = createChatRenderer(dir, { files, defaults }, { encoder, tokens });
  const addedIds = new Map(files.addedTokens.map((token) => [token.content, token.id]));
  const prefix = prefixIds(files.definition.post_processor);
  const facts = factsOf(files, tokens);

  const idOf = (token: string): number | undefined =>
    addedIds.get(token) ?? files.vocabulary.get(token);
  const encode = (text: string): number[] => encoder.encode(text).flatMap((piece) => piece.ids);

  return {
    ...facts,
    dir,
    vocabularySize: tokens.vocabularySize,
    hasChatTemplate: files.templates.size > 0,
    encode,
    encodeRaw: createRawEncoder(files, encoder),
    encodePrompt: (text) => [...prefix, ...encode(text)],
    idOf,
    renderChat,
    renderReply(messages, reply, options = {}) {
      const prompt = renderChat(messages, { ...options, addGenerationPrompt: true });
      const whole = renderChat([...messages, { role: 'assistant', content: reply }], options);
      const length = prompt.ids.length;
      const isContinued = prompt.ids.every((id, index) => id === whole.ids[index]);
      const { end = length, contentStart = length } = whole.messages.at(-1) ?? {};
      if (isContinued && end > length) {
        // An empty thought that the template writes is its own, not the reply's.
        const between = facts.decode(whole.ids.slice(length, contentStart));
        const start = between.includes(THOUGHT_END) ? contentStart : length;
        return {
          prompt: { ...prompt, ids: whole.ids.slice(0, start) },
          replyIds: whole.ids.slice(start, end),
        };
      }
      // The template writes a reply differently once it is past: continue the prompt by hand.
      const write = (text: string, mayUse?: () => boolean): number[] =>
        encoder
          .encode(text, { isSequenceStart: false, ...(mayUse && { mayUse }) })
          .flatMap((piece) => piece.ids);
      const close = endsInThought(prompt.text) ? write(`\n${THOUGHT_END}\n\n`, () => true) : [];
      return {
        prompt: { ...prompt, ids: [...prompt.ids, ...close] },
        replyIds: [...write(reply), ...files.stopIds.slice(0, 1)],
      };
    },
  };
}
