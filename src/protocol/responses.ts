// OpenAI's Responses API as a chat completion: its items are messages, its names are others.
import { z } from 'zod';
import { type ChatCompletionRequest, needsUpstream } from './openai.ts';

const Item = z.looseObject({ type: z.string().optional(), role: z.string().optional() });
type Item = z.infer<typeof Item>;

const absent = (what: string) => z.null(needsUpstream(what)).optional();

export const ResponsesRequest = z.looseObject({
  model: z.string(),
  input: z.union([z.string(), z.array(Item).min(1)]),
  instructions: z.string().nullish(),
  max_output_tokens: z.unknown().optional(),
  text: z
    .looseObject({ format: z.unknown().optional(), verbosity: z.unknown().optional() })
    .nullish(),
  reasoning: z.looseObject({ effort: z.string().nullish() }).nullish(),
  tools: z.array(z.looseObject({ type: z.string() })).nullish(),
  include: z.array(z.string()).nullish(),
  /** What does not fit leaves the window from its beginning either way. */
  truncation: z.enum(['auto', 'disabled']).nullish(),
  previous_response_id: absent('answers that are kept for later requests are'),
  conversation: absent('conversations that are kept for later requests are'),
  prompt: absent('kept prompts are'),
  max_tool_calls: absent('a number of tool calls is'),
  background: z.literal(false, needsUpstream('answers in the background are')).nullish(),
});
export type ResponsesRequest = z.infer<typeof ResponsesRequest>;

/** Names of the chat completion that a client of this API does not know, and its own for them. */
export const RESPONSES_NAMES = {
  messages: 'input',
  max_tokens: 'max_output_tokens',
  response_format: 'text.format',
  verbosity: 'text.verbosity',
  reasoning_effort: 'reasoning.effort',
} as const;

/** As the schema of chat completions takes it; it is checked there. */
export function chatOf(request: ResponsesRequest): z.input<typeof ChatCompletionRequest> {
  const { input, instructions, max_output_tokens, text, reasoning, tools, include, ...rest } =
    request;
  const { truncation: _t, background: _b, ...more } = rest;
  const items = typeof input === 'string' ? [{ role: 'user', content: input }] : input;
  const system = instructions ? [{ role: 'system', content: instructions }] : [];
  return {
    ...more,
    messages: [...system, ...messagesOf(items)],
    max_tokens: max_output_tokens,
    response_format: text?.format,
    verbosity: text?.verbosity,
    reasoning_effort: reasoning?.effort,
    tools: tools?.map(toolOf),
    logprobs: include?.includes('message.output_text.logprobs') || rest.top_logprobs ? true : null,
  } as z.input<typeof ChatCompletionRequest>;
}

function toolOf({ type, ...tool }: Item): object {
  const { strict: _strict, ...described } = tool;
  return type === 'function' ? { type, function: described } : { type };
}

interface Message {
  readonly role: string | undefined;
  readonly content?: unknown;
  readonly tool_calls?: object[];
  readonly tool_call_id?: unknown;
}

function messagesOf(items: readonly Item[]): Message[] {
  const messages: Message[] = [];
  for (const item of items) {
    const { type = 'message' } = item;
    // Thoughts are not sent back to the model.
    if (type === 'reasoning') continue;
    if (type === 'function_call') {
      const call = {
        id: item.call_id,
        function: { name: item.name, arguments: item.arguments },
      };
      const last = messages.at(-1);
      if (last?.tool_calls !== undefined) last.tool_calls.push(call);
      else messages.push({ role: 'assistant', content: '', tool_calls: [call] });
    } else if (type === 'function_call_output') {
      messages.push({ role: 'tool', content: item.output, tool_call_id: item.call_id });
    } else if (type === 'message') {
      messages.push({ role: item.role, content: item.content });
    } else messages.push({ role: 'user', content: [{ type }] });
  }
  return messages;
}
