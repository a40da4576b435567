// Who makes a reply: our engine from token ids, or an upstream server from messages.
import { AttuneError } from '../base/errors.ts';
import type { Engine, StopReason } from '../engine/engine.ts';
import { eachExternalSampling } from '../protocol/sampling.ts';
import type { ChatTokenizer } from '../tokenizer/chat-tokenizer.ts';
import type { ChatMessage } from '../tokenizer/rendered-chat.ts';
import { Hearing } from '../upstream/hearing.ts';
import { refusedBy, textOf } from '../upstream/http.ts';
import type { Lease, Upstream } from '../upstream/upstream.ts';
import type { ReplyOrder, Speaker, Spoken } from './reply-runner.ts';
import type { RunningReply } from './running-reply.ts';

export function engineSpeaker(engine: Engine, { stopIds }: ChatTokenizer): Speaker {
  return {
    isServer: false,
    speak: ({ prompt, settings, conversationId, topLogprobs, adjustment }, reply, onGrown) =>
      engine.generate(
        {
          ids: prompt.ids,
          cacheKey: conversationId,
          replyTokensMax: settings.replyTokensMax,
          sampling: settings.sampling,
          stopIds,
          ...(topLogprobs === undefined ? {} : { topLogprobs }),
          ...(adjustment === undefined ? {} : { adjustment }),
        },
        (token) => {
          if (reply.take(token)) onGrown();
        },
        reply.signal,
      ),
    forget: (conversationId) => engine.forget(conversationId),
  };
}

/** Asks for chat completions, as a stream. */
export function upstreamSpeaker(upstream: Upstream): Speaker {
  return {
    isServer: true,
    async speak(order, reply, onGrown) {
      const lease = upstream.lease();
      try {
        const { signal } = reply;
        const body = JSON.stringify(bodyOf(order, lease.name, upstream.settings.kind));
        const path = order.prompt.raw === undefined ? '/v1/chat/completions' : '/v1/completions';
        const answer = await lease.served.http.open({ method: 'POST', path, body, signal });
        const { statusCode: status = 0, headers } = answer;
        if (status >= 400) throw refusedBy(lease.served.http.url, status, await textOf(answer));
        const hearing = new Hearing(headers['content-type']);
        const hear = (piece: { text: string; thought: string }): void => {
          if (reply.hear(piece)) onGrown();
        };
        for await (const bytes of answer as AsyncIterable<Buffer>) hear(hearing.push(bytes));
        hear(hearing.end());
        return spokenOf(hearing, reply, { lease, kind: upstream.settings.kind });
      } catch (error) {
        if (reply.signal.aborted) return { stopReason: 'aborted', reusedTokens: 0 };
        throw cutOff(error, lease);
      } finally {
        lease.release();
      }
    },
    forget: async () => undefined,
  };
}

/** What was heard, once its body has ended. @throws upstream-failed with what the server said */
export function spokenOf(
  hearing: Hearing,
  reply: RunningReply,
  { lease, kind }: { readonly lease: Lease; readonly kind: string },
): Spoken {
  const { error, calls, finish, promptTokens, replyTokens } = hearing;
  reply.calls.push(...calls);
  if (error !== '') throw refusedBy(lease.served.http.url, 200, error);
  const stopReason: StopReason = finish === 'length' ? 'length' : 'stop';
  const server = { version: lease.served.source.id, kind, model: lease.name };
  return { stopReason, reusedTokens: 0, promptTokens, replyTokens, server };
}

/** A body that ends before its time. */
export function cutOff(error: unknown, { served }: Lease): unknown {
  if (error instanceof AttuneError) return error;
  const message = `The server at ${served.http.url} ended before its answer did. What it said so far is kept; ask again.`;
  return new AttuneError('upstream-failed', message, {}, { cause: error });
}

function bodyOf(
  { prompt, settings, tools, prefill, adjustment = {}, topLogprobs }: ReplyOrder,
  model: string,
  kind: string,
): object {
  if (topLogprobs !== undefined) {
    const message = 'logprobs: ask for them on /v1, which an upstream server answers itself.';
    throw new AttuneError('message-invalid', message, { param: 'logprobs' });
  }
  const { sampling, replyTokensMax, stop, templateVariables: variables } = settings;
  const { top_k, min_p, repetition_penalty, ...common } = eachExternalSampling(
    (name) => sampling[name],
  );
  const begun = prefill === undefined ? [] : [{ role: 'assistant', content: prefill }];
  const said = (prompt.messages ?? []).map(messageOf);
  return {
    ...{ model, stream: true, stream_options: { include_usage: true } },
    ...(prompt.raw === undefined ? { messages: [...said, ...begun] } : { prompt: prompt.raw }),
    ...{ ...common, seed: sampling.seed, max_tokens: replyTokensMax },
    ...(stop.length > 0 && { stop }),
    ...(tools !== undefined && { tools }),
    ...(adjustment.presencePenalty && { presence_penalty: adjustment.presencePenalty }),
    ...(adjustment.frequencyPenalty && { frequency_penalty: adjustment.frequencyPenalty }),
    ...(adjustment.bias && { logit_bias: Object.fromEntries(adjustment.bias) }),
    // A server of which no more is known may refuse what is not OpenAI's.
    ...(kind !== 'openai' && { top_k, min_p, repetition_penalty }),
    ...(kind !== 'openai' && kind !== 'vllm' && { repeat_penalty: repetition_penalty }),
    ...(kind !== 'openai' &&
      Object.keys(variables).length > 0 && { chat_template_kwargs: variables }),
    ...(kind === 'vllm' &&
      begun.length > 0 && { add_generation_prompt: false, continue_final_message: true }),
  };
}

function messageOf({ role, content, toolCalls = [], toolCallId }: ChatMessage): object {
  const calls = toolCalls.map(({ id, ...call }) => ({ id, type: 'function', function: call }));
  return {
    ...{ role, content },
    ...(calls.length > 0 && { tool_calls: calls }),
    ...(toolCallId !== undefined && { tool_call_id: toolCallId }),
  };
}
