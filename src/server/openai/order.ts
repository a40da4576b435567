// Begins the replies that a request asks for, in the conversation that it continues or a new one.
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { AttuneError, type ErrorCode, isAttuneError } from '../../base/errors.ts';
import type { Answer, Chat, ReplyOptions } from '../../chat/chat.ts';
import type { InFlight } from '../../chat/reply-runner.ts';
import type { ConversationStore } from '../../conversation/conversation-store.ts';
import { fingerprintsAt, type SaidMessage, wordHash } from '../../conversation/fingerprint.ts';
import {
  foreignReply,
  type HeaderRecord,
  LOG_SCHEMA_VERSION,
  type LogRecord,
} from '../../conversation/record.ts';
import type { ConversationState } from '../../conversation/state.ts';
import type { ConversationSettings } from '../../protocol/conversation.ts';
import type {
  ChatCompletionRequest,
  CompletionRequest,
  Generation,
} from '../../protocol/openai.ts';
import { type Adjustment, fromExternal } from '../../protocol/sampling.ts';
import type { EngineView } from '../../protocol/server-message.ts';
import type { ChatTokenizer } from '../../tokenizer/chat-tokenizer.ts';
import { isClientTask } from './client-task.ts';
import { type Split, split } from './messages.ts';

export interface OpenaiOptions {
  readonly chat: Chat;
  readonly store: Pick<ConversationStore, 'findByFingerprint' | 'words' | 'read' | 'summary'>;
  readonly learnFromApi: LearnFromApi;
  readonly tokenizer: Pick<ChatTokenizer, 'tokenText' | 'tokenBytes' | 'takesTools'>;
  readonly vocabularySize: () => number;
  readonly clock: Clock;
  readonly engineView: () => EngineView;
}

/** As many as the window has room for. */
const NO_LIMIT = 2 ** 30;

type Layer = { [K in keyof ConversationSettings]: ConversationSettings[K] | null | undefined };

/** The one place where names outside become settings of a reply. */
function optionsOf(request: Generation, { vocabularySize }: OpenaiOptions): ReplyOptions {
  const tokensMax = request.max_completion_tokens ?? request.max_tokens ?? request.n_predict;
  const { seed, stop, repeat_penalty, repetition_penalty = repeat_penalty } = request;
  const wanted: Layer = {
    ...fromExternal({ ...request, repetition_penalty }),
    seed: seed === null || seed === undefined ? null : seed >>> 0,
    templateVariables: request.chat_template_kwargs,
    replyTokensMax: tokensMax === -1 ? NO_LIMIT : tokensMax,
    stop: stop.length === 0 ? null : stop,
  };
  const present = Object.entries(wanted).filter(
    ([, value]) => value !== null && value !== undefined,
  );
  const overrides: ConversationSettings = Object.fromEntries(present);
  const adjustment: Adjustment = {
    presencePenalty: request.presence_penalty || undefined,
    frequencyPenalty: request.frequency_penalty || undefined,
    bias: biasOf(request, vocabularySize()),
  };
  const isAdjusted = Object.values(adjustment).some((one) => one !== undefined);
  return { overrides, ...(isAdjusted && { adjustment }) };
}

function biasOf({ logit_bias: bias }: Generation, vocabularySize: number): Adjustment['bias'] {
  const entries = Object.entries(bias ?? {}).map(([id, added]) => [Number(id), added] as const);
  assertTokens(
    entries.map(([id]) => id),
    { param: 'logit_bias', vocabularySize },
  );
  return entries.length === 0 ? undefined : entries;
}

function assertTokens(
  ids: readonly number[],
  { param, vocabularySize }: { readonly param: string; readonly vocabularySize: number },
): void {
  const foreign = ids.find((id) => id >= vocabularySize);
  if (foreign === undefined) return;
  const message = `${param}: ${foreign} is not a token of this model, which has ${vocabularySize}.`;
  throw new AttuneError('message-invalid', message, { param });
}

/** @throws message-invalid where the model has no place for what is asked for */
function chatOptions(request: ChatCompletionRequest, options: OpenaiOptions): ReplyOptions {
  const { reasoning_effort: effort, enable_thinking: isThinking, tools } = request;
  const thinking = isThinking ?? (effort ? !['none', 'minimal'].includes(effort) : undefined);
  const variables = {
    ...(thinking === undefined ? {} : { enable_thinking: thinking }),
    ...(effort ? { reasoning_effort: effort } : {}),
    ...request.chat_template_kwargs,
  };
  const hasVariables = Object.keys(variables).length > 0;
  const more = hasVariables ? { chat_template_kwargs: variables } : {};
  const common = optionsOf({ ...request, ...more }, options);
  const topLogprobs = request.logprobs ? (request.top_logprobs ?? 0) : undefined;
  if (!tools?.length || request.tool_choice === 'none') return { ...common, topLogprobs };
  if (!options.tokenizer.takesTools) {
    const message =
      "tools: the chat template of this model has no place for them; use another model's, or an " +
      'upstream server.';
    throw new AttuneError('message-invalid', message, { param: 'tools' });
  }
  const names = tools.map((tool) => tool.function.name);
  const calling = { names, isSingle: request.parallel_tool_calls === false };
  return { ...common, topLogprobs, tools, calling };
}

