// What the page knows: talks, the open talk, flags, the engine. Messages of the daemon change it.
import { batch, computed, signal } from '@preact/signals';
import type {
  Conversation,
  ConversationSummary,
  Message,
  RunningReply,
} from '../../src/protocol/conversation.ts';
import type { Flag, FlagDraftInput } from '../../src/protocol/flag.ts';
import type { NightProgress } from '../../src/protocol/night.ts';
import type { EngineView, ServerMessage } from '../../src/protocol/server-message.ts';
import { newId, onMessage, onOpen, RequestError, request, send } from './connection.ts';

export const engine = signal<EngineView | null>(null);
export const conversations = signal<readonly ConversationSummary[]>([]);
export const nextCursor = signal<string | null>(null);
export const open = signal<Conversation | null>(null);
export const running = signal<RunningReply | null>(null);
export const flags = signal<readonly Flag[]>([]);
export const night = signal<NightProgress | null>(null);
export const notice = signal<string | null>(null);

/** Said and not yet acknowledged; sent again after a reconnect. */
interface Unstored {
  readonly conversationId: string;
  readonly messageId: string;
  readonly text: string;
}
export const unstored = signal<readonly Unstored[]>([]);

export const standingFlags = computed(() => flags.value.filter((f) => f.withdrawnAt === null));

/** The history without replies that were regenerated away. */
export const history = computed<readonly Message[]>(() =>
  (open.value?.history ?? []).filter((m) => m.role === 'user' || !m.isSuperseded),
);

export function tell(error: unknown): void {
  const text = error instanceof Error ? error.message : String(error);
  notice.value = text;
}

async function attempt(action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof RequestError && error.code === 'disconnected')) tell(error);
  }
}

onOpen(() => {
  send({ type: 'event-subscribe', topics: ['conversations', 'flags', 'nights', 'engine'] });
  void attempt(loadConversations);
  void attempt(() => request({ type: 'flag-list' }, 'flag-listed'));
  const current = open.value;
  if (current !== null && current.history.length > 0) void openConversation(current.id);
  for (const say of unstored.value) send({ type: 'message-say', ...say });
});

async function loadConversations(): Promise<void> {
  const page = await request({ type: 'conversation-list', limit: 100 }, 'conversation-listed');
  conversations.value = page.conversations;
  nextCursor.value = page.nextCursor;
}

export function loadMore(): Promise<void> {
  const cursor = nextCursor.value;
  if (cursor === null) return Promise.resolve();
  return attempt(async () => {
    const page = await request(
      { type: 'conversation-list', limit: 100, cursor },
      'conversation-listed',
    );
    const known = new Set(conversations.value.map((c) => c.id));
    const more = page.conversations.filter((c) => !known.has(c.id));
    conversations.value = [...conversations.value, ...more];
    nextCursor.value = page.nextCursor;
  });
}

export function openConversation(conversationId: string): Promise<void> {
  const earlier = open.value?.id;
  if (earlier !== undefined && earlier !== conversationId) {
    send({ type: 'conversation-close', conversationId: earlier });
  }
  return attempt(() =>
    request({ type: 'conversation-open', conversationId }, 'conversation-opened'),
  );
}

/** A talk that exists only here until something is said in it. */
export function startConversation(): void {
  const now = Date.now();
  batch(() => {
    running.value = null;
    open.value = {
      id: newId(),
      title: '',
      createdAt: now,
      updatedAt: now,
      messages: 0,
      origin: 'live',
      canLearn: true,
      settings: {},
      history: [],
    };
  });
}

export function say(text: string): void {
  const conversationId = open.value?.id;
  if (conversationId === undefined) return;
  const message = { conversationId, messageId: newId(), text };
  unstored.value = [...unstored.value, message];
  send({ type: 'message-say', ...message });
}

export function stop(): void {
  const conversationId = open.value?.id;
  if (conversationId !== undefined) send({ type: 'reply-stop', conversationId });
}

export function regenerate(): void {
  const conversationId = open.value?.id;
  if (conversationId === undefined) return;
  send({ type: 'reply-regenerate', conversationId, replyId: newId() });
}

export const rename = (conversationId: string, title: string): Promise<void> =>
  attempt(() =>
    request({ type: 'conversation-rename', conversationId, title }, 'conversation-updated'),
  );

