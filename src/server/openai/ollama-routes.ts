// /api/chat and its like: Ollama's API, for the clients that know no other.
import { z } from 'zod';
import { AttuneError, publicMessage } from '../../base/errors.ts';
import type { InFlight } from '../../chat/reply-runner.ts';
import { parseWith } from '../../protocol/codec.ts';
import {
  chatOfGenerate,
  chatOfOllama,
  completionOfGenerate,
  modelName,
  OllamaChatRequest,
  OllamaGenerateRequest,
} from '../../protocol/ollama.ts';
import { ChatCompletionRequest, CompletionRequest, needsUpstream } from '../../protocol/openai.ts';
import { type Route, type RouteContext, route, sendJson } from '../route.ts';
import { logprobsOf } from './chat-format.ts';
import { beginChat, beginCompletion, type OpenaiOptions } from './order.ts';
import { assertModel, modelIds } from './routes.ts';
import { type Done, type Format, type Part, send } from './stream.ts';

const Show = z.looseObject({ model: z.string().nullish(), name: z.string().nullish() });

/** @param version of the daemon */
export function ollamaRoutes(options: OpenaiOptions, version: string): Route[] {
  const { engineView } = options;
  return [
    route('POST', '/api/chat', (context) => chat(context, options)),
    route('POST', '/api/generate', (context) => generate(context, options)),
    route('GET', '/api/version', () => ({ version })),
    ...['/api/tags', '/api/ps'].map((path) =>
      route('GET', path, () => {
        const names = modelIds(engineView()).map((id) => `${id}:latest`);
        return { models: names.map((name) => ({ name, model: name, ...modelView(options) })) };
      }),
    ),
    ...['/api/embed', '/api/embeddings'].map((path) =>
      route('POST', path, () => {
        throw new AttuneError('route-unknown', `${needsUpstream('embed: embeddings are')}.`);
      }),
    ),
    route('POST', '/api/show', async ({ readBody }) => {
      const { model, name } = await readBody(Show);
      assertModel(modelName(model ?? name ?? ''), engineView());
      return showView(options);
    }),
  ];
}

function modelView({ engineView, clock }: OpenaiOptions): object {
  const { base, parameters } = engineView();
  const millions = Math.round((parameters ?? 0) / 1e6);
  return {
    modified_at: new Date(clock.now()).toISOString(),
    size: (parameters ?? 0) * 4,
    digest: base ?? '',
    details: {
      ...{ parent_model: '', format: 'gguf', family: 'attune', families: ['attune'] },
      ...{ parameter_size: `${millions}M`, quantization_level: 'F32' },
    },
  };
}

function showView(options: OpenaiOptions): object {
  const { parameters, windowTokens } = options.engineView();
  return {
    ...{ modelfile: '', parameters: '', template: '', ...modelView(options) },
    model_info: {
      'general.architecture': 'attune',
      'general.parameter_count': parameters,
      'attune.context_length': windowTokens,
    },
    capabilities: ['completion', ...(options.tokenizer.takesTools ? ['tools'] : [])],
  };
}

async function chat(context: RouteContext, options: OpenaiOptions): Promise<void> {
  const sent = await context.readBody(OllamaChatRequest);
  assertModel(modelName(sent.model), options.engineView());
  if (!sent.messages?.length) return sendJson(context.response, loaded(sent.model, options));
  const request = parseWith(ChatCompletionRequest, chatOfOllama(sent), NAMES);
  await reply(context, { sent, kind: 'chat', replies: await beginChat(request, options) }, options);
}

async function generate(context: RouteContext, options: OpenaiOptions): Promise<void> {
  const sent = await context.readBody(OllamaGenerateRequest);
  assertModel(modelName(sent.model), options.engineView());
  if (!sent.prompt) return sendJson(context.response, loaded(sent.model, options));
  const replies = sent.raw
    ? await beginCompletion(
        parseWith(CompletionRequest, completionOfGenerate(sent), NAMES),
        options,
      )
    : await beginChat(parseWith(ChatCompletionRequest, chatOfGenerate(sent), NAMES), options);
  await reply(context, { sent, kind: 'generate', replies }, options);
}

