// A small bar that appears over selected words of a message: flag them.
import { signal } from '@preact/signals';
import type { VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import { type SelectedSpan, selectedSpan } from '../selection.ts';
import { beginFlagFrom, flagDraft } from './flag-draft.ts';

const found = signal<{ span: SelectedSpan; rect: DOMRect } | null>(null);

export function SelectionToolbar(): VNode | null {
  useEffect(() => {
    const onSelect = (): void => {
      found.value = flagDraft.value === null ? (selectedSpan() ?? null) : null;
    };
    document.addEventListener('selectionchange', onSelect);
    return () => document.removeEventListener('selectionchange', onSelect);
  }, []);
  const now = found.value;
  if (now === null || flagDraft.value !== null) return null;
  const left = Math.min(Math.max(now.rect.left + now.rect.width / 2, 110), innerWidth - 110);
  const isLow = now.rect.top < 70;
  const top = isLow ? now.rect.bottom + 10 : now.rect.top - 48;
  const flag = (kind: 'missed' | 'good') => (event: Event) => {
    event.preventDefault();
    beginFlagFrom(now.span, kind);
    found.value = null;
  };
  return (
    <div class="toolbar" role="toolbar" aria-label="Flag the selected words" style={{ left, top }}>
      <button
        type="button"
        onPointerDown={(event) => event.preventDefault()}
        onClick={flag('missed')}
      >
        Not heard
      </button>
      <button
        type="button"
        onPointerDown={(event) => event.preventDefault()}
        onClick={flag('good')}
      >
        Listened
      </button>
    </div>
  );
}
