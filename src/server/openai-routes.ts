// /v1/models and /v1/chat/completions: OpenAI's API, so that the clients people like work as well.
import { randomUUID } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { AttuneError, type ErrorCode, isAttuneError, isErrorCode } from '../base/errors.ts';
import type { Answer, Chat, ReplyOptions } from '../chat/chat.ts';
import type { ReplyEnding } from '../chat/event.ts';
import type { InFlight } from '../chat/reply-runner.ts';
import type { ConversationStore } from '../conversation/conversation-store.ts';
import type { ConversationSettings, Reply } from '../protocol/conversation.ts';
import { ChatCompletionRequest } from '../protocol/openai.ts';
import { fromExternal } from '../protocol/sampling.ts';
import type { EngineView } from '../protocol/server-message.ts';
import { isClientTask } from './client-task.ts';
import {
  type CompletionHead,
  chunk,
  completion,
  finishReason,
  follow,
  logprobsOf,
  type TokenNames,
  usageChunk,
} from './openai-chunk.ts';
import {
  type Continuation,
  continueConversation,
  type LearnFromApi,
  newConversation,
  originsOf,
  split,
} from './openai-conversation.ts';
import { openaiError } from './openai-error.ts';
import { hasRoom, type Route, type RouteContext, route, sendJson } from './route.ts';

export interface OpenaiOptions {
  readonly chat: Chat;
  readonly store: Pick<ConversationStore, 'findByFingerprint' | 'words' | 'read' | 'summary'>;
  readonly learnFromApi: LearnFromApi;
  readonly tokenizer: TokenNames;
  readonly clock: Clock;
  readonly engineView: () => EngineView;
}

/** The name under which the running model is offered besides its own. */
const MODEL_ALIAS = 'attune';

export function openaiRoutes(options: OpenaiOptions): Route[] {
  return [
    route('GET', '/v1/models', () => {
      return { object: 'list', data: modelIds(options.engineView()).map(modelView) };
    }),
    route('GET', '/v1/models/:id', ({ params: { id = '' } }) => {
      assertModel(id, options.engineView());
      return modelView(id);
    }),
    route('POST', '/v1/chat/completions', (context) => complete(context, options)),
  ];
}

function modelIds({ modelId }: EngineView): string[] {
  return modelId === null ? [MODEL_ALIAS] : [MODEL_ALIAS, modelId];
}

function modelView(id: string): object {
  return { id, object: 'model', created: 0, owned_by: 'attune' };
}

function assertModel(id: string, view: EngineView): void {
  const known = modelIds(view);
  if (known.includes(id)) return;
  const message = `The model "${id.slice(0, 100)}" is not served here; ${known.join(' and ')} are.`;
  throw new AttuneError('model-not-found', message, { param: 'model' });
}

function optionsOf(request: ChatCompletionRequest): ReplyOptions {
  const stop = typeof request.stop === 'string' ? [request.stop] : request.stop;
  const wanted: { [K in keyof ConversationSettings]: ConversationSettings[K] | null | undefined } =
    {
      ...fromExternal(request),
      seed: request.seed === null || request.seed === undefined ? null : request.seed >>> 0,
      templateVariables: request.chat_template_kwargs,
      replyTokensMax: request.max_completion_tokens ?? request.max_tokens,
      stop,
    };
  const present = Object.entries(wanted).filter(
    ([, value]) => value !== null && value !== undefined,
  );
  const overrides: ConversationSettings = Object.fromEntries(present);
  const topLogprobs = request.logprobs ? (request.top_logprobs ?? 0) : undefined;
  return { overrides, topLogprobs };
}

/** Errors after which the request gets a conversation of its own. */
const CONVERSATION_TAKEN: readonly ErrorCode[] = ['reply-running', 'conversation-not-found'];

async function answer(request: ChatCompletionRequest, options: OpenaiOptions): Promise<InFlight> {
  const { chat, store, clock } = options;
  const asked = split(request.messages);
  const { systemPrompt, last } = asked;
  const { metadata = undefined } = request;
  const rule = ruleFor(request, options.learnFromApi);
  const at = clock.now();
  if (
    request.store === false ||
    isClientTask({ systemPrompt, last: last.text, ...(metadata ? { metadata } : {}) })
  ) {
    const messageId = randomUUID();
    return chat.answerUnstored({
      ...newConversation(asked, { rule, at }),
      messageId,
      ...optionsOf(request),
    });
  }
  const known = await continueConversation(asked, store);
  try {
    const isOwn =
      known !== undefined && (rule !== 'never' || !store.summary(known.conversationId).canLearn);
    if (isOwn) return await begin(known, request, chat);
  } catch (error) {
    // Two that go on from the same words at once: the second gets its own copy.
    if (!isAttuneError(error) || !CONVERSATION_TAKEN.includes(error.code)) throw error;
  }
  const origins = await originsOf(asked.before, known?.conversationId, store);
  return begin(newConversation(asked, { rule, at, origins }), request, chat);
}

