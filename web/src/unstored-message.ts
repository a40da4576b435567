// What was said and is not acknowledged yet: sent again after a reconnect or a reload of the page.
import { effect, signal } from '@preact/signals';
import { hasCode, isDisconnected, newId, request } from './connection.ts';
import { leaveConversation, notice, open, tell } from './page-state.ts';

interface Unstored {
  readonly conversationId: string;
  readonly messageId: string;
  readonly text: string;
  /** Nothing was said in this conversation before, as far as this page knows. */
  readonly isNew: boolean;
}

const KEY = 'attune-unstored';

export const unstored = signal<readonly Unstored[]>(restore());
/** One draft a talk, so switching loses nothing. */
export const drafts = signal<Readonly<Record<string, string>>>({});

effect(() => sessionStorage.setItem(KEY, JSON.stringify(unstored.value)));

function restore(): readonly Unstored[] {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? '[]');
  } catch {
    return [];
  }
}

export function write(conversationId: string, text: string): void {
  drafts.value = { ...drafts.value, [conversationId]: text };
}

export function say(text: string): void {
  const conversationId = open.value?.id;
  if (conversationId === undefined) return;
  const isNew = open.value?.history.length === 0;
  const message = { conversationId, messageId: newId(), text, isNew };
  unstored.value = [...unstored.value, message];
  void deliver(message);
}

/** The same id again is the same message: it is stored and answered once. */
export function deliverAll(): void {
  for (const message of unstored.value) void deliver(message);
}

async function deliver(message: Unstored): Promise<void> {
  try {
    await request({ type: 'message-say', ...message }, 'message-stored');
    forget(message.messageId);
    notice.value = null;
  } catch (error) {
    if (isDisconnected(error)) return;
    // It was refused: the words go back to where they were written.
    forget(message.messageId);
    const { conversationId, text } = message;
    const isGone = hasCode(error, 'conversation-not-found');
    if (isGone && open.value?.id === conversationId) leaveConversation();
    // Nobody can open a deleted conversation any more: they go to where the person is now.
    const field = isGone ? (open.value?.id ?? conversationId) : conversationId;
    write(field, [text, drafts.value[field]].filter(Boolean).join('\n'));
    tell(error);
  }
}

function forget(messageId: string): void {
  unstored.value = unstored.value.filter((one) => one.messageId !== messageId);
}
