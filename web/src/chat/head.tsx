// The head of a conversation: its name, and the way to its settings.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { CONNECTION_TEXT, connectionState } from '../connection.ts';
import { open, rename } from '../page-state.ts';
import { isSettingsOpen, Settings } from './conversation-settings.tsx';
import { isSidebarOpen } from './sidebar.tsx';

export function MenuButton(): VNode {
  return (
    <button
      type="button"
      class="icon menu"
      aria-label="Conversations"
      aria-controls="sidebar"
      aria-expanded={isSidebarOpen.value}
      onClick={() => {
        isSidebarOpen.value = !isSidebarOpen.value;
      }}
    >
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d="M2 4h12M2 8h12M2 12h12" />
      </svg>
    </button>
  );
}

/** What is being typed stays while replies come in. */
function Title(): VNode {
  const conversation = open.value;
  const [typed, setTyped] = useState<string | null>(null);
  return (
    <input
      class="title"
      dir="auto"
      aria-label="Name of this conversation"
      placeholder="New conversation"
      value={typed ?? conversation?.title ?? ''}
      disabled={conversation === null || conversation.history.length === 0}
      onInput={(event) => setTyped(event.currentTarget.value)}
      onBlur={() => setTyped(null)}
      onChange={({ currentTarget: { value } }) => {
        if (conversation !== null && value.trim() !== '')
          void rename(conversation.id, value.trim());
      }}
    />
  );
}

/** On a phone the list, and with it the state of the connection, is out of sight. */
function Lost(): VNode | null {
  const state = connectionState.value;
  if (state === 'open' || state === 'token-needed') return null;
  return (
    <p class="lost" role="status">
      {CONNECTION_TEXT[state]}
    </p>
  );
}

export function Head(): VNode {
  return (
    <>
      <Bar />
      <Lost />
    </>
  );
}

function Bar(): VNode {
  const conversation = open.value;
  return (
    <header class="head">
      <MenuButton />
      {conversation !== null && conversation.history.length > 0 && (
        <h1 class="hidden">{conversation.title}</h1>
      )}
      <Title />
      <button
        type="button"
        class="icon settings-button"
        aria-label="Settings of this conversation"
        aria-expanded={isSettingsOpen.value}
        onClick={() => {
          isSettingsOpen.value = !isSettingsOpen.value;
        }}
      >
        <svg viewBox="0 0 16 16" aria-hidden="true">
          <path d="M2 5h7M13 5h1M2 11h1M7 11h7" />
          <circle cx="11" cy="5" r="1.8" />
          <circle cx="5" cy="11" r="1.8" />
        </svg>
      </button>
      {isSettingsOpen.value && <Settings />}
    </header>
  );
}