/** A request may ask for less than the configuration allows, never for more. */
function ruleFor({ metadata }: ChatCompletionRequest, configured: LearnFromApi): LearnFromApi {
  const wished = metadata?.learn;
  if (configured === 'never' || wished === 'never' || wished === 'false' || wished === false)
    return 'never';
  return wished === 'ask' ? 'ask' : configured;
}

async function begin(
  next: Continuation,
  request: ChatCompletionRequest,
  chat: Chat,
): Promise<InFlight> {
  const { conversationId } = next;
  const id = randomUUID();
  const options = optionsOf(request);
  const given: Answer =
    next.kind === 'say'
      ? await chat.say({ ...next, messageId: id, ...options })
      : await chat.regenerate({ conversationId, replyId: id, ...options });
  // The id is new, so there is nothing that could have been given before.
  if ('given' in given) throw new Error('openai: a new reply was already there');
  return given;
}

async function complete(context: RouteContext, options: OpenaiOptions): Promise<void> {
  const { response, signal } = context;
  const { tokenizer } = options;
  const request = await context.readBody(ChatCompletionRequest);
  assertModel(request.model, options.engineView());
  const inFlight = await answer(request, options);
  // Whoever asked over this API cannot come back for the rest: the reply ends with the request.
  signal.addEventListener('abort', () => inFlight.reply.abort());
  if (signal.aborted) inFlight.reply.abort();
  const head: CompletionHead = {
    id: `chatcmpl-${inFlight.reply.head.replyId}`,
    created: Math.floor(options.clock.now() / 1000),
    model: request.model,
  };
  if (request.stream) {
    const hasUsage = request.stream_options?.include_usage === true;
    return stream(inFlight, head, { response, tokenizer, hasUsage });
  }
  const reply = replyIn(await inFlight.ended);
  const { tokens, head: begun } = inFlight.reply;
  const logprobs = begun.keepTokens ? logprobsOf(tokens, tokenizer) : null;
  if (!response.destroyed) sendJson(response, completion(head, reply, logprobs));
}

/** @throws with the code of what interrupted the reply */
function replyIn(ending: ReplyEnding): Reply {
  if (ending.type === 'reply-end' && ending.error === null) return ending.reply;
  const { code, message } = ending.error ?? { code: 'internal-error', message: '' };
  throw new AttuneError(isErrorCode(code) ? code : 'internal-error', message);
}

interface Streaming extends Pick<RouteContext, 'response'> {
  readonly tokenizer: TokenNames;
  /** The last chunk has the numbers of tokens. */
  readonly hasUsage: boolean;
}

async function stream(
  { reply, ended }: InFlight,
  head: CompletionHead,
  { response, tokenizer, hasUsage }: Streaming,
): Promise<void> {
  response.writeHead(200, {
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-store',
    Connection: 'keep-alive',
  });
  const send = (data: object | string): void => {
    response.write(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
  };
  send(chunk(head, { role: 'assistant', content: '' }));
  const next = follow(reply, tokenizer);
  const sendNext = (): void => {
    const { text, thought, logprobs } = next();
    if (thought !== '') send(chunk(head, { reasoning_content: thought }));
    const hasMore = text !== '' || (logprobs?.length ?? 0) > 0;
    if (hasMore) send(chunk(head, { content: text }, { logprobs }));
  };
  let ending: ReplyEnding | undefined;
  void ended.then((value) => {
    ending = value;
  });
  while (ending === undefined) {
    await Promise.race([reply.grown(), ended]);
    // A slow reader gets the words that came meanwhile as one chunk.
    if (!(await hasRoom(response))) return;
    sendNext();
  }
  sendNext();
  try {
    const whole = replyIn(ending);
    send(chunk(head, {}, { finish: finishReason(whole) }));
    if (hasUsage) send(usageChunk(head, whole));
    send('[DONE]');
  } catch (error) {
    send(openaiError(error as AttuneError));
  }
  response.end();
}
