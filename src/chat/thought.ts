// Parts a reply that arrives in pieces into the thought that it begins with and what it says.
import { THOUGHT_END, THOUGHT_START } from '../tokenizer/thought.ts';
import { heldBack } from './stop-strings.ts';

export interface Parts {
  readonly thought: string;
  readonly text: string;
}

export interface ThoughtSplitter {
  /** What is new of each part. */
  push(piece: string): Parts;
  /** What was held back, once no more will come. */
  end(): Parts;
}

/** @param isOpen the prompt began the thought */
export function createThoughtSplitter(isOpen: boolean): ThoughtSplitter {
  let state: 'beginning' | 'thought' | 'after' | 'text' = isOpen ? 'thought' : 'beginning';
  let pending = '';
  let isBegun = false;

  function begin(): void {
    const begun = pending.trimStart();
    if (begun.startsWith(THOUGHT_START)) {
      pending = begun.slice(THOUGHT_START.length);
      state = 'thought';
    } else if (!THOUGHT_START.startsWith(begun)) state = 'text';
  }

  function think(): string {
    const close = pending.indexOf(THOUGHT_END);
    const end = close === -1 ? pending.length - heldBack(pending, [THOUGHT_END]) : close;
    const thought = isBegun ? pending.slice(0, end) : pending.slice(0, end).trimStart();
    isBegun ||= thought !== '';
    pending = pending.slice(close === -1 ? end : close + THOUGHT_END.length);
    if (close !== -1) state = 'after';
    return thought;
  }

  return {
    push(piece) {
      pending += piece;
      if (state === 'beginning') begin();
      const thought = state === 'thought' ? think() : '';
      if (state === 'after') {
        pending = pending.trimStart();
        if (pending !== '') state = 'text';
      }
      if (state !== 'text') return { thought, text: '' };
      const text = pending;
      pending = '';
      return { thought, text };
    },
    end() {
      const rest = pending;
      pending = '';
      return state === 'thought' ? { thought: rest, text: '' } : { thought: '', text: rest };
    },
  };
}
