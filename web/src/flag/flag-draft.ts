// The flag in the making: which reply, which words, and how it is sent.
import { computed, signal } from '@preact/signals';
import type { Flag, FlagDraftInput } from '../../../src/protocol/flag.ts';
import { newId } from '../connection.ts';
import { keep, kept, parsed } from '../kept.ts';
import { addFlag, editFlag, history, open, tell } from '../page-state.ts';
import { type SelectedSpan, selectedWords, trimmed } from '../selection.ts';
import { reach } from '../stretch.ts';

/** Words that were selected, or typed and looked for; typed words may not be found. */
export interface Words {
  readonly span: SelectedSpan | null;
  readonly typed: string | null;
}

export interface Draft {
  readonly conversationId: string;
  /** Of the flag that is edited, or that will be: sent twice it is made once. */
  readonly flagId: string;
  readonly isNew: boolean;
  readonly replyId: string;
  readonly kind: 'missed' | 'good';
  readonly user: Words;
  readonly reply: Words;
  readonly betterWords: string;
  readonly reason: string;
  readonly strength: number;
  /** It was opened to say what would have been better. */
  readonly isForBetterWords?: boolean;
}

const begun = signal<Draft | null>(null);
/** Null where it is about another conversation than the one that is open: there it waits. */
export const flagDraft = computed(() =>
  begun.value?.conversationId === open.value?.id ? begun.value : null,
);

/** What was typed outlives a reload and Escape, until it is sent or cancelled. */
const placeOf = ({ conversationId, replyId, kind }: Draft): string =>
  `flag:${conversationId}:${replyId}:${kind}`;

const NONE: Words = { span: null, typed: null };

const textOf = (id: string): string => history.value.find((m) => m.id === id)?.text ?? '';

export const wordsOf = ({ span, typed }: Words): string =>
  typed ?? (span === null ? '' : textOf(span.messageId).slice(span.start, span.end));

export function setDraft(change: Partial<Draft>): void {
  if (flagDraft.value === null) return;
  const draft = { ...flagDraft.value, ...change };
  begun.value = draft;
  keep(placeOf(draft), JSON.stringify(draft));
}

export function cancelFlag(): void {
  if (flagDraft.value !== null) keep(placeOf(flagDraft.value), null);
  closeFlag();
}

/** What was written waits for the next time. */
export function closeFlag(): void {
  begun.value = null;
}

/** Opens the sheet with what was written in it before, where it was not sent. */
function begin(draft: Draft): void {
  const before = parsed<Draft>(kept(placeOf(draft)));
  const isSame =
    before !== undefined && (draft.isNew ? before.isNew : before.flagId === draft.flagId);
  begun.value = isSame ? { ...draft, ...before } : draft;
}

/** Opens the sheet for a reply; what is selected right now becomes part of it. */
export function beginFlag(replyId: string, kind: Draft['kind']): void {
  begin({
    conversationId: open.value?.id ?? '',
    flagId: newId(),
    isNew: true,
    replyId,
    kind,
    user: NONE,
    reply: NONE,
    betterWords: '',
    reason: '',
    strength: 2,
  });
  takeSelection();
}

/** Starts from selected words: the reply is the selected one, or the answer to the message. */
export function beginFlagFrom(span: SelectedSpan, kind: Draft['kind']): void {
  const reply = history.value.findLast((m) =>
    m.role === 'assistant'
      ? m.id === span.messageId || (span.role === 'user' && m.messageId === span.messageId)
      : false,
  );
  if (reply !== undefined) beginFlag(reply.id, kind);
}

/** Opens the sheet with what a flag says; the conversation must be open. */
export async function beginEdit(
  flag: Flag,
  options: Pick<Draft, 'isForBetterWords'> = {},
): Promise<void> {
  const { userSpan, replySpan, replyId } = flag;
  await reach(userSpan?.messageId ?? replyId);
  const user = userSpan && {
    ...userSpan.span,
    role: 'user' as const,
    messageId: userSpan.messageId,
  };
  const reply = replySpan && { ...replySpan, role: 'assistant' as const, messageId: replyId };
  begin({
    ...options,
    conversationId: flag.conversationId,
    flagId: flag.id,
    isNew: false,
    replyId,
    kind: flag.kind,
    user: { span: user, typed: null },
    reply: { span: reply, typed: null },
    betterWords: flag.betterWords ?? '',
    reason: flag.reason ?? '',
    strength: flag.strength,
  });
}

/** Puts the selected words where they belong. */
export function takeSelection(): void {
  const draft = flagDraft.value;
  const found = selectedWords()?.span;
  if (draft === null || !found) return;
  const span = trimmed(found, textOf(found.messageId));
  if (span === undefined) return;
  if (span.role === 'user') setDraft({ user: { span, typed: null } });
  else if (span.messageId === draft.replyId) setDraft({ reply: { span, typed: null } });
}

/** Typed words are looked for: in the person's messages up to the reply, or in the reply. */
export function findWords(role: SelectedSpan['role'], typed: string): Words {
  const wanted = typed.trim();
  if (wanted === '') return NONE;
  const at = history.value.findIndex((m) => m.id === flagDraft.value?.replyId);
  const texts = history.value.filter((m, i) =>
    role === 'assistant' ? i === at : m.role === 'user' && i < at,
  );
  const pattern = new RegExp(wanted.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'iu');
  for (const message of texts.reverse()) {
    const found = pattern.exec(message.text);
    if (found === null) continue;
    const end = found.index + found[0].length;
    return { span: { role, messageId: message.id, start: found.index, end }, typed };
  }
  return { span: null, typed };
}

/** What could not be found is not sent, so the person has to be told before. */
export const isMissing = ({ span, typed }: Words): boolean => span === null && typed !== null;

function content({ user, reply, ...draft }: Draft) {
  const toSpan = ({ start, end, messageId }: SelectedSpan) => {
    return { start, end, text: textOf(messageId).slice(start, end) };
  };
  return {
    kind: draft.kind,
    strength: draft.strength,
    userSpan: user.span && { messageId: user.span.messageId, span: toSpan(user.span) },
    replySpan: reply.span && toSpan(reply.span),
    betterWords: draft.betterWords.trim() || null,
    reason: draft.reason.trim() || null,
  };
}

/** @returns the id of a flag that can be heard now: it was not heard, and has no better words */
export async function saveFlag(draft: Draft): Promise<string | undefined> {
  const { conversationId } = draft;
  if (isMissing(draft.user) || isMissing(draft.reply)) return;
  try {
    const { flagId: id, replyId } = draft;
    const flag: FlagDraftInput = { id, conversationId, replyId, ...content(draft) };
    await (draft.isNew ? addFlag(flag) : editFlag(id, content(draft)));
    cancelFlag();
    document.getSelection()?.removeAllRanges();
    const isOpen = flag.kind === 'missed' && flag.betterWords === null;
    return isOpen && !draft.isForBetterWords ? id : undefined;
  } catch (error) {
    tell(error);
  }
}