/** One reply, or several to choose from. @throws what any of them throws; none goes on then */
export async function beginChat(
  request: ChatCompletionRequest,
  options: OpenaiOptions,
): Promise<InFlight[]> {
  const said = split(request.messages);
  const { turns, prefill, hasTools, systemPrompt } = said;
  const given = { ...chatOptions(request, options), ...(prefill !== undefined && { prefill }) };
  const asked = toKeep(said, request);
  const begin = choicesOf(given, request).map((one, index) => () => {
    if (index === 0 && asked !== undefined) {
      const replies = { ...one, ...(hasTools && { turns }) };
      return keep(asked, options, { metadata: request.metadata, replies });
    }
    const overrides = { ...one.overrides, ...(systemPrompt !== '' && { systemPrompt }) };
    return options.chat.answerUnstored({ ...one, overrides, turns, conversationId: randomUUID() });
  });
  return beginAll(begin);
}

/** Each choice of each prompt. @throws message-invalid, window-overflow */
export function beginCompletion(
  request: CompletionRequest,
  options: OpenaiOptions,
): Promise<InFlight[]> {
  const vocabularySize = options.vocabularySize();
  const given = {
    ...optionsOf(request, options),
    topLogprobs: request.logprobs ?? undefined,
  };
  const begin = request.prompt.flatMap((raw) => {
    if (raw.length === 0) throw new AttuneError('message-invalid', EMPTY, { param: 'prompt' });
    if (typeof raw !== 'string') assertTokens(raw, { param: 'prompt', vocabularySize });
    return choicesOf(given, request).map(
      (one) => () => options.chat.answerUnstored({ ...one, raw, conversationId: randomUUID() }),
    );
  });
  return beginAll(begin);
}

const EMPTY = 'prompt: is empty: there is nothing to go on from.';

/** The options of each choice: a seed gives each of them another reply. */
function choicesOf(given: ReplyOptions, { n }: Generation): ReplyOptions[] {
  const seed = given.overrides?.seed;
  return Array.from({ length: n ?? 1 }, (_, index) => {
    if (seed === undefined) return given;
    return { ...given, overrides: { ...given.overrides, seed: (seed + index) >>> 0 } };
  });
}

async function beginAll(begin: readonly (() => Promise<InFlight>)[]): Promise<InFlight[]> {
  const begun: InFlight[] = [];
  try {
    for (const one of begin) begun.push(await one());
    return begun;
  } catch (error) {
    for (const { reply } of begun) reply.abort();
    throw error;
  }
}

/** Errors after which the request gets a conversation of its own. */
const CONVERSATION_TAKEN: readonly ErrorCode[] = ['reply-running', 'conversation-not-found'];

interface Wanted {
  /** Of the request. */
  readonly metadata?: unknown;
  readonly replies: ReplyOptions & { readonly onTaken?: () => void };
}

/** What a request says that is to be kept; undefined: nothing, or a program asks for itself. */
export function toKeep(
  { systemPrompt, before, last }: Split,
  { store, metadata }: { readonly store?: unknown; readonly metadata?: unknown },
): Asked | undefined {
  if (last === undefined || store === false) return undefined;
  const isTask = isClientTask({ systemPrompt, last: last.text, metadata: fieldsOf(metadata) });
  return isTask ? undefined : { systemPrompt, before, last };
}

const fieldsOf = (metadata: unknown): Readonly<Record<string, unknown>> =>
  typeof metadata === 'object' && metadata !== null ? { ...metadata } : {};

/** Answers in the conversation that goes on, or in a new one. @throws as `Chat.say` */
export async function keep(
  asked: Asked,
  { chat, store, clock, learnFromApi }: OpenaiOptions,
  { metadata, replies }: Wanted,
): Promise<InFlight> {
  const rule = ruleFor(fieldsOf(metadata).learn, learnFromApi);
  // Whoever has read the last word of an answer may go on before it is on the disk.
  await chat.stored();
  const known = await continueConversation(asked, store);
  try {
    const isOwn =
      known !== undefined && (rule !== 'never' || !store.summary(known.conversationId).canLearn);
    if (isOwn) return await begin(known, replies, chat);
  } catch (error) {
    // Two that go on from the same words at once: the second gets its own copy.
    if (!isAttuneError(error) || !CONVERSATION_TAKEN.includes(error.code)) throw error;
  }
  const origins = await originsOf(asked.before, known?.conversationId, store);
  return begin(newConversation(asked, { rule, at: clock.now(), origins }), replies, chat);
}

/** A request may ask for less than the configuration allows, never for more. */
function ruleFor(wished: unknown, configured: LearnFromApi): LearnFromApi {
  if (configured === 'never' || wished === 'never' || wished === 'false' || wished === false)
    return 'never';
  return wished === 'ask' ? 'ask' : configured;
}

