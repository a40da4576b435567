// Ollama's API as chat completions: its messages, its options, its names.
import { z } from 'zod';
import {
  type ChatCompletionRequest,
  type CompletionRequest,
  closed,
  needsUpstream,
} from './openai.ts';

/** About the machine, or about memory: no answer changes. */
const MACHINE = [
  ...['num_ctx', 'num_keep', 'num_batch', 'num_gpu', 'main_gpu', 'num_thread', 'numa', 'low_vram'],
  ...['use_mmap', 'use_mlock', 'vocab_only', 'f16_kv', 'logits_all', 'embedding_only'],
];

const commonShape = {
  model: z.string(),
  /** Default true. */
  stream: z.boolean().nullish(),
  options: z.record(z.string(), z.unknown()).nullish(),
  think: z.union([z.boolean(), z.string().max(20)]).nullish(),
  format: z.union([z.literal(''), z.null()], needsUpstream('structured answers are')).optional(),
};

const images = z.array(z.unknown()).max(0, needsUpstream('images are')).nullish();

const Message = z.looseObject({
  role: z.enum(['system', 'user', 'assistant', 'tool']),
  content: z.string().nullish(),
  images,
  tool_calls: z
    .array(
      z.looseObject({
        function: z.looseObject({ name: z.string(), arguments: z.unknown().optional() }),
      }),
    )
    .nullish(),
});

export const OllamaChatRequest = closed({
  ...commonShape,
  messages: z.array(Message).nullish(),
  tools: z.array(z.unknown()).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.unknown().optional(),
});

export const OllamaGenerateRequest = closed({
  ...commonShape,
  prompt: z.string().nullish(),
  system: z.string().nullish(),
  /** Without the chat template. */
  raw: z.boolean().nullish(),
  template: z.literal('', needsUpstream('templates of a request are')).nullish(),
  context: z.array(z.unknown()).max(0, needsUpstream('contexts as tokens are')).nullish(),
  images,
});

type Common = Pick<z.infer<typeof OllamaChatRequest>, 'model' | 'stream' | 'options' | 'think'>;

/** `attune:latest` is `attune`. */
export function modelName(name: string): string {
  return name.replace(/:latest$/, '');
}

/** Their names, as those of the shared settings. */
function settingsOf({ model, options, think }: Common): object {
  const { num_predict: count, repeat_last_n: _range, ...rest } = options ?? {};
  const known = Object.entries(rest).filter(([name]) => !MACHINE.includes(name));
  const thinking = typeof think === 'string' ? { reasoning_effort: think } : {};
  return {
    ...Object.fromEntries(known),
    ...{ model: modelName(model), max_tokens: count === -2 ? -1 : count },
    ...(typeof think === 'boolean' ? { enable_thinking: think } : thinking),
  };
}

export function chatOfOllama(
  request: z.infer<typeof OllamaChatRequest>,
): z.input<typeof ChatCompletionRequest> {
  const { messages, tools, logprobs, top_logprobs } = request;
  // Calls have no ids here: answers follow them in their order.
  const waiting: string[] = [];
  let calls = 0;
  const said = (messages ?? []).map(({ role, content, tool_calls: called }) => {
    if (role === 'tool') return { role, content, tool_call_id: waiting.shift() ?? 'none' };
    const made = (called ?? []).map((call) => {
      const id = `call${calls++}`;
      waiting.push(id);
      const { name, arguments: given } = call.function;
      return { id, function: { name, arguments: JSON.stringify(given ?? {}) } };
    });
    return { role, content: content ?? '', ...(made.length > 0 && { tool_calls: made }) };
  });
  const settings = settingsOf(request);
  return { ...settings, messages: said, tools, logprobs, top_logprobs } as z.input<
    typeof ChatCompletionRequest
  >;
}

type Generate = z.infer<typeof OllamaGenerateRequest>;

export function chatOfGenerate(request: Generate): z.input<typeof ChatCompletionRequest> {
  const { system, prompt } = request;
  const first = system ? [{ role: 'system' as const, content: system }] : [];
  const messages = [...first, { role: 'user', content: prompt }];
  return { ...settingsOf(request), messages } as z.input<typeof ChatCompletionRequest>;
}

export function completionOfGenerate(request: Generate): z.input<typeof CompletionRequest> {
  const { enable_thinking: _t, ...settings } = settingsOf(request) as Record<string, unknown>;
  return { ...settings, prompt: request.prompt } as z.input<typeof CompletionRequest>;
}
