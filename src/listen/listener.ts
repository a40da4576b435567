// What is tested: something that replies to a conversation and may say how likely a reply is.
import type { SceneMessage } from './scene.ts';

export interface ListenerReply {
  readonly text: string;
  /** Null where the server does not count. */
  readonly promptTokens: number | null;
  readonly replyTokens: number | null;
  /** From the request to the first words, milliseconds. */
  readonly firstTokenMs: number;
}

export interface Listener {
  readonly name: string;
  /** How likelihoods come about, or why there are none. */
  readonly likelihood: string;
  /** What a person should know of how it is reached, a sentence each. */
  readonly notices: readonly string[];
  /** The likeliest reply, without white space around it. @throws endpoint-failed, aborted */
  reply(messages: readonly SceneMessage[], signal?: AbortSignal): Promise<ListenerReply>;
  /**
   * Mean log p of a token of each text, as the beginning of the reply, nats. Absent where the
   * server tells nothing of the likelihood of given words.
   */
  readonly score?: (
    messages: readonly SceneMessage[],
    beginnings: readonly string[],
    signal?: AbortSignal,
  ) => Promise<number[]>;
  close(): Promise<void>;
}

export const meanOf = (values: ArrayLike<number>): number => {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i] as number;
  return total / values.length;
};
