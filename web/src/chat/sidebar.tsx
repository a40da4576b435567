// The list of conversations, search, and the way to flags and nights.
import { signal } from '@preact/signals';
import type { VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { ConversationSummary, SearchHit } from '../../../src/protocol/conversation.ts';
import { CONNECTION_TEXT, connectionState, request } from '../connection.ts';
import { news } from '../night/night-now.tsx';
import { weightsText } from '../night/weights.ts';
import { follow, go, route } from '../page-route.ts';
import {
  conversations,
  deleting,
  engine,
  loadMore,
  nextCursor,
  open,
  standingFlags,
  startConversation,
  tell,
} from '../page-state.ts';
import { soughtMessage } from '../stretch.ts';

export const isSidebarOpen = signal(false);
const query = signal('');
const hits = signal<readonly SearchHit[] | null>(null);

export function toNewConversation(): void {
  startConversation();
  isSidebarOpen.value = false;
  go('/');
  window.setTimeout(() => document.getElementById('composer')?.focus(), 0);
}

async function search(text: string): Promise<void> {
  query.value = text;
  if (text.trim() === '') {
    hits.value = null;
    return;
  }
  try {
    const found = await request(
      { type: 'conversation-search', query: text.trim(), limit: 50 },
      'conversation-found',
    );
    if (query.value === text) hits.value = found.hits;
  } catch (error) {
    tell(error);
  }
}

function dayOf(at: number): string {
  const days = Math.floor((startOfToday() - at) / 86_400_000) + 1;
  if (days <= 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return new Date(at).toLocaleDateString(undefined, { day: 'numeric', month: 'long' });
}

function startOfToday(): number {
  const now = new Date();
  return new Date(now.getFullYear(), now.getMonth(), now.getDate()).getTime();
}

function ConversationLink({ conversation }: { conversation: ConversationSummary }): VNode {
  const isOpen = route.value.page === 'conversation' && open.value?.id === conversation.id;
  return (
    <a
      class="conversation"
      href={`/conversations/${conversation.id}`}
      aria-current={isOpen ? 'page' : undefined}
      onClick={follow}
    >
      <span dir="auto">{conversation.title || 'New conversation'}</span>
      {!conversation.canLearn && (
        <small title="Nothing is learnt from this conversation">
          {conversation.isUndecided ? 'undecided' : 'private'}
        </small>
      )}
    </a>
  );
}

function ConversationList(): VNode {
  let day = '';
  return (
    <>
      {conversations.value.map((conversation) => {
        const own = dayOf(conversation.updatedAt);
        const heading = own === day ? null : <h2>{own}</h2>;
        day = own;
        return (
          <div key={conversation.id}>
            {heading}
            <ConversationLink conversation={conversation} />
          </div>
        );
      })}
      {nextCursor.value !== null && (
        <button type="button" class="quiet" onClick={() => void loadMore()}>
          Older conversations
        </button>
      )}
    </>
  );
}

function Deleting(): VNode | null {
  const [first, ...others] = deleting.value;
  if (first === undefined) return null;
  return (
    <p class="hint" role="status">
      {others.length + 1 === 1 ? 'A deletion is' : `${others.length + 1} deletions are`} not
      finished and will be tried again: {first.reason}
    </p>
  );
}

function Hits(): VNode {
  if (hits.value?.length === 0) return <p class="hint">Nothing found.</p>;
  return (
    <>
      {hits.value?.map((hit) => (
        <a
          class="hit"
          key={hit.messageId}
          href={`/conversations/${hit.conversationId}`}
          onClick={(event) => {
            soughtMessage.value = hit;
            follow(event);
          }}
        >
          <span dir="auto">{hit.title || 'Conversation'}</span>
          <small dir="auto">
            {hit.excerpt.slice(0, hit.start)}
            <mark>{hit.excerpt.slice(hit.start, hit.end)}</mark>
            {hit.excerpt.slice(hit.end)}
          </small>
        </a>
      ))}
    </>
  );
}

function Status(): VNode {
  const state = connectionState.value;
  const view = engine.value;
  const isWell = state === 'open' && view?.status === 'ready';
  const model = view?.modelId ? `${view.modelId}, ${weightsText.value}` : 'no model';
  return (
    <p class="status" role="status" aria-live="polite" data-well={isWell}>
      <i aria-hidden="true" />
      <span>
        {state === 'open' ? (
          view?.status === 'ready' ? (
            <a href="/model" onClick={follow}>
              {model}
            </a>
          ) : (
            (view?.upstream?.message ?? `engine ${view?.status}`)
          )
        ) : (
          CONNECTION_TEXT[state]
        )}
      </span>
    </p>
  );
}

/** On a phone the list lies over the page: it takes the focus, and gives it back. */
function useDrawer() {
  const list = useRef<HTMLElement>(null);
  const isOpen = isSidebarOpen.value;
  const wasOpen = useRef(false);
  useEffect(() => {
    isSidebarOpen.value = false;
  }, [route.value]);
  useEffect(() => {
    if (isOpen) list.current?.querySelector('button')?.focus();
    else if (wasOpen.current) document.querySelector<HTMLElement>('button.menu')?.focus();
    wasOpen.current = isOpen;
  }, [isOpen]);
  return list;
}

export function Sidebar(): VNode {
  const page = route.value.page;
  const list = useDrawer();
  return (
    <nav
      id="sidebar"
      class="sidebar"
      ref={list}
      data-open={isSidebarOpen.value}
      aria-label="Conversations"
    >
      <header>
        <a class="brand" href="/" onClick={follow}>
          <img src="/icon.svg" alt="" width="24" height="24" /> attune
        </a>
        <button type="button" onClick={toNewConversation} title="New conversation (N)">
          New conversation
        </button>
      </header>
      <input
        id="search"
        type="search"
        placeholder="Search"
        aria-label="Search conversations"
        value={query.value}
        onInput={(event) => void search(event.currentTarget.value)}
      />
      <div class="conversations">{hits.value === null ? <ConversationList /> : <Hits />}</div>
      <Deleting />
      <footer>
        <a href="/flags" aria-current={page === 'flags' ? 'page' : undefined} onClick={follow}>
          Flags <small>{standingFlags.value.length || ''}</small>
        </a>
        <a href="/nights" aria-current={page === 'nights' ? 'page' : undefined} onClick={follow}>
          Nights
          {news.value !== null && (
            <small class="badge">
              <span class="hidden">, one waits for you</span>
            </small>
          )}
        </a>
        <Status />
      </footer>
    </nav>
  );
}
