// Where the person writes. Enter says it, Shift+Enter breaks the line, Escape stops the reply.
import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { route } from '../page-route.ts';
import { isRunning, open, stop } from '../page-state.ts';
import { drafts, say, unstored, write } from '../unstored-message.ts';

/** The field grows with its text, and is ready when the page is opened to begin a talk. */
function useArea(text: string) {
  const area = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    const element = area.current;
    if (element === null) return;
    element.style.height = 'auto';
    element.style.height = `${Math.min(element.scrollHeight, 240)}px`;
  }, [text]);
  useEffect(() => {
    const isNew = route.value.page === 'talk' && route.value.id === null;
    const isFree = document.activeElement === document.body;
    // On a phone the keyboard would hide the page.
    if (isNew && isFree && matchMedia('(pointer: fine)').matches) area.current?.focus();
  }, []);
  return area;
}

export function Composer(): VNode {
  const id = open.value?.id ?? '';
  const text = drafts.value[id] ?? '';
  const isBusy = isRunning.value || unstored.value.some((message) => message.conversationId === id);
  const area = useArea(text);
  const submit = (): void => {
    const words = text.trim();
    if (words === '' || isBusy) return;
    say(words);
    write(id, '');
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <textarea
        id="composer"
        ref={area}
        rows={1}
        dir="auto"
        value={text}
        placeholder="Say something"
        aria-label="Your message"
        onInput={(event) => write(id, event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            submit();
          }
        }}
      />
      {isBusy ? (
        <button type="button" class="round" onClick={stop} aria-label="Stop the reply (Escape)">
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <rect x="4" y="4" width="8" height="8" rx="1.5" />
          </svg>
        </button>
      ) : (
        <button type="submit" class="round" aria-label="Send (Enter)" disabled={text.trim() === ''}>
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <path d="M8 13V3M3.5 7.5 8 3l4.5 4.5" />
          </svg>
        </button>
      )}
    </form>
  );
}
