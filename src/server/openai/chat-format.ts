// What OpenAI's chat completions and completions answer, whole and streamed.
import type { AttuneError } from '../../base/errors.ts';
import type { DecodedToken } from '../../engine/engine.ts';
import type { Usage } from '../../protocol/conversation.ts';
import type { OpenaiTokenLogprob, OpenaiUsage } from '../../protocol/openai.ts';
import type { ToolCall } from '../../tokenizer/rendered-chat.ts';
import { openaiError } from '../error-message.ts';
import type { OpenaiOptions } from './order.ts';
import { type Done, EVENT_STREAM, event, type Format, type Part } from './stream.ts';

/** How one token reads. */
export type TokenNames = Pick<OpenaiOptions['tokenizer'], 'tokenText' | 'tokenBytes'>;

export interface FormatOptions {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
  /** Names the weights. */
  readonly fingerprint: string;
  /** Of one prompt. */
  readonly choices: number;
  readonly tokenizer: TokenNames;
  /** A stream ends with the numbers of tokens. */
  readonly hasUsage: boolean;
}

export function finishReason({ running, reply }: Done): 'stop' | 'length' | 'tool_calls' {
  if (running.calls.length > 0) return 'tool_calls';
  return reply.stopReason === 'length' ? 'length' : 'stop';
}

/** @param perPrompt choices that share one prompt, which is counted once */
export function usageOf(all: readonly Done[], perPrompt = all.length): OpenaiUsage {
  const first = all.filter((_, index) => index % perPrompt === 0);
  const sum = (list: readonly Done[], name: keyof Usage): number =>
    list.reduce((total, { reply }) => total + reply.usage[name], 0);
  const prompt = sum(first, 'promptTokens');
  const reply = sum(all, 'replyTokens');
  const reused = sum(first, 'reusedTokens');
  return {
    prompt_tokens: prompt,
    completion_tokens: reply,
    total_tokens: prompt + reply,
    prompt_tokens_details: { cached_tokens: reused },
  };
}

function named(id: number, logprob: number, tokenizer: TokenNames) {
  return { token: tokenizer.tokenText(id), logprob, bytes: [...tokenizer.tokenBytes(id)] };
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

function callView({ id, name, arguments: text }: ToolCall): object {
  return { id, type: 'function', function: { name, arguments: text } };
}

/** `/v1/chat/completions`. */
export function chatFormat(options: FormatOptions): Format {
  const { id, created, model, fingerprint, choices, tokenizer, hasUsage } = options;
  const head = (object: string) => ({
    id,
    object,
    created,
    model,
    system_fingerprint: fingerprint,
  });
  const logprobs = (tokens: readonly DecodedToken[] | undefined) =>
    tokens === undefined ? null : { content: logprobsOf(tokens, tokenizer), refusal: null };
  const called = new Map<number, number>();

  const chunk = (choice: number, delta: object, more: object = {}): string =>
    event({
      ...head('chat.completion.chunk'),
      choices: [{ index: choice, delta, logprobs: null, finish_reason: null, ...more }],
      ...(hasUsage && { usage: null }),
    });
  const callChunk = (choice: number, call: ToolCall): string => {
    const index = called.get(choice) ?? 0;
    called.set(choice, index + 1);
    return chunk(choice, { tool_calls: [{ index, ...callView(call) }] });
  };

  return {
    ...EVENT_STREAM,
    whole: (all) => ({
      ...head('chat.completion'),
      choices: all.map((done) => ({
        index: done.choice,
        message: messageOf(done),
        logprobs: logprobs(done.running.head.keepTokens ? done.running.tokens : undefined),
        finish_reason: finishReason(done),
      })),
      usage: usageOf(all),
    }),
    begin: () =>
      Array.from({ length: choices }, (_, choice) =>
        chunk(choice, { role: 'assistant', content: '' }),
      ).join(''),
    part({ choice, text, thought, calls, tokens }) {
      const thinking = thought === '' ? '' : chunk(choice, { reasoning_content: thought });
      const hasText = text !== '' || (tokens?.length ?? 0) > 0;
      const said = hasText ? chunk(choice, { content: text }, { logprobs: logprobs(tokens) }) : '';
      return thinking + said + calls.map((call) => callChunk(choice, call)).join('');
    },
    end: (done) => chunk(done.choice, {}, { finish_reason: finishReason(done) }),
    finish(all) {
      const usage = { ...head('chat.completion.chunk'), choices: [], usage: usageOf(all) };
      return (hasUsage ? event(usage) : '') + event('[DONE]');
    },
    fail: (error) => event(openaiError(error)),
  };
}

function messageOf({ running, reply }: Done): object {
  const { calls, text } = running;
  return {
    role: 'assistant',
    content: text === '' && calls.length > 0 ? null : text,
    refusal: null,
    ...(reply.thought === undefined ? {} : { reasoning_content: reply.thought }),
    ...(calls.length === 0 ? {} : { tool_calls: calls.map(callView) }),
  };
}

/** `/v1/completions`. @param echoes what each choice begins with */
export function textFormat(options: FormatOptions, echoes: readonly string[]): Format {
  const { id, created, model, fingerprint, choices, tokenizer, hasUsage } = options;
  const head = { id, object: 'text_completion', created, model, system_fingerprint: fingerprint };
  const offsets = echoes.map(({ length }) => length);
  const chunk = (choice: number, text: string, more: object = {}): string =>
    event({
      ...head,
      choices: [{ index: choice, text, logprobs: null, finish_reason: null, ...more }],
      ...(hasUsage && { usage: null }),
    });
  const logprobs = (choice: number, tokens: readonly DecodedToken[] | undefined) => {
    if (tokens === undefined) return null;
    const all = logprobsOf(tokens, tokenizer);
    return {
      tokens: all.map(({ token }) => token),
      token_logprobs: all.map(({ logprob }) => logprob),
      top_logprobs: all.map(({ top_logprobs: top }) =>
        Object.fromEntries(top.map(({ token, logprob }) => [token, logprob])),
      ),
      text_offset: all.map(({ token }) => {
        const offset = offsets[choice] ?? 0;
        offsets[choice] = offset + token.length;
        return offset;
      }),
    };
  };
  const textPart = ({ choice, text, tokens }: Part): string =>
    chunk(choice, text, { logprobs: logprobs(choice, tokens) });

  return {
    ...EVENT_STREAM,
    whole: (all) => ({
      ...head,
      choices: all.map((done) => {
        const { choice, running } = done;
        const tokens = running.head.keepTokens ? running.tokens : undefined;
        return {
          index: choice,
          text: (echoes[choice] ?? '') + running.text,
          logprobs: logprobs(choice, tokens),
          finish_reason: finishReason(done),
        };
      }),
      usage: usageOf(all, choices),
    }),
    begin: () => echoes.map((text, choice) => (text === '' ? '' : chunk(choice, text))).join(''),
    part: textPart,
    end: (done) => chunk(done.choice, '', { finish_reason: finishReason(done) }),
    finish(all) {
      const usage = { ...head, choices: [], usage: usageOf(all, choices) };
      return (hasUsage ? event(usage) : '') + event('[DONE]');
    },
    fail: (error: AttuneError) => event(openaiError(error)),
  };
}
