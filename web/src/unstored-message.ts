// What was written and is not stored by the daemon yet: drafts, and messages on their way. Kept by
// the browser, so that a reload, a lost line or a closed tab loses none of it.
import { computed, effect, signal } from '@preact/signals';
import type { Conversation } from '../../src/protocol/conversation.ts';
import { hasCode, isDisconnected, newId, onMessage, request } from './connection.ts';
import { keep, keptUnder, onTaken, parsed } from './kept.ts';
import {
  isRunning,
  leaveConversation,
  notice,
  open,
  tell,
  wantedConversation,
} from './page-state.ts';

interface Unstored {
  readonly conversationId: string;
  readonly messageId: string;
  readonly text: string;
  readonly at: number;
  /** Nothing was said in this conversation before, as far as this page knows. */
  readonly isNew: boolean;
  /** What was set before its first words. */
  readonly beginning?: Pick<Conversation, 'settings' | 'canLearn'> | undefined;
}

const DRAFT = 'draft:';
const UNSTORED = 'unstored:';
/** The draft of what has no conversation yet. */
const NEW = 'new';
const RETRY_MS = 1_000;

/** In the order in which they were said. */
export const unstored = signal<readonly Unstored[]>(
  keptUnder(UNSTORED)
    .flatMap(([, text]) => parsed<Unstored>(text) ?? [])
    .sort((a, b) => a.at - b.at),
);
const drafts = signal<Readonly<Record<string, string>>>(Object.fromEntries(keptUnder(DRAFT)));

const isBegun = (conversationId: string): boolean =>
  (open.value?.id === conversationId && open.value.history.length > 0) ||
  unstored.value.some((message) => message.conversationId === conversationId);

/** The conversation that is on the screen, by the address; `new` before its first message. */
const field = computed(() => {
  const own = open.value?.id;
  return wantedConversation() ?? (own !== undefined && isBegun(own) ? own : NEW);
});
/** What is written there. */
export const draft = computed(() => drafts.value[field.value] ?? '');
/** What was said there and is not stored yet. */
export const waiting = computed(() => {
  const id = wantedConversation() ?? open.value?.id;
  const known = new Set(open.value?.history.map((message) => message.id));
  return unstored.value.filter((one) => one.conversationId === id && !known.has(one.messageId));
});

export function write(text: string, place = field.value): void {
  const { [place]: _before, ...others } = drafts.value;
  drafts.value = text === '' ? others : { ...others, [place]: text };
  keep(DRAFT + place, text === '' ? null : text);
  if (notice.value?.isLasting) notice.value = null;
}

/** Says what is written; while a reply runs it waits for its end. */
export function say(): void {
  const text = draft.value.trim();
  const conversationId = wantedConversation() ?? open.value?.id;
  if (text === '' || conversationId === undefined) return;
  const isNew = open.value?.history.length === 0;
  const { settings = {}, canLearn = true } = open.value ?? {};
  const isSet = isNew && (!canLearn || Object.keys(settings).length > 0);
  const beginning = isSet ? { settings, canLearn } : undefined;
  write('');
  const message = { conversationId, messageId: newId(), text, at: Date.now(), isNew, beginning };
  keep(UNSTORED + message.messageId, JSON.stringify(message));
  unstored.value = [...unstored.value, message];
}

/** A message that waits goes back to where it was written. */
export function takeBack({ messageId, conversationId, text }: Unstored): void {
  forget(messageId);
  giveBack(conversationId, text);
}

function giveBack(conversationId: string, text: string): void {
  const isHere = (wantedConversation() ?? open.value?.id) === conversationId;
  const place = isHere ? field.value : conversationId;
  const meanwhile = [...new Set([place, conversationId])].map((own) => drafts.value[own]);
  if (place !== conversationId) write('', conversationId);
  write([text, ...meanwhile].filter(Boolean).join('\n'), place);
}

const underWay = new Set<string>();

/** The first message of each conversation that can take one now. */
export function deliverAll(): void {
  const seen = new Set<string>(isRunning.value && open.value !== null ? [open.value.id] : []);
  for (const message of unstored.value) {
    const isFirst = !seen.has(message.conversationId);
    seen.add(message.conversationId);
    if (isFirst && !underWay.has(message.messageId)) void deliver(message);
  }
}

/** The same id again is the same message: it is stored and answered once. */
async function deliver(message: Unstored): Promise<void> {
  const { conversationId, messageId, text, isNew, beginning } = message;
  underWay.add(messageId);
  try {
    if (beginning !== undefined) {
      const create = { type: 'conversation-create', conversationId, ...beginning } as const;
      await request(create, 'conversation-created');
    }
    await request(
      { type: 'message-say', conversationId, messageId, text, isNew },
      'message-stored',
    );
    forget(messageId);
    notice.value = null;
  } catch (error) {
    if (!isDisconnected(error)) refused(message, error);
  } finally {
    underWay.delete(messageId);
  }
}

function refused({ conversationId, messageId, text }: Unstored, error: unknown): void {
  // Somebody else is being answered there: it waits for its turn.
  if (hasCode(error, 'reply-running')) {
    setTimeout(deliverAll, RETRY_MS);
    return;
  }
  // The words go back to where they were written.
  forget(messageId);
  const isGone = hasCode(error, 'conversation-not-found');
  const isHere = (wantedConversation() ?? open.value?.id) === conversationId;
  if (isGone && isHere) leaveConversation();
  // Nobody can open a deleted conversation any more: they go to where the person is now.
  giveBack(isGone ? (open.value?.id ?? conversationId) : conversationId, text);
  tell(error, { isLasting: true });
}

function forget(messageId: string): void {
  keep(UNSTORED + messageId, null);
  unstored.value = unstored.value.filter((one) => one.messageId !== messageId);
}

// Something was said, or a reply has ended.
effect(deliverAll);
// Another tab has stored it, or taken it back.
onTaken(UNSTORED, (messageId) => {
  if (underWay.has(messageId)) return;
  unstored.value = unstored.value.filter((one) => one.messageId !== messageId);
});
onMessage((message) => {
  if (message.type !== 'conversation-deleted') return;
  const { conversationId } = message;
  if (!unstored.value.some((one) => one.conversationId === conversationId))
    write('', conversationId);
});
