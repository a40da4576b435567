// Finds the conversation that an OpenAI request continues: such requests carry all that was said.
import { randomUUID } from 'node:crypto';
import type { ConversationStore } from '../../conversation/conversation-store.ts';
import { fingerprintsAt, type SaidMessage } from '../../conversation/fingerprint.ts';
import {
  foreignReply,
  type HeaderRecord,
  LOG_SCHEMA_VERSION,
  type LogRecord,
} from '../../conversation/record.ts';
import type { ConversationState } from '../../conversation/state.ts';
import { wordHash } from '../../conversation/word-hash.ts';
import type { ConversationSettings } from '../../protocol/conversation.ts';
import type { Split } from './messages.ts';

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

/** What a request says, where it says something. */
export type Asked = Pick<Split, 'systemPrompt' | 'before'> & { readonly last: SaidMessage };

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
