// Finds the conversation that an OpenAI request continues: such requests carry all that was said.
import { randomUUID } from 'node:crypto';
import { AttuneError } from '../base/errors.ts';
import type { ConversationStore } from '../conversation/conversation-store.ts';
import { fingerprintsAt, type SaidMessage } from '../conversation/fingerprint.ts';
import {
  foreignReply,
  type HeaderRecord,
  LOG_SCHEMA_VERSION,
  type LogRecord,
} from '../conversation/record.ts';
import { spoken } from '../conversation/spoken.ts';
import type { ConversationState } from '../conversation/state.ts';
import { wordHash } from '../conversation/word-hash.ts';
import type { ConversationSettings } from '../protocol/conversation.ts';
import type { OpenaiMessage } from '../protocol/openai.ts';

/** How a request is answered: its last message is said in a conversation, or answered again. */
export type Continuation =
  | {
      readonly kind: 'say';
      readonly conversationId: string;
      readonly text: string;
      readonly beginning?: readonly [HeaderRecord, ...LogRecord[]];
    }
  | { readonly kind: 'regenerate'; readonly conversationId: string };

/** A new conversation, with what was said in it before. */
export type Beginning = Required<Extract<Continuation, { kind: 'say' }>>;

function textOf({ content }: OpenaiMessage): string {
  return typeof content === 'string' ? content : content.map(({ text }) => text).join('\n');
}

/** A request as a conversation: its system prompt, what was said, what is to be answered. */
export interface Split {
  readonly systemPrompt: string;
  readonly before: readonly SaidMessage[];
  readonly last: SaidMessage;
}

/** @throws message-invalid when the last message is not the user's */
export function split(messages: readonly OpenaiMessage[]): Split {
  const isSystem = ({ role }: OpenaiMessage): boolean => role === 'system' || role === 'developer';
  const systemPrompt = messages.filter(isSystem).map(textOf).join('\n\n');
  const said = messages
    .filter((message) => !isSystem(message))
    .map((message): SaidMessage => {
      const text = textOf(message);
      // Programs show thoughts and tool calls, and some send them back.
      return message.role === 'user'
        ? { role: 'user', text }
        : { role: 'assistant', text: spoken(text) };
    });
  const last = said.at(-1);
  if (last?.role !== 'user' || last.text === '') {
    throw new AttuneError('message-invalid', 'The last message must be a user message with text.', {
      param: 'messages',
    });
  }
  return { systemPrompt, before: said.slice(0, -1), last };
}

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
export async function continueConversation(
  { systemPrompt, before, last }: Split,
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
export type LearnFromApi = 'always' | 'ask' | 'never';

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
export function newConversation(
  { systemPrompt, before, last }: Split,
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
export async function originsOf(
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
