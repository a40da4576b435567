// A conversation as its log tells it: records are folded into it one by one, in order, each once.
import { AttuneError } from '../base/errors.ts';
import type {
  Conversation,
  ConversationSettings,
  ConversationSummary,
  HistoryPage,
  Message,
  Origin,
  Reply,
  SettingsPatch,
  UserMessage,
} from '../protocol/conversation.ts';
import type { LogRecord, MessageRecord, ReplyRecord } from './record.ts';

const TITLE_CHARACTERS_MAX = 60;
export const UNTITLED = 'New conversation';

/** One message of the history with what only the log knows. */
export type Entry = MessageRecord | (ReplyRecord & { readonly isSuperseded: boolean });

/** A conversation in memory. It grows in place: copy what is needed before you await something. */
export interface ConversationState {
  readonly id: string;
  readonly title: string;
  /** True once a person (or an import) named it; until then the first message does. */
  readonly isNamed: boolean;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly origin: Origin;
  readonly canLearn: boolean;
  /** The person has not said yet whether nights may learn from it. */
  readonly isUndecided: boolean;
  /** Conversations whose words it began with. */
  readonly copyOf: readonly string[];
  readonly settings: ConversationSettings;
  readonly entries: readonly Entry[];
  /** Where each id is among the entries, so that nothing is stored twice. */
  readonly known: ReadonlyMap<string, number>;
}

export type MutableState = {
  -readonly [K in keyof ConversationState]: ConversationState[K];
} & { readonly entries: Entry[]; readonly known: Map<string, number> };

/** Before the first record; also what a log without its header grows from. */
export function emptyState(id: string): MutableState {
  return {
    id,
    title: UNTITLED,
    isNamed: false,
    createdAt: 0,
    updatedAt: 0,
    origin: 'live',
    canLearn: true,
    isUndecided: false,
    copyOf: [],
    settings: {},
    entries: [],
    known: new Map(),
  };
}