export const remove = (conversationId: string): Promise<void> =>
  attempt(() => request({ type: 'conversation-delete', conversationId }, 'conversation-deleted'));

type Configure = { settings?: Record<string, unknown>; canLearn?: boolean };
export const configure = (conversationId: string, change: Configure): Promise<void> =>
  attempt(async () => {
    if (open.value?.history.length === 0) {
      await request({ type: 'conversation-create', conversationId }, 'conversation-created');
    }
    await request(
      { type: 'conversation-configure', conversationId, ...change } as never,
      'conversation-updated',
    );
    await request({ type: 'conversation-open', conversationId }, 'conversation-opened');
  });

export async function addFlag(flag: FlagDraftInput): Promise<void> {
  await request({ type: 'flag-add', flag }, 'flag-added');
}

export const withdrawFlag = (flagId: string): Promise<void> =>
  attempt(() => request({ type: 'flag-withdraw', flagId }, 'flag-withdrawn'));

onMessage((message) => batch(() => receive(message)));

function receive(message: ServerMessage): void {
  switch (message.type) {
    case 'server-hello':
    case 'engine-changed':
      engine.value = message.engine;
      return;
    case 'conversation-opened':
      open.value = message.conversation;
      running.value = message.running;
      return;
    case 'conversation-created':
    case 'conversation-updated':
      upsert(message.conversation);
      return;
    case 'conversation-deleted':
      conversations.value = conversations.value.filter((c) => c.id !== message.conversationId);
      if (open.value?.id === message.conversationId) startConversation();
      return;
    case 'message-stored':
    case 'reply-start':
    case 'reply-delta':
    case 'reply-end':
      receiveTurn(message);
      return;
    case 'flag-listed':
      flags.value = message.flags;
      return;
    case 'flag-added':
    case 'flag-edited':
    case 'flag-withdrawn':
      flags.value = [...flags.value.filter((f) => f.id !== message.flag.id), message.flag];
      return;
    case 'night-progress':
      night.value = message;
      return;
    case 'night-end':
      night.value = null;
      return;
    case 'summary-ready':
      notice.value = message.headline;
      return;
    case 'error':
      if (message.requestId === undefined) notice.value = message.message;
  }
}

function upsert(summary: ConversationSummary): void {
  const others = conversations.value.filter((c) => c.id !== summary.id);
  conversations.value = [summary, ...others].sort((a, b) => b.updatedAt - a.updatedAt);
  const current = open.value;
  if (current?.id === summary.id) {
    open.value = { ...current, title: summary.title, canLearn: summary.canLearn };
  }
}

type TurnMessage = Extract<
  ServerMessage,
  { type: 'message-stored' | 'reply-start' | 'reply-delta' | 'reply-end' }
>;

function receiveTurn(message: TurnMessage): void {
  if (message.type === 'message-stored') {
    unstored.value = unstored.value.filter((u) => u.messageId !== message.message.id);
  }
  const current = open.value;
  if (current === null || current.id !== message.conversationId) return;
  switch (message.type) {
    case 'message-stored':
      open.value = { ...current, history: put(current.history, message.message) };
      return;
    case 'reply-start':
      if (message.replaces !== null) {
        const replaced = message.replaces;
        const history = current.history.map((m) =>
          m.role === 'assistant' && m.id === replaced ? { ...m, isSuperseded: true } : m,
        );
        open.value = { ...current, history };
      }
      running.value = { replyId: message.replyId, messageId: message.messageId, text: '' };
      return;
    case 'reply-delta': {
      const now = running.value;
      if (now === null || now.replyId !== message.replyId) return;
      running.value = { ...now, text: now.text.slice(0, message.offset) + message.text };
      return;
    }
    case 'reply-end':
      open.value = { ...current, history: put(current.history, message.reply) };
      if (running.value?.replyId === message.reply.id) running.value = null;
      if (message.error !== null) notice.value = message.error.message;
  }
}

function put(history: readonly Message[], message: Message): Message[] {
  const at = history.findIndex((m) => m.id === message.id && m.role === message.role);
  return at < 0 ? [...history, message] : history.map((m, i) => (i === at ? message : m));
}
