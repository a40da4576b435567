// What the OpenAI routes answer: whole completions, chunks of streamed ones, log-probabilities.
import type { RunningReply } from '../chat/running-reply.ts';
import type { DecodedToken } from '../engine/engine.ts';
import type { Reply } from '../protocol/conversation.ts';
import type { OpenaiFinishReason, OpenaiTokenLogprob, OpenaiUsage } from '../protocol/openai.ts';
import type { ChatTokenizer } from '../tokenizer/chat-tokenizer.ts';

/** How one token reads. */
export type TokenNames = Pick<ChatTokenizer, 'tokenText'>;

export interface CompletionHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
}

export function finishReason(reply: Reply): OpenaiFinishReason {
  return reply.stopReason === 'length' ? 'length' : 'stop';
}

export function usageOf({ usage }: Reply): OpenaiUsage {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.replyTokens,
    total_tokens: usage.promptTokens + usage.replyTokens,
    prompt_tokens_details: { cached_tokens: usage.reusedTokens },
  };
}

function named(id: number, logprob: number, tokenizer: TokenNames) {
  const token = tokenizer.tokenText(id);
  return { token, logprob, bytes: [...Buffer.from(token, 'utf8')] };
}

export function logprobsOf(
  tokens: readonly DecodedToken[],
  tokenizer: TokenNames,
): OpenaiTokenLogprob[] {
  return tokens.map(({ id, logprob, top = [] }) => ({
    ...named(id, logprob, tokenizer),
    top_logprobs: top.map((one) => named(one.id, one.logprob, tokenizer)),
  }));
}

export function completion(
  head: CompletionHead,
  reply: Reply,
  logprobs: readonly OpenaiTokenLogprob[] | null,
): object {
  return {
    ...head,
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: {
          ...{ role: 'assistant', content: reply.text, refusal: null },
          ...(reply.thought === undefined ? {} : { reasoning_content: reply.thought }),
        },
        logprobs: logprobs === null ? null : { content: logprobs, refusal: null },
        finish_reason: finishReason(reply),
      },
    ],
    usage: usageOf(reply),
    system_fingerprint: reply.versionRuns.at(-1)?.[2] ?? null,
  };
}

interface ChunkDelta {
  readonly role?: 'assistant';
  readonly content?: string;
  /** The thought before the content, as DeepSeek, vLLM and llama.cpp name it. */
  readonly reasoning_content?: string;
}

/** One chunk of a streamed completion. */
export function chunk(
  head: CompletionHead,
  delta: ChunkDelta,
  rest: {
    readonly logprobs?: readonly OpenaiTokenLogprob[] | null;
    readonly finish?: OpenaiFinishReason;
  } = {},
): object {
  const { logprobs = null, finish = null } = rest;
  const content = logprobs === null ? null : { content: logprobs, refusal: null };
  return {
    ...head,
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta, logprobs: content, finish_reason: finish }],
  };
}

export function usageChunk(head: CompletionHead, reply: Reply): object {
  return { ...head, object: 'chat.completion.chunk', choices: [], usage: usageOf(reply) };
}

/** Follows a reply's text and tokens: each call gives what came since the last. */
export function follow(reply: RunningReply, tokenizer: TokenNames) {
  let characters = 0;
  let thought = 0;
  let tokens = 0;
  return (): { text: string; thought: string; logprobs: OpenaiTokenLogprob[] | null } => {
    const text = reply.text.slice(characters);
    characters = reply.text.length;
    const thoughtText = reply.thought.slice(thought);
    thought = reply.thought.length;
    const fresh = reply.tokens.slice(tokens);
    tokens = reply.tokens.length;
    return {
      text,
      thought: thoughtText,
      logprobs: reply.head.keepTokens ? logprobsOf(fresh, tokenizer) : null,
    };
  };
}
