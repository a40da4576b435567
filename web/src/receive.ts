// What the daemon's messages change in what the page knows.
import { batch } from '@preact/signals';
import type {
  Conversation,
  ConversationSummary,
  Message,
} from '../../src/protocol/conversation.ts';
import type { ServerMessage, ServerMessageOf } from '../../src/protocol/server-message.ts';
import { onMessage } from './connection.ts';
import {
  conversations,
  engine,
  failure,
  flags,
  isConfiguring,
  isUnanswered,
  leaveConversation,
  night,
  nightsDone,
  notice,
  open,
  running,
} from './page-state.ts';

export function listen(): void {
  onMessage((message) => batch(() => receive(message)));
}

function receive(message: ServerMessage): void {
  switch (message.type) {
    case 'server-hello':
    case 'engine-changed':
      engine.value = message.engine;
      return;
    case 'conversation-opened':
      open.value = joined(open.value, message.conversation);
      running.value = message.running;
      failure.value = null;
      isUnanswered.value = message.running === null && endsUnanswered(message.conversation.history);
      return;
    case 'history-listed':
      prepend(message);
      return;
    case 'conversation-created':
    case 'conversation-updated':
      upsert(message.conversation);
      return;
    case 'conversation-deleted':
      conversations.value = conversations.value.filter((c) => c.id !== message.conversationId);
      flags.value = flags.value.filter((f) => f.conversationId !== message.conversationId);
      if (open.value?.id === message.conversationId) leaveConversation();
      return;
    case 'message-stored':
    case 'reply-start':
    case 'reply-delta':
    case 'reply-end':
    case 'reply-failed':
      receiveTurn(message);
      return;
    default:
      receiveEvent(message);
  }
}

function receiveEvent(message: ServerMessage): void {
  switch (message.type) {
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
      nightsDone.value += 1;
      if (message.verdict === 'failed') notice.value = { text: message.reasons.join(' ') };
      return;
    case 'swap-end':
      nightsDone.value += 1;
      return;
    case 'summary-ready':
      notice.value = { text: message.headline, path: message.path };
      return;
    case 'error':
      if (message.requestId === undefined) notice.value = { text: message.message };
  }
}

/** The newest page of a talk that is open already (after a reconnect) ends what is here of it. */
function joined(known: Conversation | null, talk: Conversation): Conversation {
  if (known === null || known.id !== talk.id) return talk;
  const at = known.history.findIndex((message) => message.id === talk.history[0]?.id);
  if (at <= 0) return talk;
  const history = [...known.history.slice(0, at), ...talk.history];
  return { ...talk, history, messagesBefore: known.messagesBefore };
}

function prepend({ conversationId, ...page }: ServerMessageOf<'history-listed'>): void {
  const current = open.value;
  if (current?.id !== conversationId) return;
  // What comes late, after the talk was opened anew, does not end where it begins.
  if (page.messagesBefore + page.history.length !== current.messagesBefore) return;
  const history = [...page.history, ...current.history];
  open.value = { ...current, history, messagesBefore: page.messagesBefore };
}

const endsUnanswered = (history: readonly Message[]): boolean => history.at(-1)?.role === 'user';

function upsert(summary: ConversationSummary): void {
  const others = conversations.value.filter((c) => c.id !== summary.id);
  conversations.value = [summary, ...others].sort((a, b) => b.updatedAt - a.updatedAt);
  const current = open.value;
  if (current?.id === summary.id) {
    const canLearn = isConfiguring() ? current.canLearn : summary.canLearn;
    open.value = { ...current, title: summary.title, canLearn };
  }
}

type TurnMessage = Extract<
  ServerMessage,
  { type: 'message-stored' | 'reply-start' | 'reply-delta' | 'reply-end' | 'reply-failed' }
>;

function receiveTurn(message: TurnMessage): void {
  const current = open.value;
  if (current === null || current.id !== message.conversationId) return;
  switch (message.type) {
    case 'message-stored':
      isUnanswered.value = false;
      failure.value = null;
      open.value = { ...current, history: put(current.history, message.message) };
      return;
    case 'reply-start':
      isUnanswered.value = false;
      if (message.replaces !== null) supersede(message.replaces);
      // After a reconnect it comes for a reply that is half there already.
      if (running.value?.replyId !== message.replyId) {
        running.value = { replyId: message.replyId, messageId: message.messageId, text: '' };
      }
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
      if (message.error !== null) notice.value = { text: message.error.message };
      return;
    case 'reply-failed': {
      const text = running.value?.replyId === message.replyId ? running.value.text : '';
      failure.value = { text, why: message.error.message };
      running.value = null;
    }
  }
}

function supersede(replyId: string): void {
  const current = open.value;
  if (current === null) return;
  const history = current.history.map((message) =>
    message.role === 'assistant' && message.id === replyId
      ? { ...message, isSuperseded: true }
      : message,
  );
  open.value = { ...current, history };
}

function put(history: readonly Message[], message: Message): Message[] {
  const at = history.findIndex((m) => m.id === message.id && m.role === message.role);
  return at < 0 ? [...history, message] : history.map((m, i) => (i === at ? message : m));
}
