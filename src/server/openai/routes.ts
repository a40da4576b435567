// /v1: OpenAI's API, so that the clients people like work as well.
import { randomUUID } from 'node:crypto';
import { AttuneError } from '../../base/errors.ts';
import { parseWith } from '../../protocol/codec.ts';
import {
  ChatCompletionRequest,
  CompletionRequest,
  type Generation,
  needsUpstream,
} from '../../protocol/openai.ts';
import { chatOf, RESPONSES_NAMES, ResponsesRequest } from '../../protocol/responses.ts';
import type { EngineView } from '../../protocol/server-message.ts';
import { type Route, type RouteContext, route } from '../route.ts';
import { chatFormat, type FormatOptions, textFormat } from './chat-format.ts';
import { beginChat, beginCompletion, type OpenaiOptions } from './order.ts';
import { responsesFormat } from './responses-format.ts';
import { send } from './stream.ts';

/** The name under which the running model is offered besides its own. */
const MODEL_ALIAS = 'attune';

export function openaiRoutes(options: OpenaiOptions): Route[] {
  return [
    route('GET', '/v1/models', () => {
      return { object: 'list', data: modelIds(options.engineView()).map(modelView) };
    }),
    route('GET', '/v1/models/:id*', ({ params: { id = '' } }) => {
      assertModel(id, options.engineView());
      return modelView(id);
    }),
    route('POST', '/v1/chat/completions', (context) => chat(context, options)),
    route('POST', '/v1/responses', (context) => respond(context, options)),
    route('POST', '/v1/completions', (context) => complete(context, options)),
    route('POST', '/v1/embeddings', () => {
      const message = `${needsUpstream('embeddings are')}.`;
      throw new AttuneError('route-unknown', message, { param: 'input' });
    }),
  ];
}

export function modelIds({ modelId }: EngineView): string[] {
  return modelId === null ? [MODEL_ALIAS] : [MODEL_ALIAS, modelId];
}

function modelView(id: string): object {
  return { id, object: 'model', created: 0, owned_by: 'attune' };
}

/** @throws model-not-found */
export function assertModel(id: string, view: EngineView): void {
  const known = modelIds(view);
  if (known.includes(id)) return;
  const message = `The model "${id.slice(0, 100)}" is not served here; ${known.join(' and ')} are.`;
  throw new AttuneError('model-not-found', message, { param: 'model' });
}

function formatOptions(prefix: string, request: Generation, options: OpenaiOptions): FormatOptions {
  return {
    id: `${prefix}${randomUUID()}`,
    created: Math.floor(options.clock.now() / 1000),
    model: request.model,
    fingerprint: options.engineView().version ?? 'none',
    choices: request.n ?? 1,
    tokenizer: options.tokenizer,
    hasUsage: request.stream_options?.include_usage === true,
  };
}

async function chat(context: RouteContext, options: OpenaiOptions): Promise<void> {
  const request = await context.readBody(ChatCompletionRequest);
  assertModel(request.model, options.engineView());
  const replies = await beginChat(request, options);
  const format = chatFormat(formatOptions('chatcmpl-', request, options));
  await send(replies, format, { ...context, isStream: request.stream === true });
}

async function respond(context: RouteContext, options: OpenaiOptions): Promise<void> {
  const sent = await context.readBody(ResponsesRequest);
  const request = parseWith(ChatCompletionRequest, chatOf(sent), RESPONSES_NAMES);
  assertModel(request.model, options.engineView());
  const replies = await beginChat({ ...request, n: 1 }, options);
  const format = responsesFormat({ ...formatOptions('resp_', request, options), request, sent });
  await send(replies, format, { ...context, isStream: request.stream === true });
}

async function complete(context: RouteContext, options: OpenaiOptions): Promise<void> {
  const request = await context.readBody(CompletionRequest);
  assertModel(request.model, options.engineView());
  const { prompt, echo, n } = request;
  if (echo && prompt.some((one) => typeof one !== 'string')) {
    const message = `echo: ${needsUpstream('tokens that are sent back as text are')}.`;
    throw new AttuneError('message-invalid', message, { param: 'echo' });
  }
  if (echo && typeof request.logprobs === 'number') {
    const message = `echo: ${needsUpstream('log-probabilities of the prompt are')}.`;
    throw new AttuneError('message-invalid', message, { param: 'echo' });
  }
  const replies = await beginCompletion(request, options);
  const echoes = prompt.flatMap((one) => Array<string>(n ?? 1).fill(echo ? String(one) : ''));
  const format = textFormat(formatOptions('cmpl-', request, options), echoes);
  await send(replies, format, { ...context, isStream: request.stream === true });
}
