// Where the person writes. Enter says it, Shift+Enter breaks the line, Escape stops the reply. What
// is said while a reply runs waits for its end.
import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { route } from '../page-route.ts';
import { isRunning, stop } from '../page-state.ts';
import { draft, say, waiting, write } from '../unstored-message.ts';

/** The field grows with its text, and is ready when the page is opened to begin a conversation. */
function useArea(text: string) {
  const area = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    const element = area.current;
    if (element === null) return;
    element.style.height = 'auto';
    element.style.height = `${Math.min(element.scrollHeight, 240)}px`;
  }, [text]);
  useEffect(() => {
    const isNew = route.value.page === 'conversation' && route.value.id === null;
    const isFree = document.activeElement === document.body;
    // On a phone the keyboard would hide the page.
    if (isNew && isFree && matchMedia('(pointer: fine)').matches) area.current?.focus();
  }, []);
  return area;
}

/** So long after a message was said, the button that took the place of Send does nothing. */
const DEAF_MS = 500;

/** Also of input methods whose browser sends the key after the composition has ended. */
const isComposing = (event: KeyboardEvent): boolean => event.isComposing || event.keyCode === 229;

export function Composer(): VNode {
  const text = draft.value;
  const isBusy = isRunning.value || waiting.value.length > 0;
  const area = useArea(text);
  const saidAt = useRef(Number.NEGATIVE_INFINITY);
  const submit = (): void => {
    saidAt.current = performance.now();
    say();
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
        onInput={(event) => write(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && !event.shiftKey && !isComposing(event)) {
            event.preventDefault();
            submit();
          }
        }}
      />
      {isBusy && (
        <button
          type="button"
          class="round"
          onClick={() => performance.now() - saidAt.current > DEAF_MS && stop()}
          aria-label="Stop the reply (Escape)"
        >
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <rect x="4" y="4" width="8" height="8" rx="1.5" />
          </svg>
        </button>
      )}
      {(!isBusy || text.trim() !== '') && (
        <button
          type="submit"
          class="round"
          aria-label={isBusy ? 'Send after this reply (Enter)' : 'Send (Enter)'}
          disabled={text.trim() === ''}
        >
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <path d="M8 13V3M3.5 7.5 8 3l4.5 4.5" />
          </svg>
        </button>
      )}
    </form>
  );
}
