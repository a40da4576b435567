// What OpenAI's API asks for, as far as the daemon serves it: one table of settings for every
// route. Whatever would change the answer and is not there is refused by its name.
import { z } from 'zod';
import { TemplateVariables } from './conversation.ts';
import { externalSamplingShape } from './sampling-schema.ts';

/** How what only larger servers have is refused. */
export function needsUpstream(what: string): string {
  return `${what} not served by the built-in model; use an upstream server`;
}

/** Cannot change the answer: names, hints for speed, settings of what is off. */
const IGNORED = new Set([
  ...['user', 'name', 'id', 'chat_id', 'session_id', 'request_id', 'conversation_id', 'message_id'],
  ...['safety_identifier', 'service_tier', 'prompt_cache_key', 'prompt_cache_retention'],
  'prompt_cache_options',
  ...['prediction', 'cache_prompt', 'id_slot', 'slot_id', 'keep_alive', 'timings_per_token'],
  ...['background_tasks', 'features', 'files', 'dry_penalty_last_n', 'xtc_threshold'],
  ...['mirostat_tau', 'mirostat_eta', 'dry_base', 'dry_allowed_length', 'dry_sequence_breakers'],
]);

/** Values that ask for nothing. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  response_format: [{ type: 'text' }],
  modalities: [['text']],
  verbosity: ['medium'],
  functions: [[]],
  function_call: ['none', 'auto'],
  best_of: [0, 1],
  suffix: [''],
  min_tokens: [0],
  ignore_eos: [false],
  typical_p: [0, 1],
  typ_p: [1],
  tfs_z: [1],
  top_a: [0],
  mirostat: [0],
  mirostat_mode: [0],
  dry_multiplier: [0],
  xtc_probability: [0],
  dynatemp_range: [0],
  smoothing_factor: [0],
  repeat_last_n: [0],
  stop_token_ids: [[]],
  grammar: [''],
  format: [''],
};

/** What larger servers have. */
const UPSTREAM = new Set([
  ...['response_format', 'modalities', 'audio', 'functions', 'function_call', 'suffix', 'best_of'],
  ...['moderation', 'context_management', 'background_options', 'access_programs', 'image'],
  ...['web_search_options', 'grammar', 'json_schema', 'guided_json', 'guided_regex', 'format'],
  ...['guided_choice', 'guided_grammar', 'structured_outputs', 'verbosity', 'prompt_logprobs'],
  ...['stop_token_ids', 'ignore_eos', 'min_tokens', 'typical_p', 'mirostat', 'dry_multiplier'],
  ...['xtc_probability', 'tfs_z', 'top_a', 'repeat_last_n', 'truncate_prompt_tokens'],
]);

/** An object of which nothing that would change the answer is ignored. */
export function closed<S extends z.ZodRawShape>(shape: S, ignored: readonly string[] = []) {
  return z.looseObject(shape).superRefine((value, context) => {
    for (const [key, one] of Object.entries(value)) {
      if (key in shape || one == null || IGNORED.has(key) || ignored.includes(key)) continue;
      if (NEUTRAL[key]?.some((neutral) => JSON.stringify(neutral) === JSON.stringify(one)))
        continue;
      const message = UPSTREAM.has(key) ? needsUpstream('is') : 'is not known here';
      context.addIssue({ code: 'custom', path: [key], message });
    }
  });
}

const Part = z.looseObject({ type: z.string() }).superRefine(({ type, text }, context) => {
  if (!['text', 'input_text', 'output_text', 'refusal'].includes(type)) {
    const message = needsUpstream(`${type.slice(0, 40)} parts are`);
    context.addIssue({ code: 'custom', path: ['type'], message });
  } else if (type !== 'refusal' && typeof text !== 'string') {
    context.addIssue({ code: 'custom', path: ['text'], message: 'expected a text' });
  }
});
const Content = z
  .union([z.string(), z.array(Part)])
  .transform((content) =>
    typeof content === 'string'
      ? content
      : content.map(({ text, refusal }) => text ?? refusal ?? '').join('\n'),
  );
const Said = Content.nullish().transform((content) => content ?? '');

const CalledTool = z.object({
  id: z.string().max(200),
  function: z.object({ name: z.string().max(200), arguments: z.string() }),
});

