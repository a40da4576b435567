// What the page knows (conversations, flags, nights, the engine) and what it can ask for.
import { computed, signal } from '@preact/signals';
import type {
  Conversation,
  ConversationSummary,
  Message,
  PendingDeletion,
  SettingsPatch,
} from '../../src/protocol/conversation.ts';
import type { Flag, FlagDraftInput, FlagPatch } from '../../src/protocol/flag.ts';
import type { NightProgress } from '../../src/protocol/night.ts';
import { newConversation, type OpenConversation } from '../../src/protocol/open-conversation.ts';
import type { EngineView } from '../../src/protocol/server-message.ts';
import { hasCode, isDisconnected, newId, request, send } from './connection.ts';
import { go, route } from './page-route.ts';
import { withoutEcho } from './press.ts';

export const engine = signal<EngineView | null>(null);
export const conversations = signal<readonly ConversationSummary[]>([]);
export const nextCursor = signal<string | null>(null);
/** Deletions of which something is still to be done. */
export const deleting = signal<readonly PendingDeletion[]>([]);
/** The open conversation, as the reducer of the protocol keeps it. */
export const opened = signal<OpenConversation | null>(null);
const here = computed(() => {
  const wanted = wantedConversation();
  const id = opened.value?.conversation.id;
  return wanted === null || wanted === id ? opened.value : null;
});
/** The conversation on the screen: null while the one that the address names is on its way. */
export const open = computed(() => here.value?.conversation ?? null);
export const running = computed(() => here.value?.running ?? null);
/** Changes at the beginning and the end of a reply, not with each of its words. */
export const isRunning = computed(() => running.value !== null);
/** A reply of the open conversation that could not be stored, and why. */
export const failure = computed(() => here.value?.failure ?? null);
/** The open conversation ends with a message that nobody is answering. */
export const isUnanswered = computed(() => here.value?.isUnanswered ?? false);
/** Told replies of the open conversation that wait for the person's word. */
export const told = computed(() => here.value?.told ?? []);
export const flags = signal<readonly Flag[]>([]);
export const night = signal<NightProgress | null>(null);
/** Grows when a night ends or weights change, so that pages read them again. */
export const nightsDone = signal(0);
interface Notice {
  readonly text: string;
  /** A page that says more. */
  readonly path?: string;
  /** It stays until the person does something about it. */
  readonly isLasting?: boolean;
}

/** One line for the person. */
export const notice = signal<Notice | null>(null);

export const standingFlags = computed(() => flags.value.filter((f) => f.withdrawnAt === null));

/** Replaced replies that a search or a flag led to. */
const revealed = signal<ReadonlySet<string>>(new Set());

export function reveal(messageId: string): void {
  if (!revealed.value.has(messageId)) revealed.value = new Set([...revealed.value, messageId]);
}

/** The history, as far as it was asked for; of replaced replies those that are flagged or sought. */
export const history = computed<readonly Message[]>(() => {
  const kept = new Set([...revealed.value, ...standingFlags.value.map(({ replyId }) => replyId)]);
  return (open.value?.history ?? []).filter(
    (m) => m.role === 'user' || !m.isSuperseded || kept.has(m.id),
  );
});

export function tell(error: unknown, options: Pick<Notice, 'isLasting'> = {}): void {
  notice.value = { text: error instanceof Error ? error.message : String(error), ...options };
}

/** Tells what went wrong. A lost connection is shown where the connection is. */
export async function attempt(action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!isDisconnected(error)) tell(error);
  }
}

/** After each hello: what happened meanwhile, and the rest of a running reply. */
export function catchUp(): void {
  void attempt(loadConversations);
  void attempt(() => request({ type: 'flag-list' }, 'flag-listed'));
  nightsDone.value += 1;
  const wanted = wantedConversation();
  const current = open.value !== null && open.value.history.length > 0 ? open.value.id : null;
  const conversationId = wanted ?? current;
  if (conversationId !== null) void openConversation(conversationId);
}

/** The conversation that the address names. */
export const wantedConversation = (): string | null =>
  route.value.page === 'conversation' ? route.value.id : null;

