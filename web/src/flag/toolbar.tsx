// A small bar beside selected words of a message: flag them.
import { signal } from '@preact/signals';
import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { type Selected, selectedWords } from '../selection.ts';
import { beginFlagFrom, flagDraft } from './flag-draft.ts';

/** `at` grows when the words may have moved on the screen. */
const found = signal<(Selected & { readonly at: number }) | null>(null);

/** Between the words and the bar; fingers select with handles of the system below the words. */
const GAP = 8;
const GAP_TOUCH = 36;

function look(): void {
  const selected = flagDraft.value === null ? selectedWords() : undefined;
  found.value = selected === undefined ? null : { ...selected, at: (found.value?.at ?? 0) + 1 };
}

/** Puts the bar above the words, or below them, inside the part of the page that scrolls. */
function place(bar: HTMLElement, range: Range): void {
  const words = range.getBoundingClientRect();
  const room = document.querySelector('.scroller')?.getBoundingClientRect();
  if (room === undefined) return;
  const { width, height } = bar.getBoundingClientRect();
  const isTouch = matchMedia('(pointer: coarse)').matches;
  const above = words.top - height - GAP;
  const below = words.bottom + (isTouch ? GAP_TOUCH : GAP);
  const isBelow = isTouch ? below + height <= innerHeight : above < room.top;
  const left = words.left + (words.width - width) / 2;
  const within = (value: number, end: number): number => Math.max(GAP, Math.min(value, end - GAP));
  // Preact gives numbers no unit.
  bar.style.left = `${within(left, innerWidth - width)}px`;
  bar.style.top = `${within(isBelow ? below : above, innerHeight - height)}px`;
  bar.hidden = words.bottom < room.top || words.top > room.bottom;
}

export function SelectionToolbar(): VNode | null {
  const bar = useRef<HTMLDivElement>(null);
  const now = found.value;
  useEffect(() => {
    document.addEventListener('selectionchange', look);
    window.addEventListener('resize', look);
    // Of whatever scrolls: such events do not bubble.
    window.addEventListener('scroll', look, { capture: true, passive: true });
    return () => {
      document.removeEventListener('selectionchange', look);
      window.removeEventListener('resize', look);
      window.removeEventListener('scroll', look, { capture: true });
      found.value = null;
    };
  }, []);
  useLayoutEffect(() => {
    if (now !== null && bar.current !== null) place(bar.current, now.range);
  }, [now]);
  if (now === null || flagDraft.value !== null) return null;
  const { span } = now;
  const button = (kind: 'missed' | 'good', name: string): VNode => (
    <button
      type="button"
      onPointerDown={(event) => event.preventDefault()}
      onClick={() => {
        if (span !== null) beginFlagFrom(span, kind);
        found.value = null;
      }}
    >
      {name}
    </button>
  );
  return (
    <div class="toolbar" ref={bar} role="toolbar" aria-label="Flag the selected words">
      {span === null ? (
        <span role="status">Select words of one message to flag them.</span>
      ) : (
        <>
          {button('missed', 'Not heard')}
          {button('good', 'Listened')}
        </>
      )}
    </div>
  );
}
