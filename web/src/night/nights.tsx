// The nights: the list, one night's summary, the slider.
import type { VNode } from 'preact';
import { MenuButton } from '../chat/head.tsx';
import { night } from '../state.ts';

export function Nights(_props: { id: string | null; view: 'summary' | 'slider' }): VNode {
  return (
    <main class="page">
      <header class="head">
        <MenuButton />
        <h1>Nights</h1>
      </header>
      <div class="scroller">
        <p class="empty hint">
          {night.value === null ? 'No night yet.' : `A night is under way: ${night.value.phase}.`}
        </p>
      </div>
    </main>
  );
}