async function loadConversations(): Promise<void> {
  const page = await request({ type: 'conversation-list', limit: 100 }, 'conversation-listed');
  conversations.value = page.conversations;
  nextCursor.value = page.nextCursor;
  deleting.value = page.deleting;
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
  const earlier = opened.value?.conversation.id;
  if (earlier !== undefined && earlier !== conversationId) {
    send({ type: 'conversation-close', conversationId: earlier });
  }
  return attempt(async () => {
    try {
      await request({ type: 'conversation-open', conversationId }, 'conversation-opened');
    } catch (error) {
      const isHere = [open.value?.id, wantedConversation()].includes(conversationId);
      if (hasCode(error, 'conversation-not-found') && (isHere || open.value === null)) {
        leaveConversation();
      }
      throw error;
    }
  });
}

/** A conversation that exists only here until something is said in it. */
export function startConversation(): void {
  opened.value = newConversation(newId(), Date.now());
}

/** The open conversation is gone: on to a new one. */
export function leaveConversation(): void {
  startConversation();
  if (route.value.page === 'conversation') go('/', { replace: true });
}

export function stop(): void {
  const conversationId = open.value?.id;
  if (conversationId !== undefined) send({ type: 'reply-stop', conversationId });
}

/** Answers the last message again, or for the first time. */
export const regenerate = withoutEcho((): void => {
  const conversationId = open.value?.id;
  if (conversationId === undefined || isRunning.value) return;
  send({ type: 'reply-regenerate', conversationId, replyId: newId() });
});

export const rename = (conversationId: string, title: string): Promise<void> =>
  attempt(() =>
    request({ type: 'conversation-rename', conversationId, title }, 'conversation-updated'),
  );

export const remove = (conversationId: string): Promise<void> =>
  attempt(() => request({ type: 'conversation-delete', conversationId }, 'conversation-deleted'));

/** The conversation as JSONL, for the person to keep. */
export const exported = (conversationId: string): Promise<string> =>
  request({ type: 'conversation-export', conversationId }, 'conversation-exported').then(
    ({ jsonl }) => jsonl,
  );

/** What the page knows of the open conversation before the daemon says so. */
export function amend(change: Partial<Conversation>): void {
  const current = opened.value;
  if (current === null) return;
  opened.value = { ...current, conversation: { ...current.conversation, ...change } };
}

interface Configure {
  readonly settings?: SettingsPatch;
  readonly canLearn?: boolean;
}

/** One change at a time; while some are under way, what the page shows is newer than the daemon. */
let configuring: Promise<void> = Promise.resolve();
let changes = 0;
export const isConfiguring = (): boolean => changes > 0;

export function configure(conversationId: string, change: Configure): Promise<void> {
  const current = open.value;
  if (current?.id === conversationId) amend(configured(current, change));
  // What is set before the first words goes with them.
  if (current?.history.length === 0) return Promise.resolve();
  changes += 1;
  configuring = configuring.then(async () => {
    await attempt(async () => {
      const message = { type: 'conversation-configure', conversationId, ...change } as const;
      await request(message, 'conversation-updated');
    });
    changes -= 1;
  });
  return configuring;
}

function configured(
  { settings, canLearn, isUndecided }: Conversation,
  change: Configure,
): Pick<Conversation, 'settings' | 'canLearn' | 'isUndecided'> {
  const all = Object.entries({ ...settings, ...change.settings });
  return {
    settings: Object.fromEntries(all.filter(([, value]) => value !== null)),
    canLearn: change.canLearn ?? canLearn,
    isUndecided: change.canLearn === undefined && isUndecided,
  };
}

export async function addFlag(flag: FlagDraftInput): Promise<void> {
  await request({ type: 'flag-add', flag }, 'flag-added');
}

export async function editFlag(flagId: string, patch: FlagPatch): Promise<void> {
  await request({ type: 'flag-edit', flagId, patch }, 'flag-edited');
}

export const withdrawFlag = (flagId: string): Promise<void> =>
  attempt(() => request({ type: 'flag-withdraw', flagId }, 'flag-withdrawn'));
