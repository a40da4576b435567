// What the daemon's messages change in what the page knows.
import { batch } from '@preact/signals';
import type { ConversationSummary } from '../../src/protocol/conversation.ts';
import { receive as receiveOpen } from '../../src/protocol/open-conversation.ts';
import type { ServerMessage } from '../../src/protocol/server-message.ts';
import { onMessage } from './connection.ts';
import { go } from './page-route.ts';
import {
  amend,
  conversations,
  deleting,
  engine,
  flags,
  isConfiguring,
  leaveConversation,
  night,
  nightsDone,
  notice,
  open,
  opened,
} from './page-state.ts';

export function listen(): void {
  onMessage((message) => batch(() => receive(message)));
}

function receive(message: ServerMessage): void {
  opened.value = receiveOpen(opened.value, message);
  switch (message.type) {
    case 'server-hello':
    case 'engine-changed':
      engine.value = message.engine;
      return;
    case 'conversation-created':
    case 'conversation-updated':
      upsert(message.conversation);
      return;
    case 'conversation-deleted':
      conversations.value = conversations.value.filter((c) => c.id !== message.conversationId);
      flags.value = flags.value.filter((f) => f.conversationId !== message.conversationId);
      if (open.value?.id === message.conversationId) leaveConversation();
      if (message.pending !== undefined) deleting.value = [...deleting.value, message.pending];
      return;
    case 'reply-end':
      if (message.error !== null && message.conversationId === open.value?.id) {
        notice.value = { text: message.error.message };
      }
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
      notify(message.headline, message.path);
      return;
    case 'error':
      if (message.requestId === undefined) notice.value = { text: message.message };
  }
}

/** On the desktop, where the person allowed it and looks elsewhere. */
function notify(text: string, path: string): void {
  if (!('Notification' in window) || Notification.permission !== 'granted') return;
  if (document.visibilityState === 'visible') return;
  new Notification('Attune', { body: text }).onclick = () => {
    window.focus();
    go(path);
  };
}

function upsert(summary: ConversationSummary): void {
  const others = conversations.value.filter((c) => c.id !== summary.id);
  conversations.value = [summary, ...others].sort((a, b) => b.updatedAt - a.updatedAt);
  const current = open.value;
  if (current?.id === summary.id) {
    const { title, canLearn, isUndecided } = summary;
    amend(isConfiguring() ? { title } : { title, canLearn, isUndecided });
  }
}
