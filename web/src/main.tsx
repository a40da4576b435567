// The page: puts the parts together and listens to the keyboard.
import { effect } from '@preact/signals';
import { render, type VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { followAddress } from './address.ts';
import { ConversationPage } from './chat/conversation.tsx';
import { isSettingsOpen } from './chat/conversation-settings.tsx';
import { MenuButton } from './chat/head.tsx';
import { isSidebarOpen, Sidebar, toNewConversation } from './chat/sidebar.tsx';
import { connect, connectionState, onOpen, setToken, token, watchSleep } from './connection.ts';
import { beginFlag, closeFlag, flagDraft } from './flag/flag-draft.ts';
import { FlagList } from './flag/flag-list.tsx';
import { keepTold, refuseTold } from './flag/told.tsx';
import { loadNights } from './night/api.ts';
import { Nights } from './night/night-list.tsx';
import { NightNow, news } from './night/night-now.tsx';
import { Speaking } from './night/speaking.tsx';
import { follow, route } from './page-route.ts';
import {
  attempt,
  catchUp,
  history,
  isRunning,
  nightsDone,
  notice,
  open,
  regenerate,
  stop,
} from './page-state.ts';
import { listen } from './receive.ts';
import { deliverAll } from './unstored-message.ts';

function Page(): VNode {
  switch (route.value.page) {
    case 'flags':
      return <FlagList />;
    case 'nights':
      return <Nights id={route.value.id} view={route.value.view} />;
    case 'model':
      return <Speaking />;
    case 'unknown':
      return <Unknown />;
    default:
      return <ConversationPage />;
  }
}

function Unknown(): VNode {
  return (
    <main class="page">
      <header class="head">
        <MenuButton />
      </header>
      <div class="empty">
        <h1>There is no such page</h1>
        <p>
          <a href="/" onClick={follow}>
            To a new conversation
          </a>
        </p>
      </div>
    </main>
  );
}

function Notice(): VNode | null {
  const now = notice.value;
  useEffect(() => {
    if (now === null || now.isLasting) return;
    const timer = setTimeout(() => {
      notice.value = null;
    }, 12_000);
    return () => clearTimeout(timer);
  }, [now]);
  if (now === null) return null;
  return (
    <div class="notice" role="alert">
      <span>{now.text}</span>
      {now.path !== undefined && (
        <a href={now.path} onClick={follow}>
          Read it
        </a>
      )}
      <button type="button" aria-label="Close" onClick={() => (notice.value = null)}>
        ×
      </button>
    </div>
  );
}

function TokenGate(): VNode | null {
  const gate = useRef<HTMLFormElement>(null);
  const isNeeded = connectionState.value === 'token-needed';
  useEffect(() => {
    if (isNeeded) gate.current?.querySelector('input')?.focus();
  }, [isNeeded]);
  if (!isNeeded) return null;
  return (
    <form
      class="gate"
      aria-label="The daemon's token"
      ref={gate}
      onSubmit={(event) => {
        event.preventDefault();
        setToken(String(new FormData(event.currentTarget).get('token') ?? '').trim());
      }}
    >
      <h2>This daemon asks for its token</h2>
      <input name="token" type="password" autoComplete="current-password" aria-label="Token" />
      {token() !== null && <small role="alert">That was not the token.</small>}
      <button type="submit" class="primary">
        Connect
      </button>
    </form>
  );
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && target.matches('input, textarea, select, [contenteditable]')
  );
}

const lastReply = (): string | undefined =>
  history.value.findLast((m) => m.role === 'assistant')?.id;

function onKey(event: KeyboardEvent): void {
  if (event.key === 'Escape') {
    if (flagDraft.value !== null) closeFlag();
    else if (isSettingsOpen.value) isSettingsOpen.value = false;
    else if (isSidebarOpen.value) isSidebarOpen.value = false;
    else if (isRunning.value) stop();
    // Out of the field, so that single keys are commands again.
    else if (isTyping(event.target)) (event.target as HTMLElement).blur();
    return;
  }
  if (route.value.page !== 'conversation' && event.key !== 'n' && event.key !== '/') return;
  if (isTyping(event.target) || event.metaKey || event.ctrlKey || event.altKey) return;
  const reply = lastReply();
  const actions: Record<string, () => void> = {
    n: toNewConversation,
    '/': () => document.getElementById('search')?.focus(),
    i: () => document.getElementById('composer')?.focus(),
    f: () => reply !== undefined && beginFlag(reply, 'missed'),
    g: () => reply !== undefined && beginFlag(reply, 'good'),
    k: keepTold,
    x: refuseTold,
    r: () => reply !== undefined && regenerate(),
  };
  const action = actions[event.key];
  if (action === undefined) return;
  event.preventDefault();
  action();
}

function titleOf(): string {
  switch (route.value.page) {
    case 'flags':
      return 'Flags – Attune';
    case 'nights':
      return 'Nights – Attune';
    case 'model':
      return 'What is speaking – Attune';
    case 'unknown':
      return 'Attune';
    default:
      return open.value?.title ? `${open.value.title} – Attune` : 'Attune';
  }
}

function App(): VNode {
  const title = (news.value === null ? '' : '(1) ') + titleOf();
  useEffect(() => {
    document.title = title;
  }, [title]);
  useEffect(() => {
    connect();
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, []);
  return (
    <div class="app">
      <Sidebar />
      {isSidebarOpen.value && (
        <button
          type="button"
          class="veil"
          aria-label="Close the list"
          onClick={() => (isSidebarOpen.value = false)}
        />
      )}
      <div class="room">
        <NightNow />
        <Page />
      </div>
      <Notice />
      <TokenGate />
    </div>
  );
}

listen();
effect(() => {
  if (nightsDone.value > 0) void attempt(loadNights);
});
followAddress();
watchSleep();
onOpen(catchUp);
onOpen(deliverAll);
const root = document.getElementById('app');
if (root !== null) render(<App />, root);