export const OpenaiMessage = z.discriminatedUnion('role', [
  z.object({ role: z.enum(['system', 'developer']), content: Content }),
  z.object({ role: z.literal('user'), content: Content }),
  z.object({
    role: z.literal('assistant'),
    content: Said,
    tool_calls: z.array(CalledTool).nullish(),
  }),
  z.object({ role: z.literal('tool'), content: Said, tool_call_id: z.string().max(200) }),
]);
export type OpenaiMessage = z.infer<typeof OpenaiMessage>;

const Tool = z.looseObject({
  type: z.literal('function', needsUpstream('tools but functions are')),
  function: z.looseObject({ name: z.string().min(1).max(200) }),
});

const penalty = z.number().min(-2).max(2).nullish();
const TokensMax = z
  .int()
  .refine((count) => count > 0 || count === -1, 'must be above 0, or -1 for no limit')
  .nullish();

/** What every route takes, under OpenAI's names and those that others have for the same. */
const generationShape = {
  model: z.string(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  n: z.int().min(1).max(16).nullish(),
  seed: z.number().int().nullish(),
  stop: z
    .union([z.string(), z.array(z.string()).max(16)])
    .nullish()
    .transform((stop) => [stop ?? []].flat().filter((one) => one !== '')),
  ...externalSamplingShape,
  repeat_penalty: externalSamplingShape.repetition_penalty,
  presence_penalty: penalty,
  frequency_penalty: penalty,
  logit_bias: z
    .record(
      z.string().regex(/^\d{1,7}$/, 'expected the id of a token'),
      z.number().min(-100).max(100),
    )
    .nullish(),
  max_tokens: TokensMax,
  max_completion_tokens: TokensMax,
  n_predict: TokensMax,
  /** False: nothing of the request is kept. */
  store: z.boolean().nullish(),
  /** `learn`: `never`, or `ask` where nights would learn without asking. */
  metadata: z.record(z.string(), z.unknown()).nullish(),
  /** As vLLM and llama.cpp take them: variables of the chat template. */
  chat_template_kwargs: TemplateVariables.nullish(),
};
const Generation = z.object(generationShape);
export type Generation = z.infer<typeof Generation>;

const LAST = 'a last message of the model is gone on with, any other one is answered';

export const ChatCompletionRequest = closed({
  ...generationShape,
  messages: z.array(OpenaiMessage).min(1),
  tools: z.array(Tool).max(128).nullish(),
  tool_choice: z.enum(['auto', 'none'], needsUpstream('a tool that must be called is')).nullish(),
  /** False: one call at most. */
  parallel_tool_calls: z.boolean().nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.number().int().min(0).max(20).nullish(),
  /** `none` and `minimal` switch the thoughts off of models whose template can. */
  reasoning_effort: z.string().max(20).nullish(),
  enable_thinking: z.boolean().nullish(),
  /** As vLLM names it: a last message of the model is gone on with, and only that. */
  add_generation_prompt: z.boolean().nullish(),
  continue_final_message: z.boolean().nullish(),
}).superRefine((request, context) => {
  const refuse = (param: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [param], message });
  const { logprobs, top_logprobs: top, messages } = request;
  if (top && !logprobs) refuse('top_logprobs', 'needs logprobs: true');
  const isContinued = messages.at(-1)?.role === 'assistant';
  if (request.continue_final_message === !isContinued)
    refuse('continue_final_message', `is ${isContinued} here: ${LAST}`);
  if (request.add_generation_prompt === isContinued)
    refuse('add_generation_prompt', `is ${!isContinued} here: ${LAST}`);
});
export type ChatCompletionRequest = z.infer<typeof ChatCompletionRequest>;

const Prompt = z.union([z.string(), z.array(z.int().min(0)).min(1)]);

export const CompletionRequest = closed({
  ...generationShape,
  prompt: z
    .union([Prompt, z.array(Prompt).min(1).max(16)])
    .transform((prompt): (string | number[])[] => {
      if (typeof prompt === 'string') return [prompt];
      return prompt.every((one) => typeof one === 'number') ? [prompt] : (prompt as string[]);
    }),
  logprobs: z.int().min(0).max(5).nullish(),
  echo: z.boolean().nullish(),
});
export type CompletionRequest = z.infer<typeof CompletionRequest>;

export interface OpenaiUsage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
}

export interface OpenaiTokenLogprob {
  token: string;
  logprob: number;
  bytes: number[];
  top_logprobs: { token: string; logprob: number; bytes: number[] }[];
}

export interface OpenaiError {
  error: { message: string; type: string; param: string | null; code: string | null };
}
