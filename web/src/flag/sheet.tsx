// Flagging: select the words that went unheard, the words that drifted, and say what would have
// been better. Only the reply has to be named; everything else is a help for the night.
import { signal } from '@preact/signals';
import type { VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import type { FlagDraftInput } from '../../../src/protocol/flag.ts';
import { newId } from '../connection.ts';
import { type SelectedSpan, selectedSpan, trimmed } from '../selection.ts';
import { addFlag, history, open, tell } from '../state.ts';

interface Draft {
  readonly replyId: string;
  readonly kind: 'missed' | 'good';
  readonly userSpan: SelectedSpan | null;
  readonly replySpan: SelectedSpan | null;
  readonly betterWords: string;
  readonly reason: string;
  readonly strength: 1 | 2 | 3;
}

export const flagDraft = signal<Draft | null>(null);

const textOf = (id: string): string => history.value.find((m) => m.id === id)?.text ?? '';

const words = (span: SelectedSpan | null): string =>
  span === null ? '' : textOf(span.messageId).slice(span.start, span.end);

/** Opens the sheet for a reply; what is selected right now becomes part of it. */
export function beginFlag(replyId: string, kind: Draft['kind']): void {
  flagDraft.value = {
    replyId,
    kind,
    userSpan: null,
    replySpan: null,
    betterWords: '',
    reason: '',
    strength: 2,
  };
  takeSelection();
}

/** Starts from selected words: the reply is the selected one, or the answer to the message. */
export function beginFlagFrom(span: SelectedSpan, kind: Draft['kind']): void {
  const reply = history.value.find((m) =>
    m.role === 'assistant'
      ? m.id === span.messageId || (span.role === 'user' && m.messageId === span.messageId)
      : false,
  );
  if (reply !== undefined) beginFlag(reply.id, kind);
}

/** Puts the selected words where they belong. */
export function takeSelection(): void {
  const draft = flagDraft.value;
  const found = selectedSpan();
  if (draft === null || found === undefined) return;
  const span = trimmed(found.span, textOf(found.span.messageId));
  if (span === undefined) return;
  if (span.role === 'user') flagDraft.value = { ...draft, userSpan: span };
  else if (span.messageId === draft.replyId) flagDraft.value = { ...draft, replySpan: span };
}

async function save(draft: Draft): Promise<void> {
  const conversationId = open.value?.id;
  if (conversationId === undefined) return;
  const toSpan = (s: SelectedSpan) => ({ start: s.start, end: s.end, text: words(s) });
  const flag: FlagDraftInput = {
    id: newId(),
    conversationId,
    replyId: draft.replyId,
    kind: draft.kind,
    strength: draft.strength,
    userSpan:
      draft.userSpan === null
        ? null
        : { messageId: draft.userSpan.messageId, span: toSpan(draft.userSpan) },
    replySpan: draft.replySpan === null ? null : toSpan(draft.replySpan),
    betterWords: draft.betterWords.trim() || null,
    reason: draft.reason.trim() || null,
  };
  try {
    await addFlag(flag);
    flagDraft.value = null;
    document.getSelection()?.removeAllRanges();
  } catch (error) {
    tell(error);
  }
}

function Words({ label, span, hint }: { label: string; span: SelectedSpan | null; hint: string }) {
  return (
    <div class="words" data-filled={span !== null}>
      <span>{label}</span>
      <p>{span === null ? hint : `“${words(span)}”`}</p>
    </div>
  );
}

const STRENGTHS = [
  [1, 'slight'],
  [2, 'clear'],
  [3, 'strong'],
] as const;

export function FlagSheet(): VNode | null {
  const draft = flagDraft.value;
  useEffect(() => {
    const onSelect = (): void => takeSelection();
    document.addEventListener('selectionchange', onSelect);
    return () => document.removeEventListener('selectionchange', onSelect);
  }, []);
  if (draft === null) return null;
  const isMissed = draft.kind === 'missed';
  const set = (change: Partial<Draft>): void => {
    flagDraft.value = { ...draft, ...change };
  };
  return (
    <form
      class="sheet"
      aria-label={isMissed ? 'Flag: not heard' : 'Good moment'}
      onSubmit={(event) => {
        event.preventDefault();
        void save(draft);
      }}
      onKeyDown={(event) => {
        if (event.key === 'Enter' && (event.metaKey || event.ctrlKey)) void save(draft);
      }}
    >
      <header>
        <h2>{isMissed ? 'What went unheard?' : 'What was heard?'}</h2>
        <fieldset class="segmented" aria-label="Strength">
          {STRENGTHS.map(([value, label]) => (
            <label key={value}>
              <input
                type="radio"
                name="strength"
                checked={draft.strength === value}
                onChange={() => set({ strength: value })}
              />
              {label}
            </label>
          ))}
        </fieldset>
      </header>
      <div class="pair">
        <Words
          label={isMissed ? 'Your words' : 'Your words it heard'}
          span={draft.userSpan}
          hint="Select them in your message above"
        />
        <Words
          label={isMissed ? 'Where it drifted' : 'Where it listened'}
          span={draft.replySpan}
          hint="Select them in the reply"
        />
      </div>
      {isMissed && (
        <label>
          A reply that listens
          <textarea
            rows={2}
            value={draft.betterWords}
            placeholder="Optional: what would have been better. The night learns most from this."
            onInput={(event) => set({ betterWords: event.currentTarget.value })}
          />
        </label>
      )}
      <label>
        Why
        <input
          value={draft.reason}
          placeholder="Optional"
          onInput={(event) => set({ reason: event.currentTarget.value })}
        />
      </label>
      <footer>
        <button
          type="button"
          class="quiet"
          onClick={() => {
            flagDraft.value = null;
          }}
        >
          Cancel
        </button>
        <button type="submit" class="primary">
          {isMissed ? 'Flag this moment' : 'Keep this moment'}
        </button>
      </footer>
    </form>
  );
}