async function begin(next: Continuation, replies: ReplyOptions, chat: Chat): Promise<InFlight> {
  const { conversationId } = next;
  const id = randomUUID();
  const given: Answer =
    next.kind === 'say'
      ? await chat.say({ ...next, messageId: id, ...replies })
      : await chat.regenerate({ conversationId, replyId: id, ...replies });
  // The id is new, so there is nothing that could have been given before.
  if ('given' in given) throw new Error('openai: a new reply was already there');
  return given;
}

// Finds the conversation that an OpenAI request continues: such requests carry all that was said.

/** How a request is answered: its last message is said in a conversation, or answered again. */
type Continuation =
  | {
      readonly kind: 'say';
      readonly conversationId: string;
      readonly text: string;
      readonly beginning?: readonly [HeaderRecord, ...LogRecord[]];
    }
  | { readonly kind: 'regenerate'; readonly conversationId: string };

/** A new conversation, with what was said in it before. */
type Beginning = Required<Extract<Continuation, { kind: 'say' }>>;

/** What a request says, where it says something. */
type Asked = Pick<Split, 'systemPrompt' | 'before'> & { readonly last: SaidMessage };

/** What was said before, as records of a new conversation. */
function historyRecords(before: readonly SaidMessage[], at: number): LogRecord[] {
  let messageId = randomUUID() as string;
  return before.map(({ role, text }): LogRecord => {
    const id = randomUUID();
    if (role === 'user') {
      messageId = id;
      return { type: 'message', id, at, text };
    }
    return foreignReply({ id, messageId, at, text });
  });
}

/**
 * The conversation in which exactly the messages before the last were said goes on, wherever it was
 * begun; the same request again (a client's "regenerate", or its retry) answers its last message
 * again, in a conversation of this route; undefined: there is no such conversation.
 */
async function continueConversation(
  { systemPrompt, before, last }: Asked,
  store: Pick<ConversationStore, 'findByFingerprint'>,
): Promise<Continuation | undefined> {
  const prints = await fingerprintsAt(systemPrompt, before, last);
  const asked = store.findByFingerprint('asked', prints.asked);
  if (asked !== undefined) return { kind: 'regenerate', conversationId: asked };
  const said = store.findByFingerprint('said', prints.said);
  if (said === undefined || before.length === 0) return undefined;
  return { kind: 'say', conversationId: said, text: last.text };
}

/** Whether nights may learn from what comes over the API. */
type LearnFromApi = 'always' | 'ask' | 'never';

interface NewConversation {
  readonly rule: LearnFromApi;
  readonly at: number;
  /** Conversations whose words it begins with, the closest first. */
  readonly origins?: readonly ConversationState[];
}

/**
 * A conversation of its own, that begins with what was said before. Words keep what the person
 * decided about them: those of an excluded conversation are not learnt from here either.
 */
function newConversation(
  { systemPrompt, before, last }: Asked,
  { rule, at, origins = [] }: NewConversation,
): Beginning {
  const id = randomUUID();
  const isExcluded = origins.some(({ canLearn, isUndecided }) => !canLearn && !isUndecided);
  const isAsked = rule === 'ask' || origins.some(({ isUndecided }) => isUndecided);
  const canLearn = rule === 'always' && !isExcluded && !isAsked;
  const header: HeaderRecord = {
    type: 'conversation',
    schemaVersion: LOG_SCHEMA_VERSION,
    id,
    at,
    origin: 'openai',
    title: '',
    settings: settingsOf(systemPrompt, origins[0]),
    canLearn,
    isUndecided: !canLearn && !isExcluded && rule !== 'never',
    ...(origins.length === 0 ? {} : { copyOf: origins.map((origin) => origin.id) }),
  };
  const beginning = [header, ...historyRecords(before, at)] as const;
  return { kind: 'say', conversationId: id, text: last.text, beginning };
}

/** Those of the conversation that it goes on from; the system prompt is the request's. */
function settingsOf(
  systemPrompt: string,
  origin: ConversationState | undefined,
): ConversationSettings {
  const { systemPrompt: _systemPrompt, ...settings } = origin?.settings ?? {};
  return systemPrompt === '' ? settings : { ...settings, systemPrompt };
}

const ORIGINS_MAX = 16;

/**
 * The conversations whose words come back in a request, that with most of them first.
 * @param known the one that it goes on from, were it free
 */
async function originsOf(
  before: readonly SaidMessage[],
  known: string | undefined,
  store: Pick<ConversationStore, 'words' | 'read'>,
): Promise<ConversationState[]> {
  const hashes = new Set(before.map(({ text }) => wordHash(text)).filter((hash) => hash !== ''));
  const sharing = hashes.size === 0 ? [] : store.words.sharing(hashes);
  const ids = sharing.sort((a, b) => b.shared - a.shared).map(({ id }) => id);
  const wanted = new Set(known === undefined ? ids : [known, ...ids]);
  const reading = [...wanted]
    .slice(0, ORIGINS_MAX)
    .map((id) => store.read(id).catch(() => undefined));
  return (await Promise.all(reading)).filter((state) => state !== undefined);
}