/** First line of the first message, cut at a word. */
export function titleFrom(text: string): string {
  const line = text.trim().split('\n', 1)[0]?.trim() ?? '';
  if (line === '') return UNTITLED;
  if (line.length <= TITLE_CHARACTERS_MAX) return line;
  const cut = line.slice(0, TITLE_CHARACTERS_MAX);
  const blank = cut.lastIndexOf(' ');
  // Never between the halves of a surrogate pair.
  return `${(blank > 20 ? cut.slice(0, blank) : cut).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

function addEntry(state: MutableState, entry: Entry): void {
  if (state.known.has(entry.id)) return;
  const replaces = 'replaces' in entry ? entry.replaces : null;
  if (replaces !== null) {
    const at = state.entries.findLastIndex((one) => one.id === replaces);
    const replaced = state.entries[at];
    if (replaced?.type === 'reply') state.entries[at] = { ...replaced, isSuperseded: true };
  }
  const isUntitled = !state.isNamed && state.title === UNTITLED;
  if (entry.type === 'message' && isUntitled) state.title = titleFrom(entry.text);
  if (state.createdAt === 0) state.createdAt = entry.at;
  state.updatedAt = Math.max(state.updatedAt, entry.at);
  state.known.set(entry.id, state.entries.push(entry) - 1);
}

/** Adds one more record to the state, in place. One that is there already changes nothing. */
export function applyRecord(state: MutableState, record: LogRecord): void {
  switch (record.type) {
    case 'conversation':
      state.title = record.title === '' ? state.title : record.title;
      state.isNamed = record.title !== '';
      state.createdAt = record.at;
      state.updatedAt = Math.max(state.updatedAt, record.at);
      state.origin = record.origin;
      state.canLearn = record.canLearn;
      state.isUndecided = record.isUndecided ?? false;
      state.copyOf = record.copyOf ?? [];
      state.settings = record.settings;
      return;
    case 'message':
      addEntry(state, record);
      return;
    case 'reply':
      addEntry(state, { ...record, isSuperseded: false });
      return;
    case 'title':
      state.title = record.title;
      state.isNamed = true;
      return;
    case 'settings':
      state.settings = record.settings;
      state.canLearn = record.canLearn;
      state.isUndecided = record.isUndecided ?? false;
  }
}

/**
 * A line of the log is lost, which may have said that nights must not learn from it: they do not,
 * until the person says so again, in a later line.
 */
export function applyLoss(state: MutableState): void {
  if (!state.canLearn) return;
  state.canLearn = false;
  state.isUndecided = true;
}

export function summaryOf(state: ConversationState): ConversationSummary {
  return {
    id: state.id,
    title: state.title,
    createdAt: state.createdAt,
    updatedAt: state.updatedAt,
    messages: state.entries.length,
    origin: state.origin,
    canLearn: state.canLearn,
    isUndecided: state.isUndecided,
  };
}

export function userMessageView(record: MessageRecord): UserMessage {
  return { id: record.id, role: 'user', text: record.text, at: record.at };
}

export function replyView(record: ReplyRecord & { readonly isSuperseded?: boolean }): Reply {
  return {
    id: record.id,
    role: 'assistant',
    messageId: record.messageId,
    text: record.text,
    ...(record.thought === undefined ? {} : { thought: record.thought }),
    at: record.at,
    stopReason: record.stopReason,
    usage: record.usage,
    versionRuns: record.versionRuns,
    window: record.window,
    isSuperseded: record.isSuperseded ?? false,
  };
}

export function entryView(entry: Entry): Message {
  return entry.type === 'message' ? userMessageView(entry) : replyView(entry);
}

export interface HistoryRequest {
  /** The message before which the page ends; absent: the end of the conversation. */
  readonly before?: string | undefined;
  readonly messagesMax: number;
  /** Bounds the text of a page; one message is always in it. */
  readonly charactersMax: number;
}

/** The messages before one of them. @throws message-not-found */
export function historyPage(state: ConversationState, request: HistoryRequest): HistoryPage {
  const { before, messagesMax, charactersMax } = request;
  const { entries } = state;
  const end = before === undefined ? entries.length : entries.findLastIndex((e) => e.id === before);
  if (end === -1) {
    throw new AttuneError(
      'message-not-found',
      `There is no message ${before} in this conversation.`,
    );
  }
  let start = end;
  let characters = 0;
  while (start > 0 && end - start < messagesMax) {
    characters += (entries[start - 1] as Entry).text.length;
    if (characters > charactersMax && start < end) break;
    start--;
  }
  const history = entries.slice(start, end).map(entryView);
  return { history, messagesBefore: start };
}

const WHOLE = { messagesMax: Number.POSITIVE_INFINITY, charactersMax: Number.POSITIVE_INFINITY };

/** The conversation as clients see it, with all of its history or the newest page of it. */
export function conversationView(
  state: ConversationState,
  request: HistoryRequest = WHOLE,
): Conversation {
  return { ...summaryOf(state), settings: state.settings, ...historyPage(state, request) };
}

/** Settings after a patch: `null` takes one away, absent leaves it. */
export function patchSettings(
  settings: ConversationSettings,
  patch: SettingsPatch,
): ConversationSettings {
  const merged: Record<string, unknown> = { ...settings, ...patch };
  return Object.fromEntries(
    Object.entries(merged).filter(([, value]) => value !== null && value !== undefined),
  ) as ConversationSettings;
}

/** The current reply to a message, if there is one. */
export function replyTo(
  state: ConversationState,
  messageId: string,
): (ReplyRecord & { readonly isSuperseded: boolean }) | undefined {
  for (let at = state.entries.length - 1; at >= 0; at--) {
    const entry = state.entries[at];
    if (entry?.type === 'reply' && entry.messageId === messageId && !entry.isSuperseded) {
      return entry;
    }
  }
  return undefined;
}