const NAMES = { max_tokens: 'num_predict' };

/** What asks for nothing asks whether the model is there. */
function loaded(model: string, { clock }: OpenaiOptions): object {
  const created_at = new Date(clock.now()).toISOString();
  const nothing = { response: '', message: { role: 'assistant', content: '' } };
  return { model, created_at, ...nothing, done: true, done_reason: 'load' };
}

interface Asked {
  readonly sent: { readonly model: string; readonly stream?: boolean | null | undefined };
  readonly kind: 'chat' | 'generate';
  readonly replies: readonly InFlight[];
}

function reply(
  context: RouteContext,
  { sent, kind, replies }: Asked,
  options: OpenaiOptions,
): Promise<void> {
  const format = ollamaFormat(sent.model, kind, options);
  return send(replies, format, { ...context, isStream: sent.stream !== false });
}

const NS_PER_MS = 1e6;

/** Lines of JSON. */
function ollamaFormat(
  model: string,
  kind: Asked['kind'],
  { clock, tokenizer }: OpenaiOptions,
): Format {
  const begunMs = clock.monotonicMs();
  let firstMs: number | undefined;
  const head = () => ({ model, created_at: new Date(clock.now()).toISOString() });
  const words = ({ text, thought, calls, tokens }: Omit<Part, 'choice'>): object => {
    const thinking = thought === '' ? {} : { thinking: thought };
    const logprobs = tokens === undefined ? {} : { logprobs: logprobsOf(tokens, tokenizer) };
    if (kind === 'generate') return { response: text, ...thinking, ...logprobs };
    const called = calls.map(({ id, name, arguments: given }) => {
      return { id, function: { name, arguments: JSON.parse(given) as unknown } };
    });
    const toolCalls = called.length === 0 ? {} : { tool_calls: called };
    return {
      message: { role: 'assistant', content: text, ...thinking, ...toolCalls },
      ...logprobs,
    };
  };
  const ending = ({ reply: { stopReason, usage } }: Done): object => {
    const nowMs = clock.monotonicMs();
    const promptMs = (firstMs ?? nowMs) - begunMs;
    const ns = (ms: number): number => Math.round(ms * NS_PER_MS);
    return {
      ...{ done: true, done_reason: stopReason === 'length' ? 'length' : 'stop' },
      ...{ total_duration: ns(nowMs - begunMs), load_duration: 0 },
      ...{ prompt_eval_count: usage.promptTokens, prompt_eval_duration: ns(promptMs) },
      ...{ eval_count: usage.replyTokens, eval_duration: ns(nowMs - begunMs - promptMs) },
    };
  };
  const line = (value: object): string => `${JSON.stringify(value)}\n`;
  const nothing = { text: '', thought: '', calls: [], tokens: undefined };
  return {
    contentType: 'application/x-ndjson',
    // Blank lines would not be JSON.
    keepAlive: '',
    whole([one]) {
      const { running, ...done } = one as Done;
      const tokens = running.head.keepTokens ? running.tokens : undefined;
      const { text, thought, calls } = running;
      return {
        ...head(),
        ...words({ text, thought, calls, tokens }),
        ...ending({ running, ...done }),
      };
    },
    begin: () => '',
    part(part) {
      firstMs ??= clock.monotonicMs();
      return line({ ...head(), ...words(part), done: false });
    },
    end: (done) => line({ ...head(), ...words(nothing), ...ending(done) }),
    finish: () => '',
    fail: (error) => line(ollamaError(error)),
  };
}

/** The paths of Ollama's API, also of what is not served: their errors are texts. */
export const OLLAMA_PATH =
  /^\/api\/(?:chat|generate|tags|show|version|ps|embed|embeddings|pull|push|create|copy|delete)$/;

export function ollamaError(error: AttuneError): { error: string } {
  return { error: publicMessage(error) };
}
