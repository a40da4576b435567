// The part of OpenAI's chat completions API that the daemon speaks: requests are checked here.
import { z } from 'zod';
import { TemplateVariables } from './conversation.ts';
import { externalSamplingShape } from './sampling-schema.ts';

const TextPart = z.object({ type: z.literal('text'), text: z.string() });
const Content = z.union([z.string(), z.array(TextPart)]);

export const OpenaiMessage = z.discriminatedUnion('role', [
  z.object({ role: z.literal('system'), content: Content }),
  z.object({ role: z.literal('developer'), content: Content }),
  z.object({ role: z.literal('user'), content: Content }),
  z.object({ role: z.literal('assistant'), content: Content }),
]);
export type OpenaiMessage = z.infer<typeof OpenaiMessage>;

/** Keys that are not listed here are ignored, as that API does; listed ones are kept to. */
export const ChatCompletionRequest = z.object({
  model: z.string(),
  messages: z.array(OpenaiMessage).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().optional() }).nullish(),
  stop: z.union([z.string().min(1), z.array(z.string().min(1)).max(16)]).nullish(),
  seed: z.number().int().nullish(),
  /** As vLLM and llama.cpp take it: variables of the chat template. */
  chat_template_kwargs: TemplateVariables.nullish(),
  // Besides temperature and top_p the ones that others serve under these names too.
  ...externalSamplingShape,
  max_tokens: z.number().int().positive().nullish(),
  max_completion_tokens: z.number().int().positive().nullish(),
  logprobs: z.boolean().nullish(),
  /** False: nothing of the request is kept. */
  store: z.boolean().nullish(),
  /** `learn`: `never`, or `ask` where nights would learn without asking. */
  metadata: z.record(z.string(), z.unknown()).nullish(),
  top_logprobs: z.number().int().min(0).max(20).nullish(),
  // What would change the answer and is not there is refused, not ignored.
  n: z.literal(1, 'only n = 1 is served').nullish(),
  tools: z.array(z.unknown()).max(0, 'tools are not served').nullish(),
  functions: z.array(z.unknown()).max(0, 'functions are not served').nullish(),
  response_format: z.object({ type: z.literal('text', 'only text is served') }).nullish(),
  logit_bias: z.record(z.string(), z.never('logit_bias is not served')).nullish(),
  presence_penalty: z.literal(0, 'presence_penalty is not served').nullish(),
  frequency_penalty: z.literal(0, 'frequency_penalty is not served').nullish(),
});
export type ChatCompletionRequest = z.infer<typeof ChatCompletionRequest>;

export interface OpenaiUsage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
}

export interface OpenaiTokenLogprob {
  token: string;
  logprob: number;
  bytes: number[] | null;
  top_logprobs: { token: string; logprob: number; bytes: number[] | null }[];
}

export type OpenaiFinishReason = 'stop' | 'length';

export interface OpenaiError {
  error: { message: string; type: string; param: string | null; code: string | null };
}
