// The page: puts the parts together and listens to the keyboard.
import { render, type VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import { isSidebarOpen, newTalk, Sidebar } from './chat/sidebar.tsx';
import { Talk } from './chat/talk.tsx';
import { connect, connectionState, setToken } from './connection.ts';
import { FlagList } from './flag/list.tsx';
import { beginFlag, flagDraft } from './flag/sheet.tsx';
import { SelectionToolbar } from './flag/toolbar.tsx';
import { Nights } from './night/nights.tsx';
import { route } from './route.ts';
import { history, notice, regenerate, running, stop } from './state.ts';

function Page(): VNode {
  switch (route.value.page) {
    case 'flags':
      return <FlagList />;
    case 'nights':
      return <Nights id={route.value.id} view={route.value.view} />;
    default:
      return <Talk />;
  }
}

function Notice(): VNode | null {
  const text = notice.value;
  useEffect(() => {
    if (text === null) return;
    const timer = setTimeout(() => {
      notice.value = null;
    }, 8000);
    return () => clearTimeout(timer);
  }, [text]);
  if (text === null) return null;
  return (
    <div class="notice" role="alert">
      {text}
      <button type="button" aria-label="Close" onClick={() => (notice.value = null)}>
        ×
      </button>
    </div>
  );
}

function TokenGate(): VNode | null {
  if (connectionState.value !== 'token-needed') return null;
  return (
    <form
      class="gate"
      aria-label="Token"
      onSubmit={(event) => {
        event.preventDefault();
        setToken(String(new FormData(event.currentTarget).get('token') ?? '').trim());
      }}
    >
      <h2>This daemon asks for its token</h2>
      <input name="token" type="password" autoComplete="current-password" aria-label="Token" />
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
    if (flagDraft.value !== null) flagDraft.value = null;
    else if (isSidebarOpen.value) isSidebarOpen.value = false;
    else if (running.value !== null) stop();
    return;
  }
  if (isTyping(event.target) || event.metaKey || event.ctrlKey || event.altKey) return;
  const reply = lastReply();
  const actions: Record<string, () => void> = {
    n: newTalk,
    '/': () => document.getElementById('search')?.focus(),
    i: () => document.getElementById('composer')?.focus(),
    f: () => reply !== undefined && beginFlag(reply, 'missed'),
    g: () => reply !== undefined && beginFlag(reply, 'good'),
    r: () => running.value === null && reply !== undefined && regenerate(),
  };
  const action = actions[event.key];
  if (action === undefined) return;
  event.preventDefault();
  action();
}

function App(): VNode {
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
      <Page />
      <SelectionToolbar />
      <Notice />
      <TokenGate />
    </div>
  );
}

const root = document.getElementById('app');
if (root !== null) render(<App />, root);
