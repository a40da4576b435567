// What live chat needs from the tokenizer: talk to token ids and back, whatever model is in use.

export interface SpeechMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
  /** What the model really said: stands in the prompt as it is, so that its cache can be reused. */
  readonly ids?: readonly number[];
}

/** Turns ids into text as they come; gives whole characters only. */
export interface SpeechDecoder {
  push(id: number): string;
  /** What is left, should the ids end within a character. */
  end(): string;
}

export interface Speech {
  /** Ids that end a reply. */
  readonly stopIds: readonly number[];
  /** The whole prompt, up to where the reply begins. @throws template-failed */
  render(messages: readonly SpeechMessage[]): readonly number[];
  /** How many tokens each message takes where it stands, its header included. */
  messageTokens(messages: readonly SpeechMessage[]): readonly number[];
  decoder(): SpeechDecoder;
  /** One token as people see it, for log-probabilities. */
  tokenText(id: number): string;
}
