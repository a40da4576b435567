// The head of a talk: its name, and what it may set for itself.
import { signal } from '@preact/signals';
import type { VNode } from 'preact';
import { configure, open, remove, rename } from '../state.ts';
import { isSidebarOpen } from './sidebar.tsx';

const isOpen = signal(false);

function Settings(): VNode | null {
  const talk = open.value;
  if (talk === null) return null;
  const set = (settings: Record<string, unknown>): void => void configure(talk.id, { settings });
  return (
    <section class="settings" aria-label="Settings of this talk">
      <label>
        System prompt
        <textarea
          rows={3}
          value={talk.settings.systemPrompt ?? ''}
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
          value={talk.settings.temperature ?? ''}
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
      <button
        type="button"
        class="danger"
        onClick={() => {
          const question = 'Delete this talk, its flags and what was dreamt from it?';
          if (window.confirm(question)) void remove(talk.id);
          isOpen.value = false;
        }}
      >
        Delete this talk
      </button>
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

export function Head(): VNode {
  const talk = open.value;
  return (
    <header class="head">
      <MenuButton />
      <input
        class="title"
        aria-label="Name of this talk"
        placeholder="New talk"
        value={talk?.title ?? ''}
        disabled={talk === null || talk.history.length === 0}
        onChange={({ currentTarget: { value } }) => {
          if (talk !== null && value.trim() !== '') void rename(talk.id, value.trim());
        }}
      />
      <button
        type="button"
        class="icon"
        aria-label="Settings of this talk"
        aria-expanded={isOpen.value}
        onClick={() => {
          isOpen.value = !isOpen.value;
        }}
      >
        <svg viewBox="0 0 16 16" aria-hidden="true">
          <path d="M2 5h7M13 5h1M2 11h1M7 11h7" />
          <circle cx="11" cy="5" r="1.8" />
          <circle cx="5" cy="11" r="1.8" />
        </svg>
      </button>
      {isOpen.value && <Settings />}
    </header>
  );
}
