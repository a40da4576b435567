// The head of a talk: its name, and what it may set for itself.
import { signal } from '@preact/signals';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { configure, exported, open, remove, rename, tell } from '../state.ts';
import { isSidebarOpen } from './sidebar.tsx';

export const isSettingsOpen = signal(false);

/** Hands the talk to the browser as a file. */
async function save(conversationId: string): Promise<void> {
  try {
    const blob = new Blob([await exported(conversationId)], { type: 'application/x-ndjson' });
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = `${conversationId}.jsonl`;
    link.click();
    URL.revokeObjectURL(link.href);
  } catch (error) {
    tell(error);
  }
}

function Settings(): VNode | null {
  const talk = open.value;
  if (talk === null) return null;
  const set = (settings: Record<string, unknown>): void => void configure(talk.id, { settings });
  return (
    <section class="settings" key={talk.id} aria-label="Settings of this talk">
      <label>
        System prompt
        <textarea
          rows={3}
          defaultValue={talk.settings.systemPrompt ?? ''}
          onChange={(event) => set({ systemPrompt: event.currentTarget.value || null })}
        />
      </label>
      <label>
        Temperature
        <input
          type="number"
          min="0"
          max="5"
          step="0.1"
          placeholder="as configured"
          defaultValue={String(talk.settings.temperature ?? '')}
          onChange={({ currentTarget: { value } }) =>
            set({ temperature: value === '' ? null : Number(value) })
          }
        />
      </label>
      <label class="switch">
        <input
          type="checkbox"
          checked={talk.canLearn}
          onChange={(event) => void configure(talk.id, { canLearn: event.currentTarget.checked })}
        />
        Learn from this talk at night
      </label>
      {talk.history.length > 0 && (
        <footer>
          <button type="button" onClick={() => void save(talk.id)}>
            Save as a file
          </button>
          <button
            type="button"
            class="danger"
            onClick={() => {
              const question = 'Delete this talk, its flags and what was dreamt from it?';
              if (window.confirm(question)) void remove(talk.id);
              isSettingsOpen.value = false;
            }}
          >
            Delete this talk
          </button>
        </footer>
      )}
    </section>
  );
}

export function MenuButton(): VNode {
  return (
    <button
      type="button"
      class="icon menu"
      aria-label="Talks"
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
  const talk = open.value;
  const [typed, setTyped] = useState<string | null>(null);
  return (
    <input
      class="title"
      aria-label="Name of this talk"
      placeholder="New talk"
      value={typed ?? talk?.title ?? ''}
      disabled={talk === null || talk.history.length === 0}
      onInput={(event) => setTyped(event.currentTarget.value)}
      onBlur={() => setTyped(null)}
      onChange={({ currentTarget: { value } }) => {
        if (talk !== null && value.trim() !== '') void rename(talk.id, value.trim());
      }}
    />
  );
}

export function Head(): VNode {
  return (
    <header class="head">
      <MenuButton />
      <Title />
      <button
        type="button"
        class="icon"
        aria-label="Settings of this talk"
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
