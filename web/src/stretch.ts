// Which stretch of the open conversation is held and shown: each opens at one cost.
// It knows no elements and no scrolling.
import { computed, signal } from '@preact/signals';
import { request } from './connection.ts';
import { attempt, history, open } from './page-state.ts';

/** Messages shown when a conversation opens, how many a step adds, and the most at once. */
const SHOWN = 80;
const STEP = 80;
const SHOWN_MAX = 240;
/** Messages that one request brings. */
const PAGE = 100;
const LONG_PAGE = 500;

interface Stretch {
  readonly conversationId: string | null;
  /** The first message that is shown; null: as many as a conversation opens with. */
  readonly first: string | null;
  /** The last one; null: the conversation's end, and what is said next. */
  readonly last: string | null;
}

const NEWEST: Stretch = { conversationId: null, first: null, last: null };
const stretch = signal<Stretch>(NEWEST);

/** A message that a search or a flag leads to, to be brought into view. */
export const soughtMessage = signal<{
  readonly conversationId: string;
  readonly messageId: string;
} | null>(null);

const placeOf = (messageId: string | null): number =>
  messageId === null ? -1 : history.value.findIndex(({ id }) => id === messageId);

/** `[start, end)` in `history`. */
const range = computed(() => {
  const own = stretch.value.conversationId === open.value?.id ? stretch.value : NEWEST;
  const last = placeOf(own.last);
  const end = last < 0 ? history.value.length : last + 1;
  const first = placeOf(own.first);
  return { start: first < 0 ? Math.max(0, end - SHOWN) : first, end };
});

export const shown = computed(() => history.value.slice(range.value.start, range.value.end));
export const hasEarlier = computed(
  () => range.value.start > 0 || (open.value?.messagesBefore ?? 0) > 0,
);
export const hasLater = computed(() => range.value.end < history.value.length);

function show(start: number, end: number): void {
  const all = history.value;
  stretch.value = {
    conversationId: open.value?.id ?? null,
    first: all[Math.max(0, start)]?.id ?? null,
    last: end < all.length ? (all[end - 1]?.id ?? null) : null,
  };
}

/** The end of the conversation, as it was opened. */
export function showNewest(): void {
  if (stretch.value !== NEWEST) stretch.value = NEWEST;
}

/** What is said next pushes nothing off the page. */
export function holdFirst(): void {
  const isOwn = stretch.value.conversationId === open.value?.id;
  if (!isOwn || stretch.value.first === null) show(range.value.start, range.value.end);
}

export async function showEarlier(): Promise<void> {
  const before = shown.value[0]?.id ?? null;
  if (range.value.start < STEP) await load(PAGE);
  // Another conversation was opened, or another call was faster.
  if (before === null || shown.value[0]?.id !== before) return;
  const start = Math.max(0, range.value.start - STEP);
  show(start, Math.min(range.value.end, start + SHOWN_MAX));
}

export function showLater(): void {
  const end = Math.min(history.value.length, range.value.end + STEP);
  show(Math.max(range.value.start, end - SHOWN_MAX), end);
}

/** The surroundings of a message. @returns false when none are here */
export function showAround(messageId: string): boolean {
  const at = placeOf(messageId);
  if (at >= 0) show(at - SHOWN / 2, at + SHOWN / 2);
  return at >= 0;
}

/** Brings the history of the open conversation back to this message, or all of it. */
export async function reach(messageId: string | null = null): Promise<void> {
  const conversationId = open.value?.id;
  while (open.value?.id === conversationId && placeOf(messageId) < 0) {
    const missing = open.value?.messagesBefore ?? 0;
    if (missing === 0) return;
    await load(LONG_PAGE);
    if (open.value?.messagesBefore === missing) return;
  }
}

let loading: Promise<void> | null = null;

/** One more page of earlier messages; `receive` puts it where it belongs. */
function load(limit: number): Promise<void> {
  const conversation = open.value;
  const before = conversation?.history[0]?.id;
  if (conversation === null || before === undefined || conversation.messagesBefore === 0)
    return Promise.resolve();
  const message = { type: 'history-list', conversationId: conversation.id, before, limit } as const;
  loading ??= attempt(() => request(message, 'history-listed')).finally(() => {
    loading = null;
  });
  return loading;
}
